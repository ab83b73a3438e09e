// overlaybd-fsck: checks a writable layer, and repairs it. docs/man/overlaybd-fsck.1.
#include <cstdio>
#include <string>

#include "tools/image/fsck.hpp"
#include "tools/image/program.hpp"

using namespace obd;

namespace {

// As fsck(8) has them.
constexpr int exit_clean = 0;
constexpr int exit_repaired = 1;
constexpr int exit_needs_repair = 4;

struct arguments {
    std::string data;
    std::string index;
    bool repair = false;
};

void print(const arguments& given, const tools::fsck_report& report) {
    std::printf("%s: %s layer, disk of %llu bytes, %llu mappings, %llu bytes live of %llu used\n", given.data.c_str(),
                layers::name_of(report.identity.kind),
                static_cast<unsigned long long>(report.identity.virtual_size.value),
                static_cast<unsigned long long>(report.mappings), static_cast<unsigned long long>(report.live_bytes),
                static_cast<unsigned long long>(report.usage.data.value));
    for (const auto& problem : report.problems) {
        std::printf("%s: %s%s\n", given.data.c_str(), problem.c_str(), given.repair ? " (repaired)" : "");
    }
}

result<int> run(const arguments& given) {
    const auto mode = given.repair ? tools::fsck_mode::repair : tools::fsck_mode::check;
    TRY(const auto report, tools::fsck({.data = given.data, .index = given.index}, mode));
    print(given, report);
    if (report.problems.empty()) return exit_clean;
    return given.repair ? exit_repaired : exit_needs_repair;
}

}  // namespace

int main(int argc, char** argv) {
    arguments given;
    CLI::App app("Checks a writable layer: headers, journal, side file, and that all its data can be read.",
                 "overlaybd-fsck");
    app.add_option("data_file", given.data, "data file")->type_name("FILE")->check(CLI::ExistingFile)->required();
    app.add_option("index_file", given.index, "index file")->type_name("FILE")->check(CLI::ExistingFile)->required();
    app.add_flag("--repair", given.repair, "put right what a crash left (opening the image does the same)");
    app.footer(
        "Exit status: 0 nothing to do, 1 repaired, 4 would be repaired by --repair, 255 cannot be opened, 100 and "
        "above wrong usage. See overlaybd-fsck(1).");
    return tools::run_tool(app, argc, argv, [&] { return run(given); });
}

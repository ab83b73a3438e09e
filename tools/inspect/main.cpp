// overlaybd-inspect: says what a file of an image contains. docs/man/overlaybd-inspect.1.
#include <cstdio>
#include <string>

#include "tools/image/inspect.hpp"
#include "tools/image/program.hpp"

using namespace obd;

namespace {

struct arguments {
    std::string file;
    tools::inspect_options options;
    bool json = false;
};

result<int> run(const arguments& given) {
    worker_pool workers(1);
    const auto found = tools::inspect(given.file, given.options, workers);
    if (!found) return in_context(found.error(), given.file);
    const auto text = given.json ? tools::as_json(*found) : tools::as_text(*found);
    std::fputs(text.c_str(), stdout);
    if (given.options.verify && !given.json) std::puts("verified: all of it can be read, every checksum is right");
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    arguments given;
    CLI::App app("Says what a layer, ZFile, tar wrapper, index or trace contains, outermost wrapper first.",
                 "overlaybd-inspect");
    app.add_option("file", given.file, "file to look at")->type_name("FILE")->check(CLI::ExistingFile)->required();
    app.add_flag("--entries", given.options.entries, "list the index too");
    app.add_flag("--verify", given.options.verify, "read everything and check every checksum");
    app.add_flag("--json", given.json, "for programs");
    app.footer("Exit status: 0, 255 damaged or unknown, 100 and above wrong usage. See overlaybd-inspect(1).");
    return tools::run_tool(app, argc, argv, [&] { return run(given); });
}

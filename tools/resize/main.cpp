// overlaybd-resize: a larger disk with a larger ext4 file system on it. docs/man/overlaybd-resize.1.
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <string>

#include "layers/write/blocking.hpp"
#include "layers/write/writable_image.hpp"
#include "tools/image/program.hpp"
#include "tools/resize/grow.hpp"

using namespace obd;

namespace {

constexpr std::uint64_t bytes_a_gib = std::uint64_t{1} << 30;
constexpr std::uint64_t most_gib = 16384;

struct arguments {
    std::string config;
    std::uint64_t gib = 0;
    std::string service_config;
    bool verbose = false;
};

result<void> resize_image(layers::image& image, layers::writable_image& writable, byte_count wanted) {
    const auto present = image.geometry().size;
    if (wanted < present)
        return fail(errc::unsupported, "shrinking from " + std::to_string(present.value) + " to " +
                                           std::to_string(wanted.value) + " bytes: not supported yet");
    if (wanted > present) {
        TRYV(layers::run_blocking(writable.resize(wanted)));
    }
    return tools::grow_ext4(image, std::filesystem::temp_directory_path());
}

result<int> resize(const arguments& given) {
    if (given.gib == 0 || given.gib > most_gib)
        return fail(errc::invalid_argument,
                    "--size " + std::to_string(given.gib) + ": must be 1 to " + std::to_string(most_gib));
    const auto begun = std::chrono::steady_clock::now();
    const auto how = given.verbose ? tools::tool_services::verbosity::verbose : tools::tool_services::verbosity::quiet;
    tools::tool_services services(how);
    layers::writable_layers uppers;
    auto with = services.get();
    with.uppers = &uppers;
    TRY(auto config, layers::load_image_config(given.config));
    if (!config.upper.writable()) return fail(errc::invalid_argument, given.config + ": has no \"upper\" to write to");
    TRY(const auto image, layers::run_blocking(layers::open_image(std::move(config), with)));
    const auto writable = layers::as_writable(image);
    ASSERT(writable != nullptr);
    auto resized = resize_image(*image, *writable, {given.gib * bytes_a_gib});
    auto closed = layers::run_blocking(image->close());
    TRYV(std::move(resized));
    TRYV(std::move(closed));
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begun;
    std::printf("Success: filesystem resized to %llu GB (%.3f seconds)\n", static_cast<unsigned long long>(given.gib),
                took.count());
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    arguments given;
    CLI::App app("Makes the disk of an image with a writable layer, and the ext4 file system on it, larger.",
                 "overlaybd-resize");
    app.add_option("--config", given.config, "config.v1.json with an upper")
        ->type_name("FILE")
        ->check(CLI::ExistingFile)
        ->required();
    app.add_option("--size", given.gib, "the new size in GiB")->required();
    app.add_option("--service_config_path", given.service_config, "accepted, not needed")->type_name("FILE");
    app.add_flag("--verbose", given.verbose, "say more on stderr");
    app.footer("Exit status: 0 resized, 1 failed, 100 and above wrong usage. See overlaybd-resize(1).");
    const int status = tools::run_tool(app, argc, argv, [&] { return resize(given); });
    return status == tools::exit_failure ? 1 : status;
}

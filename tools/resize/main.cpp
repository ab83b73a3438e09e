// overlaybd-resize: another size for a disk and the ext4 file system on it. docs/man/overlaybd-resize.1.
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <string>

#include "layers/write/blocking.hpp"
#include "layers/write/host_file.hpp"
#include "layers/write/upper.hpp"
#include "layers/write/writable_image.hpp"
#include "tools/image/program.hpp"
#include "tools/image/registry_access.hpp"
#include "tools/resize/resize_ext4.hpp"

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

/// Larger: the disk first, then the file system.
result<void> resize_image(layers::image& image, layers::writable_image& writable, byte_count wanted) {
    if (wanted > image.geometry().size) {
        TRYV(layers::run_blocking(writable.resize(wanted)));
    }
    return tools::resize_ext4(image, wanted, std::filesystem::temp_directory_path());
}

/// Smaller: the file system first, and then, with nobody on the disk, the layer's size.
result<void> cut(const layers::upper_config& upper, byte_count wanted) {
    TRY(const auto layer, layers::open_upper({.files = std::make_shared<layers::host_file_system>(),
                                              .paths = {.data = upper.data, .index = upper.index},
                                              .inherited_size = wanted}));
    if (layer->identity().virtual_size > wanted) {
        TRYV(layer->resize(wanted));
    }
    return layer->close();
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
    TRY(const auto registry, tools::connect_registry(config, given.service_config, services));
    if (registry) with.registry = &registry->blobs();
    const auto upper = config.upper;
    const byte_count wanted{given.gib * bytes_a_gib};
    TRY(auto image, layers::run_blocking(layers::open_image(std::move(config), with)));
    const bool smaller = wanted < image->geometry().size;
    auto writable = layers::as_writable(image);
    ASSERT(writable != nullptr);
    auto resized = resize_image(*image, *writable, wanted);
    auto closed = layers::run_blocking(image->close());
    writable.reset();
    image.reset();
    TRYV(std::move(resized));
    TRYV(std::move(closed));
    if (smaller) {
        TRYV(cut(upper, wanted));
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begun;
    std::printf("Success: filesystem resized to %llu GB (%.3f seconds)\n", static_cast<unsigned long long>(given.gib),
                took.count());
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    arguments given;
    CLI::App app("Makes the disk of an image with a writable layer, and the ext4 file system on it, larger or smaller.",
                 "overlaybd-resize");
    app.add_option("--config", given.config, "config.v1.json with an upper")
        ->type_name("FILE")
        ->check(CLI::ExistingFile)
        ->required();
    app.add_option("--size", given.gib, "the new size in GiB")->required();
    tools::add_service_config(app, given.service_config);
    app.add_flag("--verbose", given.verbose, "say more on stderr");
    app.footer("Exit status: 0 resized, 1 failed, 100 and above wrong usage. See overlaybd-resize(1).");
    const int status = tools::run_tool(app, argc, argv, [&] { return resize(given); });
    return status == tools::exit_failure ? 1 : status;
}

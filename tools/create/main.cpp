// overlaybd-create: makes an empty writable layer, or a raw disk. docs/man/overlaybd-create.1.
#include <cstdio>
#include <memory>
#include <string>

#include "layers/fs/ext4_mkfs.hpp"
#include "layers/fs/sync_disk.hpp"
#include "layers/write/blocking.hpp"
#include "layers/write/host_file.hpp"
#include "layers/write/writable_image.hpp"
#include "tools/image/program.hpp"
#include "tools/image/turbo_apply.hpp"

using namespace obd;

namespace {

constexpr std::uint64_t bytes_a_gib = std::uint64_t{1} << 30;
constexpr std::uint64_t most_gib = std::uint64_t{1} << 28;  // LSMT names sectors below 2^50: 2^59 bytes

struct arguments {
    std::string data;
    std::string index;
    std::uint64_t gib = 0;
    std::string parent_uuid;
    bool sparse = false;
    bool raw = false;
    bool mkfs = false;
    bool turbo_oci = false;
    bool verbose = false;
};

result<void> make_raw(const arguments& given) {
    layers::host_file_system files;
    TRY(const auto disk, files.open(given.data, layers::open_mode::create));
    TRYV(disk->resize({given.gib * bytes_a_gib}));
    TRYV(disk->sync());
    return files.sync_directory_of(given.data);
}

result<void> mkfs_raw(const arguments& given) {
    TRY(const auto disk, fs::open_file_disk(given.data));
    TRYV(fs::make_ext4(*disk, {}));
    return disk->flush();
}

result<void> mkfs_layer(const arguments& given) {
    const auto how = given.verbose ? tools::tool_services::verbosity::verbose : tools::tool_services::verbosity::quiet;
    tools::tool_services services(how);
    layers::writable_layers uppers;
    auto with = services.get();
    with.uppers = &uppers;
    layers::image_config config;
    config.upper.data = given.data;
    config.upper.index = given.index;
    TRY(const auto image, layers::run_blocking(layers::open_image(std::move(config), with)));
    const auto disk = fs::make_device_disk(*image);
    auto made = fs::make_ext4(*disk, {});
    auto closed = layers::run_blocking(image->close());
    TRYV(std::move(made));
    return closed;
}

result<void> mkfs_turbo(const arguments& given) {
    using layers::turbo_upper;
    TRY(const auto layer,
        turbo_upper::open({.data = given.data, .index = given.index}, turbo_upper::access::read_write, {}));
    const auto disk = tools::make_turbo_disk(*layer, nullptr);
    TRYV(fs::make_ext4(*disk, {}));
    return layer->flush();
}

void remove_files(const arguments& given) {
    layers::host_file_system files;
    static_cast<void>(files.remove(given.data));
    if (!given.raw) static_cast<void>(files.remove(given.index));
}

result<int> create(const arguments& given) {
    if (given.gib >= most_gib) return fail(errc::invalid_argument, "vsize " + std::to_string(given.gib) + " GiB");
    if ((given.mkfs || given.raw) && given.gib == 0) {
        return fail(errc::invalid_argument, "vsize 0 (a disk of its own needs a size)");
    }
    if (given.raw) {
        TRYV(make_raw(given));
    } else if (given.turbo_oci) {
        TRYV(layers::create_turbo_upper({.paths = {.data = given.data, .index = given.index},
                                         .virtual_size = {given.gib * bytes_a_gib},
                                         .uuid = {},
                                         .parent_uuid = given.parent_uuid}));
    } else {
        TRYV(layers::create_upper({.paths = {.data = given.data, .index = given.index},
                                   .kind = given.sparse ? layers::upper_kind::sparse : layers::upper_kind::append_only,
                                   .virtual_size = {given.gib * bytes_a_gib},
                                   .uuid = {},
                                   .parent_uuid = given.parent_uuid}));
    }
    if (given.mkfs) {
        auto made = given.raw ? mkfs_raw(given) : given.turbo_oci ? mkfs_turbo(given) : mkfs_layer(given);
        if (!made) {
            remove_files(given);
            return in_context(std::move(made).error(), "mkfs");
        }
    }
    std::puts("overlaybd-create has created files SUCCESSFULLY");
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    arguments given;
    CLI::App app("Makes an empty writable layer: a data file and an index file, neither of which may exist.",
                 "overlaybd-create");
    app.add_option("data_file", given.data, "data file to be made")->type_name("FILE")->required();
    app.add_option("index_file", given.index, "index file to be made")->type_name("FILE")->required();
    app.add_option("vsize", given.gib, "size of the disk in GiB; 0: that of the layers below")->required();
    app.add_option("-u", given.parent_uuid, "UUID of the layer below");
    app.add_flag("-s", given.sparse, "sparse: an image of the disk, instead of a log of the writes");
    app.add_flag("--raw", given.raw, "a plain disk image, no layer; index_file is not made");
    app.add_flag("--mkfs", given.mkfs, "make an ext4 file system on it");
    app.add_flag("--turboOCI,--fastoci", given.turbo_oci,
                 "a TurboOCI layer: file system metadata only (-s plays no part)");
    app.add_flag("--verbose", given.verbose, "say more on stderr");
    app.footer("Exit status: 0 made, 255 failed, 100 and above wrong usage. See overlaybd-create(1).");
    return tools::run_tool(app, argc, argv, [&] { return create(given); });
}

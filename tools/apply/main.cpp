// overlaybd-apply: unpacks a layer of an OCI image into the file system on a writable disk. docs/man/overlaybd-apply.1.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>

#include "base/bytes.hpp"
#include "base/digest.hpp"
#include "layers/fs/byte_stream.hpp"
#include "layers/fs/ext4_mkfs.hpp"
#include "layers/fs/ext4_volume.hpp"
#include "layers/fs/oci_apply.hpp"
#include "layers/fs/sync_disk.hpp"
#include "layers/write/blocking.hpp"
#include "layers/write/writable_image.hpp"
#include "tools/image/disk_image.hpp"
#include "tools/image/program.hpp"
#include "tools/image/registry_access.hpp"
#include "tools/image/turbo_apply.hpp"

using namespace obd;

namespace {

struct arguments {
    std::string input;
    std::string target;  ///< image config, or disk image with --raw
    bool raw = false;
    bool mkfs = false;
    bool qcow2 = false;
    bool extract_rootfs = true;
    std::string gzip_index;
    std::string checksum;
    std::string service_config;
    bool verbose = false;
};

/// What the file system's identity comes from: the layer's digest, as far as it is known before the layer is read.
result<std::array<std::byte, 32>> seed_of(const arguments& given) {
    std::array<std::byte, 32> seed{};
    if (!given.checksum.empty()) {
        const auto bytes = from_hex(std::string_view(given.checksum).substr(sizeof("sha256:") - 1));
        std::ranges::copy(*bytes, seed.begin());
        return seed;
    }
    if (!std::filesystem::is_regular_file(given.input)) return seed;
    TRY(const auto file, fs::open_stream(given.input));
    sha256 hash;
    std::vector<std::byte> buffer(1 << 20);
    for (;;) {
        TRY(const auto count, file->read(buffer));
        if (count == 0) break;
        hash.update(const_bytes(buffer).first(count));
    }
    return std::move(hash).finish();
}

result<fs::apply_report> apply_to(fs::sync_disk& disk, const arguments& given) {
    if (given.mkfs) {
        fs::mkfs_options options;
        TRY(options.seed, seed_of(given));
        TRYV(fs::make_ext4(disk, options));
    }
    TRY(const auto volume, fs::ext4_volume::open(disk));
    TRY(const auto layer, fs::open_stream(given.input));
    fs::apply_options options;
    options.expected_digest = given.checksum;
    return fs::apply_layer(*volume, *layer, options);
}

result<fs::apply_report> apply_raw(const arguments& given) {
    TRY(const auto disk, fs::open_file_disk(given.target));
    if (given.mkfs) {
        TRYV(disk->discard({0}, disk->size()));
    }
    return apply_to(*disk, given);
}

/// mkfs wants a disk that reads as zeros; one over other layers may not.
result<void> make_zero(layers::image& image, fs::sync_disk& disk) {
    const auto size = image.geometry().size;
    TRY(const auto found, layers::run_blocking(image.extents({0}, size, 2)));
    const bool empty = found.size() == 1 && found[0].state == device_extent::kind::deallocated;
    return empty ? result<void>() : disk.discard({0}, size);
}

/// Opens the image, lets `work` write to its disk, and closes it.
template <typename T, typename Work>
result<T> on_image(const arguments& given, Work work) {
    const auto how = given.verbose ? tools::tool_services::verbosity::verbose : tools::tool_services::verbosity::quiet;
    tools::tool_services services(how);
    layers::writable_layers uppers;
    auto with = services.get();
    with.uppers = &uppers;
    TRY(auto config, layers::load_image_config(given.target));
    if (!config.upper.writable()) return fail(errc::invalid_argument, given.target + ": has no \"upper\" to write to");
    TRY(const auto registry, tools::connect_registry(config, given.service_config, services));
    if (registry) with.registry = &registry->blobs();
    TRY(const auto image, layers::run_blocking(layers::open_image(std::move(config), with)));
    const auto disk = fs::make_device_disk(*image);
    result<T> applied = work(*image, *disk);
    auto closed = layers::run_blocking(image->close());
    if (applied && !closed) return std::move(closed).error();
    return applied;
}

result<fs::apply_report> apply_to_image(const arguments& given) {
    return on_image<fs::apply_report>(given,
                                      [&](layers::image& image, fs::sync_disk& disk) -> result<fs::apply_report> {
                                          if (given.mkfs) {
                                              TRYV(make_zero(image, disk));
                                          }
                                          return apply_to(disk, given);
                                      });
}

std::string given_bytes(byte_count count) {
    return std::to_string(count.value) + " bytes";
}

/// Copies a disk image, or the file system in it, onto the image's disk.
result<void> copy_disk(const tools::disk_image& from, fs::sync_disk& to) {
    if (from.size() > to.size())
        return fail(errc::out_of_space,
                    given_bytes(from.size()) + " of disk image do not fit onto a disk of " + given_bytes(to.size()));
    TRYV(from.for_data([&to](byte_offset at, const_bytes bytes) { return to.write(at, bytes); }));
    return to.flush();
}

/// As turboOCI-apply.
result<fs::apply_report> apply_turbo(const arguments& given) {
    const auto how = given.verbose ? tools::tool_services::verbosity::verbose : tools::tool_services::verbosity::quiet;
    tools::tool_services services(how);
    tools::turbo_request request;
    TRY(request.image, layers::load_image_config(given.target));
    request.where = given.target;
    request.input = given.input;
    request.mkfs = given.mkfs;
    request.gzip_index = given.gzip_index;
    request.service_config = given.service_config;
    request.checksum = given.checksum;
    return tools::turbo_apply(request, services);
}

result<int> apply_disk_image(const arguments& given) {
    const auto part = given.extract_rootfs ? tools::disk_part::root_file_system : tools::disk_part::whole;
    TRY(const auto from, tools::disk_image::open(given.input, part, std::filesystem::temp_directory_path()));
    if (given.raw) {
        TRY(const auto disk, fs::open_file_disk(given.target));
        TRYV(disk->discard({0}, disk->size()));
        TRYV(copy_disk(from, *disk));
    } else {
        TRYV(on_image<void>(given, [&](layers::image& image, fs::sync_disk& disk) -> result<void> {
            TRYV(make_zero(image, disk));
            return copy_disk(from, disk);
        }));
    }
    std::puts("qcow2 to overlaybd conversion done");
    return 0;
}

result<int> apply(const arguments& given) {
    if (given.qcow2) return apply_disk_image(given);
    if (!given.checksum.empty() && !is_sha256_digest(given.checksum))
        return fail(errc::invalid_argument, "--checksum " + given.checksum + ": must be sha256: and 64 hex digits");
    if (given.raw && !given.gzip_index.empty())
        return fail(errc::invalid_argument, "--gz_index_path makes a TurboOCI layer, --raw has none");
    TRY(const auto report, given.raw                  ? apply_raw(given)
                           : given.gzip_index.empty() ? apply_to_image(given)
                                                      : apply_turbo(given));
    if (given.verbose)
        std::fprintf(stderr, "%llu members, %llu whiteouts, %llu bytes of files\n",
                     static_cast<unsigned long long>(report.members), static_cast<unsigned long long>(report.whiteouts),
                     static_cast<unsigned long long>(report.content_bytes));
    std::puts("overlaybd-apply done");
    std::fprintf(stderr, "%s\n", report.digest.c_str());
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    arguments given;
    CLI::App app(
        "Unpacks a layer of an OCI image (tar, also gzip or zstd) into the ext4 file system on a writable disk.",
        "overlaybd-apply");
    app.add_flag("--raw", given.raw, "the second argument is a raw disk image");
    app.add_flag("--mkfs", given.mkfs, "make an ext4 file system first");
    app.add_flag("--from_qcow2", given.qcow2, "the input is a disk image: qcow2 or raw");
    app.add_flag("--extract-rootfs,!--no-extract-rootfs", given.extract_rootfs,
                 "only the root file system of its partitions, or with no- the whole disk");
    app.add_option("--gz_index_path", given.gzip_index, "make a TurboOCI layer; a gzip input's index is written here")
        ->type_name("FILE");
    app.add_option("--checksum", given.checksum, "digest that the uncompressed tar must have: sha256:…");
    tools::add_service_config(app, given.service_config);
    app.add_flag("--verbose", given.verbose, "say more on stderr");
    app.add_option("input_path", given.input, "the layer: a file, a FIFO, or - for the standard input")->required();
    app.add_option("image_config_path", given.target, "config.v1.json with an upper")->type_name("FILE")->required();
    app.footer("Exit status: 0 unpacked, 255 failed, 100 and above wrong usage. See overlaybd-apply(1).");
    return tools::run_tool(app, argc, argv, [&] { return apply(given); });
}

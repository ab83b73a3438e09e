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
#include "tools/image/program.hpp"

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

result<fs::apply_report> apply_to_image(const arguments& given) {
    const auto how = given.verbose ? tools::tool_services::verbosity::verbose : tools::tool_services::verbosity::quiet;
    tools::tool_services services(how);
    layers::writable_layers uppers;
    auto with = services.get();
    with.uppers = &uppers;
    TRY(auto config, layers::load_image_config(given.target));
    if (!config.upper.writable()) return fail(errc::invalid_argument, given.target + ": has no \"upper\" to write to");
    TRY(const auto image, layers::run_blocking(layers::open_image(std::move(config), with)));
    const auto disk = fs::make_device_disk(*image);
    if (given.mkfs) {
        TRYV(make_zero(*image, *disk));
    }
    auto applied = apply_to(*disk, given);
    auto closed = layers::run_blocking(image->close());
    if (applied && !closed) return std::move(closed).error();
    return applied;
}

result<int> apply(const arguments& given) {
    if (given.qcow2) return fail(errc::unsupported, "--from_qcow2: not supported yet");
    if (!given.gzip_index.empty()) return fail(errc::unsupported, "--gz_index_path (TurboOCI): not supported yet");
    if (!given.checksum.empty() && !is_sha256_digest(given.checksum))
        return fail(errc::invalid_argument, "--checksum " + given.checksum + ": must be sha256: and 64 hex digits");
    TRY(const auto report, given.raw ? apply_raw(given) : apply_to_image(given));
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
    app.add_flag("--from_qcow2", given.qcow2, "the input is a qcow2 disk image (not supported yet)");
    app.add_flag("--extract-rootfs,!--no-extract-rootfs", given.extract_rootfs, "for --from_qcow2");
    app.add_option("--gz_index_path", given.gzip_index, "for TurboOCI (not supported yet)")->type_name("FILE");
    app.add_option("--checksum", given.checksum, "digest that the uncompressed tar must have: sha256:…");
    app.add_option("--service_config_path", given.service_config, "accepted, not needed")->type_name("FILE");
    app.add_flag("--verbose", given.verbose, "say more on stderr");
    app.add_option("input_path", given.input, "the layer: a file, a FIFO, or - for the standard input")->required();
    app.add_option("image_config_path", given.target, "config.v1.json with an upper")->type_name("FILE")->required();
    app.footer("Exit status: 0 unpacked, 255 failed, 100 and above wrong usage. See overlaybd-apply(1).");
    return tools::run_tool(app, argc, argv, [&] { return apply(given); });
}

// An OCI layer as an arbitrary tar, unpacked into ext4 over another layer: names, links, pax records, sparse maps,
// whiteouts. Whatever it does, it says so; a file system that was written opens again and can be walked.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "layers/fs/byte_stream.hpp"
#include "layers/fs/ext4_mkfs.hpp"
#include "layers/fs/ext4_volume.hpp"
#include "layers/fs/oci_apply.hpp"
#include "layers/fs/sync_disk.hpp"

namespace {

using namespace obd;

constexpr std::uint64_t disk_bytes = 8 << 20;

/// A small file system with a few nodes to collide with, made once.
const std::vector<std::byte>& base_image() {
    static const std::vector<std::byte> image = [] {
        const auto disk = fs::make_memory_disk({disk_bytes});
        fs::make_ext4(*disk, {}).value();
        const auto volume = fs::ext4_volume::open(*disk).value();
        fs::new_node directory, file, link;
        directory.kind = fs::node_kind::directory;
        link.kind = fs::node_kind::symlink;
        link.symlink_target = "../etc/./a/..";
        const auto etc = volume->make(fs::root_inode, "etc", directory).value();
        const auto a = volume->make(etc, "a", file).value();
        volume->link(fs::root_inode, "b", a).value();
        volume->make(fs::root_inode, "link", link).value();
        volume->make(etc, "d", directory).value();
        volume->sync().value();
        std::vector<std::byte> bytes(disk_bytes);
        disk->read({0}, bytes).value();
        return bytes;
    }();
    return image;
}

void walk(fs::ext4_volume& volume, fs::inode_number directory, int depth) {
    const auto entries = volume.list(directory);
    if (!entries) std::abort();
    for (const auto& entry : *entries) {
        if (!volume.status(entry.inode)) std::abort();
        if (!volume.xattrs(entry.inode)) std::abort();
        if (entry.kind == fs::node_kind::directory && depth < 64) walk(volume, entry.inode, depth + 1);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto& base = base_image();
    const auto disk = fs::make_memory_disk({disk_bytes});
    for (std::size_t at = 0; at < base.size(); at += 65536) {
        const auto part = const_bytes(base).subspan(at, 65536);
        if (!is_zero(part)) disk->write({at}, part).value();
    }
    {
        const auto volume = fs::ext4_volume::open(*disk).value();
        const auto input = fs::stream_of(std::as_bytes(std::span(data, size)));
        fs::apply_options options;
        if (size != 0 && (data[size - 1] & 1) != 0) {
            options.map_contents = [](const fs::apply_options::content_place& place) -> result<void> {
                const bool whole =
                    place.on_disk.value % 512 == 0 && place.in_tar.value % 512 == 0 && place.count.value % 512 == 0;
                if (!whole || !within(place.on_disk, place.count, {disk_bytes})) std::abort();
                return {};
            };
        }
        if (!fs::apply_layer(*volume, *input, options)) return 0;
    }
    const auto again = fs::ext4_volume::open(*disk);
    if (!again) std::abort();
    walk(**again, fs::root_inode, 0);
    return 0;
}

// Writable layers whose files are the fuzzer's: journal and pending log of an append-only layer, data and discard map
// of a sparse one. Whatever opens can be read, written, flushed and opened again, and then says nothing more of
// repairs.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <vector>

#include "base/bytes.hpp"
#include "base/crc32c.hpp"
#include "layers/write/discard_map.hpp"
#include "layers/write/lsmt_encode.hpp"
#include "layers/write/pending_log.hpp"
#include "layers/write/upper.hpp"
#include "layers/write/upper_files.hpp"
#include "tests/unit/layers/write/torn_disk.hpp"

namespace {

using namespace obd;
namespace flags = layers::lsmt::flag;

constexpr std::uint64_t disk_bytes = 256 << 10;
constexpr const char* uuid = "01234567-89AB-CDEF-0123-456789ABCDEF";
const layers::upper_paths paths{.data = "/d", .index = "/i"};

std::vector<std::byte> header_of(std::uint32_t flags, std::uint64_t index_offset) {
    const auto space = layers::lsmt::encode_header({.flags = flags,
                                                    .index_offset = index_offset,
                                                    .index_entries = 0,
                                                    .virtual_size = {disk_bytes},
                                                    .uuid = uuid,
                                                    .parent_uuid = {},
                                                    .user_tag = {}});
    return {space.begin(), space.end()};
}

void append(std::vector<std::byte>& to, const_bytes more) {
    to.insert(to.end(), more.begin(), more.end());
}

/// Opens, uses and opens again. Failing to open is allowed, the second time is not.
void exercise(const std::shared_ptr<test::torn_disk>& disk) {
    const layers::upper_opening how{.files = disk, .paths = paths, .inherited_size = {disk_bytes}};
    const auto opened = layers::open_upper(how);
    if (!opened) return;
    auto& layer = **opened;
    std::vector<std::byte> sector(4096, std::byte{0x5a});
    for (const auto& entry : layer.index().dump()) {
        if (entry.zeroed()) continue;
        std::vector<std::byte> out(std::min<std::uint64_t>(entry.length(), 16) * sector_bytes);
        static_cast<void>(layer.data().read(to_bytes(entry.moffset()), out));
    }
    const auto written = layer.write({0}, sector);
    const auto zeroed = layer.zero({.start = {64}, .length = 8});
    const auto flushed = layer.flush();
    if (!written || !zeroed || !flushed || !layer.close()) return;
    const auto again = layers::open_upper(how);
    if (!again || !(*again)->repairs().clean()) std::abort();
    std::vector<std::byte> back(4096);
    const auto found = (*again)->index().lookup({.start = {0}, .length = 8});
    if (found.empty() || found.front().state != layers::segment::kind::data) std::abort();
}

/// A layer that was in use when its process died, with some bytes of its files changed.
void exercise_damaged(layers::upper_kind kind, const_bytes edits) {
    const auto disk = std::make_shared<test::torn_disk>();
    layers::create_upper_in(
        *disk, {.paths = paths, .kind = kind, .virtual_size = {disk_bytes}, .uuid = uuid, .parent_uuid = {}})
        .value();
    {
        const layers::upper_opening how{.files = disk, .paths = paths, .inherited_size = {disk_bytes}};
        const auto layer = layers::open_upper(how).value();
        const std::vector<std::byte> bytes(8192, std::byte{0x77});
        layer->write({8}, bytes).value();
        layer->zero({.start = {16}, .length = 64}).value();
        layer->flush().value();
        layer->write({12}, const_bytes(bytes).first(4096)).value();
        layer->zero({.start = {400}, .length = 8}).value();
    }
    const std::filesystem::path files[] = {paths.data, paths.index, layers::pending_log::path_for(paths.index),
                                           layers::discard_map::path_for(paths.data)};
    for (std::size_t at = 0; at + 4 <= edits.size(); at += 4) {
        const auto& path = files[std::to_integer<unsigned>(edits[at]) % 4];
        if (!disk->exists(path).value()) continue;
        auto content = disk->read(path);
        if (content.empty()) continue;
        const auto place = std::to_integer<unsigned>(edits[at + 1]) | std::to_integer<unsigned>(edits[at + 2]) << 8;
        content[place % content.size()] ^= edits[at + 3];
        disk->write(path, content);
    }
    exercise(disk);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 4) return 0;
    const auto bytes = std::as_bytes(std::span(data, size));
    const bool sparse = (data[0] & 1) != 0;
    const std::size_t cut = std::min<std::size_t>(size - 4, unsigned{data[1]} | unsigned{data[2]} << 8);
    if ((data[0] & 4) != 0) {
        exercise_damaged(sparse ? layers::upper_kind::sparse : layers::upper_kind::append_only, bytes.subspan(4));
        return 0;
    }
    const auto first = bytes.subspan(4, cut), second = bytes.subspan(4 + cut);
    const auto disk = std::make_shared<test::torn_disk>();
    auto content = header_of(flags::header | flags::data_file | (sparse ? flags::sparse : 0), 0);
    if (sparse) {
        content.resize(content.size() + disk_bytes);
        std::copy(first.begin(), first.begin() + static_cast<std::ptrdiff_t>(std::min<std::size_t>(cut, disk_bytes)),
                  content.begin() + 4096);
        disk->write(paths.data, content);
        disk->write(paths.index, {});
        if ((data[0] & 2) != 0) disk->write(layers::discard_map::path_for(paths.data), {second.begin(), second.end()});
    } else {
        content.resize(content.size() + data[3] * 512u);
        disk->write(paths.data, content);
        auto journal = header_of(flags::header, 4096);
        append(journal, first);
        disk->write(paths.index, journal);
        if ((data[0] & 2) != 0) disk->write(layers::pending_log::path_for(paths.index), {second.begin(), second.end()});
    }
    disk->settle();
    exercise(disk);
    return 0;
}

#include "layers/gzip/index.hpp"

#include <zlib.h>

#include <cstring>
#include <string>
#include <utility>

#include "base/bytes.hpp"
#include "base/crc32c.hpp"

namespace obd::layers::gzip {
namespace {

// A place a MiB: 16 TiB of content. The entries are in memory, so this is what bounds them.
constexpr std::uint64_t most_entries = 16'000'000;
constexpr std::uint64_t most_entries_bytes = std::uint64_t{512} << 20;

/// Exactly `size` bytes, or corrupt.
result<std::vector<std::byte>> inflate_whole(const_bytes from, std::size_t size, const char* what) {
    std::vector<std::byte> to(size);
    uLongf length = size;
    const auto code = ::uncompress(reinterpret_cast<Bytef*>(to.data()), &length,
                                   reinterpret_cast<const Bytef*>(from.data()), from.size());
    if (code != Z_OK || length != size) return fail(errc::corrupt, std::string("gzip index: damaged ") + what);
    return to;
}

failure bad(const std::string& what) {
    return fail(errc::corrupt, "gzip index: " + what);
}

result<void> check_point(const index& so_far, const access_point& point, const index_header& header) {
    const auto number = "place " + std::to_string(so_far.points.size());
    if (point.bits > 7 || (point.bits != 0 && point.packed == 0)) return bad(number + ": absurd bits");
    if (point.plain > header.plain_size || point.packed > header.gzip_size) return bad(number + ": behind the end");
    if (point.window_offset > header.entries_offset ||
        point.window_size > header.entries_offset - point.window_offset || point.window_size > 2 * window_bytes)
        return bad(number + ": its window lies outside");
    if (so_far.points.empty()) return point.plain == 0 ? result<void>() : bad(number + ": not at the beginning");
    const auto& last = so_far.points.back();
    if (point.plain <= last.plain || point.packed < last.packed) return bad(number + ": out of order");
    if (point.plain - last.plain > most_span_bytes || point.packed - last.packed > most_span_bytes)
        return fail(errc::limit_exceeded, "gzip index: " + number + ": too far from the one before");
    return {};
}

}  // namespace

result<index_header> decode_index_header(const_bytes raw, byte_count file_size, byte_count gzip_size) {
    if (raw.size() < sizeof(index_header)) return bad("cut off");
    const auto header = load<index_header>(raw, 0);
    if (header.magic != index_magic) return bad("no such file");
    if (crc32c_raw(raw.first(offsetof(index_header, crc)), 0) != header.crc) return bad("checksum of the header");
    if (header.major_version != index_major)
        return fail(errc::unsupported, "gzip index: version " + std::to_string(header.major_version));
    if (header.coding > 1) return fail(errc::unsupported, "gzip index: coding " + std::to_string(header.coding));
    if (header.entry_size != sizeof(index_entry) || header.window != window_bytes)
        return fail(errc::unsupported, "gzip index: other sizes of entries or windows");
    if (header.index_size != file_size.value) return bad("its file has another size than it says");
    if (header.gzip_size != gzip_size.value)
        return bad("is for a gzip file of " + std::to_string(header.gzip_size) + " bytes, not " +
                   std::to_string(gzip_size.value));
    if (header.entries_offset < sizeof(index_header) || header.entries_offset > file_size.value ||
        header.entries_bytes != file_size.value - header.entries_offset)
        return bad("its entries do not end the file");
    if (header.entries == 0 || header.entries > most_entries || header.entries_bytes > most_entries_bytes)
        return fail(errc::limit_exceeded, "gzip index: " + std::to_string(header.entries) + " entries");
    return header;
}

result<index> decode_index_entries(const index_header& header, const_bytes entries) {
    index found;
    found.gzip_size = {header.gzip_size};
    found.plain_size = {header.plain_size};
    found.coding = static_cast<window_coding>(header.coding);
    const std::uint64_t bytes = header.entries * sizeof(index_entry);
    std::vector<std::byte> unpacked;
    if (found.coding == window_coding::zlib) {
        // DEFLATE makes at most 1032 bytes of one: memory only for what the file can hold.
        if (bytes / 1032 > entries.size() + 1) return bad("more entries than it can hold");
        TRY(unpacked, inflate_whole(entries, bytes, "entries"));
        entries = unpacked;
    }
    if (entries.size() != bytes) return bad("its entries do not fill their space");
    for (std::uint64_t i = 0; i < header.entries; ++i) {
        const auto raw = load<index_entry>(entries, i * sizeof(index_entry));
        const access_point point{.plain = raw.plain,
                                 .packed = raw.packed,
                                 .window_offset = raw.window_offset,
                                 .window_size = raw.window_size,
                                 .bits = raw.bits};
        TRYV(check_point(found, point, header));
        found.points.push_back(point);
    }
    const auto& last = found.points.back();
    if (header.plain_size - last.plain > most_span_bytes || header.gzip_size - last.packed > most_span_bytes)
        return fail(errc::limit_exceeded, "gzip index: the last place is too far from the end");
    return found;
}

result<std::vector<std::byte>> decode_window(window_coding coding, const_bytes raw) {
    if (coding == window_coding::zlib) return inflate_whole(raw, window_bytes, "window");
    if (raw.size() != window_bytes) return bad("a window of another size");
    return std::vector<std::byte>(raw.begin(), raw.end());
}

asio::awaitable<result<index>> read_index(blob_source& from, byte_count gzip_size) {
    if (from.size().value < sizeof(index_header)) co_return bad("cut off");
    std::vector<std::byte> head(sizeof(index_header));
    const mutable_bytes head_space(head);
    const byte_offset start{0};
    CO_TRYV(co_await from.read(start, head_space));
    CO_TRY(const auto header, decode_index_header(head, from.size(), gzip_size));
    std::vector<std::byte> entries(header.entries_bytes);
    const mutable_bytes space(entries);
    const byte_offset at{header.entries_offset};
    CO_TRYV(co_await from.read(at, space));
    co_return decode_index_entries(header, entries);
}

}  // namespace obd::layers::gzip

// A gzip index read into memory, but for its windows.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <vector>

#include "base/blob_source.hpp"
#include "base/result.hpp"
#include "base/units.hpp"
#include "layers/gzip/format.hpp"

namespace obd::layers::gzip {

/// Where decompression can begin, and where the window lies that it begins with.
struct access_point {
    std::uint64_t plain = 0;
    std::uint64_t packed = 0;
    std::uint64_t window_offset = 0;
    std::uint32_t window_size = 0;
    std::uint8_t bits = 0;
};

struct index {
    byte_count gzip_size;
    byte_count plain_size;
    window_coding coding = window_coding::zlib;
    std::vector<access_point> points;  ///< sorted; the first at 0; no two at the same plain byte
};

/// What two neighbouring places may be apart. A longer distance is refused: it would all be in memory at once.
inline constexpr std::uint64_t most_span_bytes = 64 << 20;

/// Header and entries. corrupt: damaged, or of another file than one of `gzip_size` bytes; unsupported: another
/// version.
asio::awaitable<result<index>> read_index(blob_source& from, byte_count gzip_size);

/// The same from the parts of the file, checked. `entries` as they lie there.
result<index_header> decode_index_header(const_bytes raw, byte_count file_size, byte_count gzip_size);
result<index> decode_index_entries(const index_header& header, const_bytes entries);

/// A window as it lies in the file, unpacked to window_bytes.
result<std::vector<std::byte>> decode_window(window_coding coding, const_bytes raw);

}  // namespace obd::layers::gzip

// The gzip index of TurboOCI ("gzip.meta"): places in a gzip file at which decompression can begin, so that its
// contents can be read at random. docs/formats/gzip-index.md. All integers are little-endian.
#pragma once

#include <array>
#include <boost/endian/arithmetic.hpp>
#include <cstddef>
#include <cstdint>

namespace obd::layers::gzip {

using boost::endian::little_int32_t;
using boost::endian::little_uint32_t;
using boost::endian::little_uint64_t;

inline constexpr std::array<char, 8> index_magic{'d', 'd', 'g', 'z', 'i', 'd', 'x', '\0'};
inline constexpr std::uint8_t index_major = 1;
inline constexpr std::uint32_t window_bytes = 32768;  // what DEFLATE may refer back to
inline constexpr std::uint64_t default_span = 1 << 20;

enum class window_coding : std::uint8_t { none = 0, zlib = 1 };

struct index_header {
    std::array<char, 8> magic;
    std::uint8_t major_version;
    std::uint8_t minor_version;
    std::uint8_t coding;  ///< of windows and of the entries: window_coding
    std::int8_t level;
    std::uint8_t flag;
    little_int32_t span;    ///< uncompressed bytes between two places, at least
    little_int32_t window;  ///< window_bytes
    little_int32_t entry_size;
    little_uint64_t entries;
    little_uint64_t gzip_size;
    little_uint64_t index_size;  ///< of this file
    little_uint64_t plain_size;
    std::array<std::byte, 256> reserved;
    little_uint64_t entries_offset;
    little_uint64_t entries_bytes;  ///< as they lie there
    little_uint32_t crc;            ///< crc32c_raw of everything before, from 0
};
static_assert(sizeof(index_header) == 333 && alignof(index_header) == 1);
static_assert(offsetof(index_header, span) == 13 && offsetof(index_header, entries) == 25);
static_assert(offsetof(index_header, entries_offset) == 313 && offsetof(index_header, crc) == 329);

struct index_entry {
    little_uint64_t plain;   ///< uncompressed bytes before the place
    little_uint64_t packed;  ///< first whole byte of the gzip file behind it
    little_uint64_t window_offset;
    std::uint8_t bits;  ///< of the byte before `packed` that belong to it still
    little_uint32_t window_size;
};
static_assert(sizeof(index_entry) == 29 && alignof(index_entry) == 1);

}  // namespace obd::layers::gzip

// ZFile: block compression with random access, as it lies on disk. docs/formats/zfile.md describes it in words.
#pragma once

#include <array>
#include <boost/endian/arithmetic.hpp>
#include <cstddef>
#include <cstdint>

namespace obd::layers::zfile {

inline constexpr std::array<std::uint8_t, 8> magic0{'Z', 'F', 'i', 'l', 'e', 0, 1, 0};
inline constexpr std::array<std::uint8_t, 16> magic1{'t', 'u', 'j', 'i', '.', 'y', 'y', 'f',
                                                     '@', 'A', 'l', 'i', 'b', 'a', 'b', 'a'};
inline constexpr std::uint64_t header_space_bytes = 512;
inline constexpr std::uint32_t header_struct_bytes = 96;
/// Start value of the CRC-32C register over each compressed block.
inline constexpr std::uint32_t block_crc_seed = 100007;
inline constexpr std::uint32_t block_crc_bytes = 4;
inline constexpr std::uint32_t min_block_bytes = 512;
inline constexpr std::uint32_t max_block_bytes = 65536;

namespace flag {
inline constexpr std::uint64_t header = 1u << 0;  ///< else trailer
inline constexpr std::uint64_t data_file = 1u << 1;
inline constexpr std::uint64_t sealed = 1u << 2;
inline constexpr std::uint64_t header_overwrite = 1u << 3;  ///< the header holds the index fields too
inline constexpr std::uint64_t digest = 1u << 4;            ///< `digest` and `index_crc` are valid
inline constexpr std::uint64_t index_compressed = 1u << 5;  ///< documented, never written: refused
}  // namespace flag

enum class algorithm : std::uint8_t { lz4 = 1, zstd = 2 };

/// Header and trailer: the first 96 of 512 bytes. Little-endian, natural alignment. Old files hold garbage in the
/// digest, index_crc, pads and undefined flag bits: test only defined bits, and read index fields of a header only when
/// header_overwrite is set.
struct header_trailer {
    std::array<std::uint8_t, 8> magic0;
    std::array<std::uint8_t, 16> magic1;
    boost::endian::little_uint32_t size;    ///< 96
    boost::endian::little_uint32_t digest;  ///< crc32c_raw over all 512 bytes with this field 0, seed 0
    boost::endian::little_uint64_t flags;
    boost::endian::little_uint64_t index_offset;  ///< bytes
    boost::endian::little_uint64_t index_size;    ///< entries of 4 bytes: one a block
    boost::endian::little_uint64_t original_file_size;
    boost::endian::little_uint32_t index_crc;  ///< crc32c_raw over the index, seed 0
    boost::endian::little_uint32_t reserved0;
    boost::endian::little_uint32_t block_size;
    std::uint8_t algo;
    std::uint8_t level;
    std::uint8_t use_dict;
    std::array<std::uint8_t, 5> reserved1;
    boost::endian::little_uint32_t dict_size;
    std::uint8_t verify;  ///< 1: a CRC follows each block
    std::array<std::uint8_t, 7> reserved2;
};
static_assert(sizeof(header_trailer) == header_struct_bytes && alignof(header_trailer) == 1 &&
              offsetof(header_trailer, flags) == 32 && offsetof(header_trailer, block_size) == 72 &&
              offsetof(header_trailer, dict_size) == 84 && offsetof(header_trailer, verify) == 88);

}  // namespace obd::layers::zfile

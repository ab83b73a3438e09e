// LSMT: the log-structured layer format of overlaybd, as it lies on disk. docs/formats/lsmt.md describes it in words.
#pragma once

#include <array>
#include <boost/endian/arithmetic.hpp>
#include <cstddef>
#include <cstdint>

#include "base/units.hpp"

namespace obd::layers::lsmt {

inline constexpr std::array<std::uint8_t, 8> magic0{'L', 'S', 'M', 'T', 0, 1, 2, 0};
inline constexpr std::array<std::uint8_t, 16> magic1{0x65, 0x7e, 0x63, 0xd2, 0x94, 0x44, 0x08, 0x4c,
                                                     0xa2, 0xd2, 0xc8, 0xec, 0x4f, 0xcf, 0xae, 0x8a};
/// The space that a header or a trailer occupies in a file; the struct below is its beginning.
inline constexpr std::uint64_t header_space_bytes = 4096;
inline constexpr std::uint32_t header_struct_bytes = 390;
/// Data starts at this sector of a layer file: right behind the header.
inline constexpr sector first_data_sector{8};

namespace flag {
inline constexpr std::uint32_t header = 1u << 0;     ///< else trailer
inline constexpr std::uint32_t data_file = 1u << 1;  ///< else index file
inline constexpr std::uint32_t sealed = 1u << 2;
inline constexpr std::uint32_t sparse = 1u << 4;
}  // namespace flag

/// Header and trailer. Little-endian, packed.
struct header_trailer {
    std::array<std::uint8_t, 8> magic0;
    std::array<std::uint8_t, 16> magic1;
    boost::endian::little_uint32_t size;  ///< 390; not checked by readers
    boost::endian::little_uint32_t flags;
    boost::endian::little_uint64_t index_offset;  ///< bytes
    boost::endian::little_uint64_t index_size;    ///< entries, padding ones included
    boost::endian::little_uint64_t virtual_size;  ///< bytes
    std::array<char, 37> uuid;                    ///< 36 characters and a NUL
    std::array<char, 37> parent_uuid;
    std::array<std::uint8_t, 2> reserved;  ///< garbage in existing files: ignored, written as zero
    std::uint8_t version;                  ///< 1
    std::uint8_t sub_version;              ///< 1
    std::array<char, 256> user_tag;        ///< commit message, zero padded
};
static_assert(sizeof(header_trailer) == header_struct_bytes && alignof(header_trailer) == 1 &&
              offsetof(header_trailer, index_offset) == 32 && offsetof(header_trailer, uuid) == 56 &&
              offsetof(header_trailer, user_tag) == 134);

/// One index entry: two little-endian words. Use mapping.hpp to take it apart.
struct index_entry {
    boost::endian::little_uint64_t word0;  ///< bits 0..49 virtual start sector, 50..63 length in sectors
    boost::endian::little_uint64_t word1;  ///< bits 0..54 sector in this file, 55 zeroed, 56..63 tag
};
static_assert(sizeof(index_entry) == 16 && alignof(index_entry) == 1);

inline constexpr std::uint64_t offset_mask = (std::uint64_t{1} << 50) - 1;
inline constexpr std::uint64_t invalid_offset = offset_mask;  ///< marks a padding entry
inline constexpr std::uint32_t max_mapping_sectors = 16383;
inline constexpr std::uint64_t moffset_mask = (std::uint64_t{1} << 55) - 1;
inline constexpr std::uint64_t zeroed_bit = std::uint64_t{1} << 55;

/// Tags of a TurboOCI layer's mappings: into the layer file itself, into the original tar.
inline constexpr std::uint8_t turbo_tag_own = 0;
inline constexpr std::uint8_t turbo_tag_target = 1;

}  // namespace obd::layers::lsmt

// Decoding of ZFile headers and trailers: bytes in, checked values out. No I/O. docs/formats/zfile.md.
#pragma once

#include <cstdint>
#include <optional>

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "base/units.hpp"
#include "layers/zfile/format.hpp"

namespace obd::layers::zfile {

/// How the blocks are coded, and where the index is. From the header or, where that was not overwritten, the trailer.
struct parameters {
    algorithm algo = algorithm::lz4;
    std::uint32_t block_bytes = 4096;  ///< a power of two, min_block_bytes..max_block_bytes
    bool verify = true;                ///< a CRC follows each block
    byte_count original_size;
    std::uint64_t index_offset = 0;          ///< bytes
    std::uint64_t blocks = 0;                ///< == ceil(original_size / block_bytes)
    std::optional<std::uint32_t> index_crc;  ///< where the writer recorded one
};

/// What a compressed block may occupy, its CRC included: more than any encoder makes of incompressible input.
constexpr std::uint32_t max_stored_block_bytes(std::uint32_t block_bytes) {
    return block_bytes + block_bytes / 8 + 128;
}

const char* name_of(algorithm algo) noexcept;

/// True when the bytes begin with the two ZFile magics: whatever is wrong then is damage, not another format.
bool has_magic(const_bytes bytes) noexcept;

/// The header's parameters, or nothing when they are in the trailer. `bytes` are the first header_space_bytes of the
/// unwrapped file of `file_size` bytes. errc::corrupt when damaged, unsupported for dictionaries, a compressed index or
/// an unknown algorithm.
result<std::optional<parameters>> decode_header(const_bytes bytes, byte_count file_size);
/// As decode_header, for the last header_space_bytes of the file.
result<parameters> decode_trailer(const_bytes bytes, byte_count file_size);

}  // namespace obd::layers::zfile

// One block of a ZFile: checksum and decompression. No I/O.
#pragma once

#include <cstdint>

#include "base/bytes.hpp"
#include "layers/zfile/header.hpp"

namespace obd::layers::zfile {

enum class decode_error {
    none,
    checksum,      ///< the CRC behind the block does not match
    compression,   ///< not a valid compressed block
    wrong_length,  ///< valid, but not as long as the block has to be
};

const char* text_of(decode_error error) noexcept;

/// Decodes `stored` (compressed bytes and, with verify, their CRC) into `out`, which has exactly the length that the
/// block must decode to. Uses a per-thread decompression context; allocates only on a thread's first use.
decode_error decode_block(const parameters& info, const_bytes stored, mutable_bytes out) noexcept;

}  // namespace obd::layers::zfile

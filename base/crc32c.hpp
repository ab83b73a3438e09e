// CRC-32C (Castagnoli), by the CPU's own instruction where it has one (chosen at run time).
#pragma once

#include <cstdint>

#include "base/bytes.hpp"

namespace obd {

/// The bare register: started at `seed`, no inversion before or after. ZFile uses this form (docs/formats/zfile.md).
/// raw("123456789", 0) = 0x58e3fa20. Chains: raw(b, raw(a, seed)) is the value over a followed by b.
std::uint32_t crc32c_raw(const_bytes bytes, std::uint32_t seed) noexcept;

/// The standard form, as iSCSI digests use it (RFC 7143 §13.1): crc32c("123456789") = 0xe3069283.
/// `previous` continues a value over earlier bytes.
inline std::uint32_t crc32c(const_bytes bytes, std::uint32_t previous = 0) noexcept {
    return crc32c_raw(bytes, previous ^ 0xffffffffu) ^ 0xffffffffu;
}

/// The table-driven form that machines without the instruction use; public so that tests compare the two.
std::uint32_t crc32c_raw_portable(const_bytes bytes, std::uint32_t seed) noexcept;

}  // namespace obd

// The limits that VPD page B0h reports and that the commands enforce.
#pragma once

#include <algorithm>

#include "base/block_device.hpp"
#include "base/limits.hpp"

namespace obd::scsi {

inline constexpr std::uint32_t max_unmap_descriptors = 256;     // what one UNMAP may hold: bounds the list of ranges
inline constexpr std::uint32_t max_unmap_blocks = 0xffff'ffff;  // no limit: a discard changes an index, not the data
inline constexpr std::uint32_t max_write_same_bytes = limits::max_transfer_bytes;  // ends well before a deadline
inline constexpr std::uint32_t max_compare_blocks = 0xff;                          // the CDB's own limit
inline constexpr std::uint32_t max_lba_status_descriptors = 1024;                  // bounds one GET LBA STATUS reply

/// MAXIMUM TRANSFER LENGTH, in blocks.
inline std::uint64_t max_transfer_blocks(const device_geometry& geometry) {
    return limits::max_transfer_bytes / geometry.logical_block_bytes;
}

/// MAXIMUM ATOMIC TRANSFER LENGTH: at least one block, which is all or nothing anyhow.
inline std::uint64_t max_atomic_blocks(const device_geometry& geometry) {
    const auto bytes = std::max(geometry.max_atomic_write_bytes, geometry.logical_block_bytes);
    return std::min<std::uint64_t>(bytes / geometry.logical_block_bytes, max_transfer_blocks(geometry));
}

/// THRESHOLD EXPONENT of VPD page B2h: provisioning is counted in sets of 2^11 blocks, 1 MiB where they have 512 bytes.
inline constexpr std::uint8_t threshold_exponent = 11;

inline std::uint64_t threshold_set_bytes(const device_geometry& geometry) {
    return std::uint64_t{geometry.logical_block_bytes} << threshold_exponent;
}

/// MAXIMUM WRITE SAME LENGTH.
inline std::uint64_t max_write_same_blocks(const device_geometry& geometry) {
    return max_write_same_bytes / geometry.logical_block_bytes;
}

}  // namespace obd::scsi

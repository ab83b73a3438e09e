// Distances on disks and in files as distinct types, so that a sector never passes for a byte.
#pragma once

#include <compare>
#include <cstdint>

namespace obd {

inline constexpr std::uint64_t sector_bytes = 512;

/// How many bytes.
struct byte_count {
    std::uint64_t value = 0;
    auto operator<=>(const byte_count&) const = default;
    friend constexpr byte_count operator+(byte_count a, byte_count b) { return {a.value + b.value}; }
    friend constexpr byte_count operator-(byte_count a, byte_count b) { return {a.value - b.value}; }
};

/// A position in a blob or on a device, in bytes from its start.
struct byte_offset {
    std::uint64_t value = 0;
    auto operator<=>(const byte_offset&) const = default;
    friend constexpr byte_offset operator+(byte_offset a, byte_count b) { return {a.value + b.value}; }
    friend constexpr byte_count operator-(byte_offset a, byte_offset b) { return {a.value - b.value}; }
};

/// A 512-byte unit of an LSMT layer (FORMAT: LSMT §A): a position or a count of them.
struct sector {
    std::uint64_t value = 0;
    auto operator<=>(const sector&) const = default;
    friend constexpr sector operator+(sector a, sector b) { return {a.value + b.value}; }
    friend constexpr sector operator-(sector a, sector b) { return {a.value - b.value}; }
};

/// A logical block address of a SCSI logical unit; what it counts depends on the unit's block length.
struct lba {
    std::uint64_t value = 0;
    auto operator<=>(const lba&) const = default;
};

constexpr byte_offset to_bytes(sector position) {
    return {position.value * sector_bytes};
}
/// Rounds down.
constexpr sector sector_of(byte_offset position) {
    return {position.value / sector_bytes};
}
/// REQUIRES: no overflow; check the address against the capacity first.
constexpr byte_offset to_bytes(lba address, std::uint32_t block_bytes) {
    return {address.value * block_bytes};
}

/// True when [offset, offset + count) lies within [0, limit), with no overflow.
constexpr bool within(byte_offset offset, byte_count count, byte_count limit) {
    return offset.value <= limit.value && count.value <= limit.value - offset.value;
}

constexpr bool is_power_of_two(std::uint64_t n) {
    return n != 0 && (n & (n - 1)) == 0;
}
/// REQUIRES: `alignment` is a power of two and the result fits.
constexpr std::uint64_t align_down(std::uint64_t n, std::uint64_t alignment) {
    return n & ~(alignment - 1);
}
constexpr std::uint64_t align_up(std::uint64_t n, std::uint64_t alignment) {
    return align_down(n + alignment - 1, alignment);
}

}  // namespace obd

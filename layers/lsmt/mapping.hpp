// One entry of an LSMT index: where a run of virtual sectors lies in its layer. docs/formats/lsmt.md, "Index entry".
//
// `mapping` is for working with, `packed_mapping` is the same in the 16 bytes that indexes hold by the million, and
// `index_entry` (format.hpp) is the packed form in the byte order of the disk.
#pragma once

#include <compare>
#include <cstdint>

#include "base/units.hpp"
#include "layers/lsmt/format.hpp"

namespace obd::layers::lsmt {

struct mapping {
    sector start;              ///< virtual; below 2^50
    sector moffset;            ///< in the unwrapped layer file; for a zeroed mapping where data would have been
    std::uint32_t length = 0;  ///< sectors, 1..max_mapping_sectors
    bool zeroed = false;       ///< reads as zeros and hides lower layers; occupies nothing
    std::uint8_t tag = 0;      ///< which layer of a stack; noise on disk (but for TurboOCI)

    constexpr sector end() const { return {start.value + length}; }
    /// Where the next data would lie to continue this mapping in the file.
    constexpr sector moffset_end() const { return zeroed ? moffset : sector{moffset.value + length}; }
    bool operator==(const mapping&) const = default;
};

/// The two words of an index entry in native byte order.
struct packed_mapping {
    std::uint64_t word0;
    std::uint64_t word1;

    constexpr sector start() const { return {word0 & offset_mask}; }
    constexpr std::uint32_t length() const { return static_cast<std::uint32_t>(word0 >> 50); }
    constexpr sector end() const { return {start().value + length()}; }
    constexpr sector moffset() const { return {word1 & moffset_mask}; }
    constexpr bool zeroed() const { return (word1 & zeroed_bit) != 0; }
    constexpr std::uint8_t tag() const { return static_cast<std::uint8_t>(word1 >> 56); }
    /// Padding entries fill an index up to a multiple of some size; they map nothing.
    constexpr bool is_padding() const { return start().value == invalid_offset; }

    constexpr packed_mapping with_tag(std::uint8_t new_tag) const {
        return {word0, (word1 & (zeroed_bit | moffset_mask)) | (std::uint64_t{new_tag} << 56)};
    }
    bool operator==(const packed_mapping&) const = default;
};
static_assert(sizeof(packed_mapping) == 16);

inline constexpr packed_mapping padding_mapping{invalid_offset, 0};

/// REQUIRES: every field within the bits that the format gives it.
constexpr packed_mapping pack(const mapping& m) {
    return {m.start.value | (std::uint64_t{m.length} << 50),
            m.moffset.value | (m.zeroed ? zeroed_bit : 0) | (std::uint64_t{m.tag} << 56)};
}

constexpr mapping unpack(packed_mapping p) {
    return {.start = p.start(), .moffset = p.moffset(), .length = p.length(), .zeroed = p.zeroed(), .tag = p.tag()};
}

inline packed_mapping from_disk(const index_entry& entry) {
    return {entry.word0, entry.word1};
}
inline index_entry to_disk(packed_mapping p) {
    index_entry entry;
    entry.word0 = p.word0;
    entry.word1 = p.word1;
    return entry;
}

/// What is left of a mapping between two sectors. The front of a data mapping takes its moffset along, a zeroed one
/// keeps it. REQUIRES: m.start <= from < to <= m.end().
constexpr mapping clipped(mapping m, sector from, sector to) {
    if (!m.zeroed) m.moffset.value += from.value - m.start.value;
    m.start = from;
    m.length = static_cast<std::uint32_t>(to.value - from.value);
    return m;
}

}  // namespace obd::layers::lsmt

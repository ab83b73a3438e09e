// The indexes of a stack of layers as one: for every virtual sector, which layer has it and where.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.hpp"
#include "base/units.hpp"
#include "layers/lsmt/mapping.hpp"
#include "layers/sector_search.hpp"

namespace obd::layers {

/// One stretch of a lookup.
struct segment {
    enum class kind : std::uint8_t {
        hole,    ///< no layer has anything: reads as zeros, shows what lies below
        zeroed,  ///< some layer discarded it: reads as zeros, hides what lies below
        data,
    };
    sector start;
    std::uint64_t length = 0;  ///< sectors; a hole may be long
    kind state = kind::hole;
    std::uint8_t layer = 0;  ///< number in the stack, bottom 0; not for holes
    sector moffset;          ///< in that layer's unwrapped file; for data only

    sector end() const { return {start.value + length}; }
    bool operator==(const segment&) const = default;
};

struct sector_range {
    sector start;
    std::uint64_t length = 0;  ///< sectors
};

/// Immutable; may be used from any thread. Entries are packed_mapping with the layer's number as tag, sorted and
/// disjoint.
class merged_index {
public:
    /// Walks a range: segments in order, without gaps, clipped to the range. Cheap to copy; borrows the index.
    class cursor {
    public:
        /// False at the end of the range.
        bool next(segment& out) noexcept {
            if (position_ == end_) return false;
            if (entry_ == last_ || entry_->start().value >= end_) return hole_until(end_, out);
            const std::uint64_t start = entry_->start().value;
            if (start > position_) return hole_until(start, out);
            const std::uint64_t stop = entry_->end().value < end_ ? entry_->end().value : end_;
            out.start = {position_};
            out.length = stop - position_;
            out.state = entry_->zeroed() ? segment::kind::zeroed : segment::kind::data;
            out.layer = entry_->tag();
            out.moffset = {entry_->zeroed() ? 0 : entry_->moffset().value + (position_ - start)};
            position_ = stop;
            ++entry_;
            return true;
        }

    private:
        friend class merged_index;
        cursor(const lsmt::packed_mapping* entry, const lsmt::packed_mapping* last, sector_range range)
            : entry_(entry), last_(last), position_(range.start.value), end_(range.start.value + range.length) {}
        bool hole_until(std::uint64_t stop, segment& out) noexcept {
            out = {.start = {position_},
                   .length = stop - position_,
                   .state = segment::kind::hole,
                   .layer = 0,
                   .moffset = {0}};
            position_ = stop;
            return true;
        }

        const lsmt::packed_mapping* entry_;  ///< the first entry that ends behind position_
        const lsmt::packed_mapping* last_;
        std::uint64_t position_;
        std::uint64_t end_;
    };

    merged_index() = default;
    /// `stack`: the layers' own indexes, bottom first, each sorted and disjoint; tags in them are ignored. The topmost
    /// layer that has an entry for a sector decides. Fails with limit_exceeded (limits::layers_per_image,
    /// merged_entries).
    static result<merged_index> build(std::span<const std::span<const lsmt::packed_mapping>> stack);

    /// REQUIRES: range.start + range.length does not overflow.
    cursor lookup(sector_range range) const noexcept {
        const lsmt::packed_mapping* first = entries_.data();
        return {first + first_ending_after(range.start), first + entries_.size(), range};
    }
    std::span<const lsmt::packed_mapping> entries() const noexcept { return entries_; }

private:
    /// Position of the first entry whose end lies behind `where`.
    std::size_t first_ending_after(sector where) const noexcept;

    std::vector<lsmt::packed_mapping> entries_;
    sector_search search_;
};

/// Two indexes as one, `upper` hiding `lower`. Both sorted and disjoint; tags are kept.
std::vector<lsmt::packed_mapping> merge_over(std::span<const lsmt::packed_mapping> upper,
                                             std::span<const lsmt::packed_mapping> lower);

}  // namespace obd::layers

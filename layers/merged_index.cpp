#include "layers/merged_index.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include "base/limits.hpp"

namespace obd::layers {
namespace {

using lsmt::packed_mapping;
using stack_of_indexes = std::span<const std::span<const packed_mapping>>;

/// The part of `entry` between the two sectors, which it covers.
packed_mapping clip(packed_mapping entry, sector from, sector to) {
    if (from == entry.start() && to == entry.end()) return entry;
    return lsmt::pack(lsmt::clipped(lsmt::unpack(entry), from, to));
}

/// Halves the stack until single layers are left, and merges upwards: every entry is looked at log2(layers) times.
std::vector<packed_mapping> merge_range(stack_of_indexes stack, std::size_t first_layer) {
    if (stack.size() == 1) {
        std::vector<packed_mapping> tagged(stack[0].begin(), stack[0].end());
        for (auto& entry : tagged) entry = entry.with_tag(static_cast<std::uint8_t>(first_layer));
        return tagged;
    }
    const std::size_t half = stack.size() / 2;
    const auto lower = merge_range(stack.first(half), first_layer);
    const auto upper = merge_range(stack.subspan(half), first_layer + half);
    return merge_over(upper, lower);
}

}  // namespace

std::vector<packed_mapping> merge_over(std::span<const packed_mapping> upper, std::span<const packed_mapping> lower) {
    std::vector<packed_mapping> merged;
    merged.reserve(upper.size() + lower.size());
    auto below = lower.begin();
    sector from{0};  // what lies before it is hidden or done
    // Takes over what `lower` has in [from, stop).
    const auto take_below = [&](sector stop) {
        while (below != lower.end() && below->start() < stop) {
            const sector begin = std::max(below->start(), from);
            const sector end = std::min(below->end(), stop);
            if (begin < end) merged.push_back(clip(*below, begin, end));
            if (below->end() > stop) break;  // its rest may show behind the upper entry
            ++below;
        }
    };
    for (const packed_mapping& above : upper) {
        take_below(above.start());
        merged.push_back(above);
        from = above.end();
        while (below != lower.end() && below->end() <= from) ++below;
    }
    take_below(sector{lsmt::offset_mask + lsmt::max_mapping_sectors + 1});
    return merged;
}

result<merged_index> merged_index::build(stack_of_indexes stack) {
    if (stack.size() > limits::layers_per_image) {
        return fail(errc::limit_exceeded, "a stack of " + std::to_string(stack.size()) + " layers, the limit is " +
                                              std::to_string(limits::layers_per_image));
    }
    std::uint64_t total = 0;
    for (const auto& index : stack) total += index.size();
    if (total > limits::merged_entries) {
        return fail(errc::limit_exceeded, "the indexes of the layers have " + std::to_string(total) +
                                              " entries, the limit is " + std::to_string(limits::merged_entries));
    }
    merged_index built;
    if (!stack.empty()) built.entries_ = merge_range(stack, 0);
    built.entries_.shrink_to_fit();
    built.search_ = sector_search(built.entries_);
    return built;
}

std::size_t merged_index::first_ending_after(sector where) const noexcept {
    const std::size_t started = search_.count_starting_by(entries_, where);
    if (started > 0 && entries_[started - 1].end() > where) return started - 1;
    return started;
}

}  // namespace obd::layers

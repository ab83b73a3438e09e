// Search in a sorted array of index entries, laid out for the cache: a static B+ tree of 16-key nodes whose leaves are
// the entries themselves, four to a cache line. A search touches one node a level and one line of entries, whatever the
// number of layers was. The node scan uses AVX-512 or AVX2 where the CPU has them, chosen once at run time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/units.hpp"
#include "layers/lsmt/mapping.hpp"

namespace obd::layers {

class sector_search {
public:
    enum class instructions { portable, avx2, avx512 };
    /// The best that this CPU has.
    static instructions best() noexcept;

    sector_search() = default;
    /// Borrows nothing: `entries` may move afterwards. REQUIRES: sorted by start; the CPU has `use`.
    explicit sector_search(std::span<const lsmt::packed_mapping> entries, instructions use = best());

    /// How many of `entries` start at or before `where`. `entries` is what the constructor saw.
    std::size_t count_starting_by(std::span<const lsmt::packed_mapping> entries, sector where) const noexcept;

private:
    static constexpr std::size_t node_keys = 16;
    static constexpr std::size_t leaf_entries = 4;
    using node_rank = std::size_t (*)(const std::uint64_t* keys, std::uint64_t where) noexcept;

    static node_rank rank_for(instructions use) noexcept;

    /// keys_[level_[i]..] is level i, root first; a key is the start of the first entry of a child, padded with the
    /// greatest value to whole nodes. A child's number is the count of keys at or below `where`, less one.
    std::vector<std::uint64_t> keys_;
    std::vector<std::size_t> levels_;
    node_rank rank_ = nullptr;
};

}  // namespace obd::layers

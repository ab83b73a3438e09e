// The index of a writable layer in memory: which sectors it holds and where, changed and searched by many threads.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>
#include <shared_mutex>
#include <span>
#include <unordered_map>
#include <vector>

#include "layers/lsmt/mapping.hpp"
#include "layers/merged_index.hpp"

namespace obd::layers {

/// The disk is cut into regions of 4 MiB; each holds its mappings in a small sorted array, and every 64th region shares
/// a lock that is held for a search or a change in memory only. Memory is proportional to what was written.
///
/// Thread-safe. A change is visible as a whole or not at all, however many regions it touches.
class upper_index {
public:
    /// Puts mappings on top of what is there, in order; each hides what it covers. REQUIRES: each within 2^50 sectors.
    void insert(std::span<const lsmt::mapping> mappings);

    /// The segments of a range, in order and without gaps, into `out`; their number. Nothing when a lock is taken at
    /// the moment or `out` is too small. Never waits or allocates.
    std::optional<std::size_t> try_lookup(sector_range range, std::span<segment> out) const noexcept;
    std::vector<segment> lookup(sector_range range) const;

    /// All of it, sorted, disjoint, neighbours joined; tags 0.
    std::vector<lsmt::packed_mapping> dump() const;
    /// Mappings held.
    std::uint64_t size() const noexcept { return size_.load(std::memory_order_relaxed); }

private:
    static constexpr std::uint64_t region_sectors =
        8192;  // below max_mapping_sectors: a region is one mapping at least
    static constexpr std::size_t shards = 64;

    using region = std::vector<lsmt::packed_mapping>;
    struct alignas(64) shard {
        mutable std::shared_mutex mutex;
        std::unordered_map<std::uint64_t, region> regions;
    };

    static std::uint64_t shard_set(sector_range range) noexcept;
    /// Calls found(segment) for each; stops when it returns false.
    template <typename Found>
    void visit(sector_range range, Found found) const;
    void insert_locked(const lsmt::mapping& m);

    std::array<shard, shards> shards_;
    std::atomic<std::uint64_t> size_{0};
};

}  // namespace obd::layers

#include "layers/sector_search.hpp"

#include <immintrin.h>

#include <algorithm>
#include <bit>
#include <limits>

#include "base/result.hpp"

namespace obd::layers {
namespace {

constexpr std::size_t keys_a_node = 16;
/// Pads nodes; greater than every sector, and positive where an instruction compares as signed.
constexpr std::uint64_t no_key = std::numeric_limits<std::int64_t>::max();

std::size_t rank_portable(const std::uint64_t* keys, std::uint64_t where) noexcept {
    std::size_t rank = 0;
    for (std::size_t i = 0; i < keys_a_node; ++i) rank += keys[i] <= where ? 1 : 0;
    return rank;
}

#if defined(__x86_64__)
__attribute__((target("avx2,popcnt"))) std::size_t rank_avx2(const std::uint64_t* keys, std::uint64_t where) noexcept {
    const __m256i wanted = _mm256_set1_epi64x(static_cast<long long>(where));
    int greater = 0;
    for (std::size_t i = 0; i < keys_a_node; i += 4) {
        const __m256i four = _mm256_loadu_si256(reinterpret_cast<const __m256i_u*>(keys + i));
        const __m256d compared = _mm256_castsi256_pd(_mm256_cmpgt_epi64(four, wanted));
        greater += _mm_popcnt_u32(static_cast<unsigned>(_mm256_movemask_pd(compared)));
    }
    return keys_a_node - static_cast<std::size_t>(greater);
}

__attribute__((target("avx512f,popcnt"))) std::size_t rank_avx512(const std::uint64_t* keys,
                                                                  std::uint64_t where) noexcept {
    const __m512i wanted = _mm512_set1_epi64(static_cast<long long>(where));
    const unsigned low = _mm512_cmple_epu64_mask(_mm512_loadu_si512(keys), wanted);
    const unsigned high = _mm512_cmple_epu64_mask(_mm512_loadu_si512(keys + 8), wanted);
    return static_cast<std::size_t>(_mm_popcnt_u32(low | high << 8));
}
#endif

}  // namespace

sector_search::instructions sector_search::best() noexcept {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f")) return instructions::avx512;
    if (__builtin_cpu_supports("avx2")) return instructions::avx2;
#endif
    return instructions::portable;
}

sector_search::node_rank sector_search::rank_for(instructions use) noexcept {
#if defined(__x86_64__)
    if (use == instructions::avx512) return rank_avx512;
    if (use == instructions::avx2) return rank_avx2;
#endif
    static_cast<void>(use);
    return rank_portable;
}

sector_search::sector_search(std::span<const lsmt::packed_mapping> entries, instructions use) : rank_(rank_for(use)) {
    static_assert(node_keys == keys_a_node);
    std::vector<std::uint64_t> level;
    level.reserve(entries.size() / leaf_entries + 1);
    for (std::size_t i = 0; i < entries.size(); i += leaf_entries) level.push_back(entries[i].start().value);
    if (level.size() <= 1) return;

    std::vector<std::vector<std::uint64_t>> bottom_up;
    while (true) {
        const std::size_t nodes = (level.size() + node_keys - 1) / node_keys;
        std::vector<std::uint64_t> parents;
        for (std::size_t i = 0; nodes > 1 && i < level.size(); i += node_keys) parents.push_back(level[i]);
        level.resize(nodes * node_keys, no_key);
        bottom_up.push_back(std::move(level));
        if (nodes == 1) break;
        level = std::move(parents);
    }
    std::size_t total = 0;
    for (const auto& keys : bottom_up) total += keys.size();
    keys_.reserve(total);
    for (auto keys = bottom_up.rbegin(); keys != bottom_up.rend(); ++keys) {
        levels_.push_back(keys_.size());
        keys_.insert(keys_.end(), keys->begin(), keys->end());
    }
}

std::size_t sector_search::count_starting_by(std::span<const lsmt::packed_mapping> entries,
                                             sector where) const noexcept {
    std::size_t child = 0;
    for (const std::size_t level : levels_) {
        const std::size_t rank = rank_(keys_.data() + level + child * node_keys, where.value);
        if (rank == 0) return 0;  // only in the leftmost path: `where` lies before the first entry
        child = child * node_keys + rank - 1;
    }
    std::size_t count = child * leaf_entries;
    const std::size_t stop = std::min(count + leaf_entries, entries.size());
    while (count < stop && entries[count].start() <= where) ++count;
    return count;
}

}  // namespace obd::layers

#include "layers/write/upper_index.hpp"

#include <algorithm>
#include <bit>

#include "layers/write/lsmt_encode.hpp"

namespace obd::layers {
namespace {

/// Locks the shards of a set, lowest first so that no two threads wait for each other.
template <typename Lock>
bool for_each_shard(std::uint64_t set, Lock lock) {
    for (std::uint64_t left = set; left != 0; left &= left - 1) {
        if (!lock(static_cast<std::size_t>(std::countr_zero(left)))) return false;
    }
    return true;
}

auto first_ending_after(const std::vector<lsmt::packed_mapping>& entries, std::uint64_t where) {
    return std::partition_point(entries.begin(), entries.end(),
                                [&](const lsmt::packed_mapping& m) { return m.end().value <= where; });
}

/// Puts `m` into a sorted array over what is there.
void overlay(std::vector<lsmt::packed_mapping>& entries, lsmt::mapping m) {
    auto first = entries.begin() + (first_ending_after(entries, m.start.value) - entries.cbegin());
    auto last =
        std::partition_point(first, entries.end(), [&](const lsmt::packed_mapping& e) { return e.start() < m.end(); });
    std::array<lsmt::packed_mapping, 3> fresh{};
    std::size_t count = 0;
    if (first != last && first->start() < m.start) {
        const auto old = lsmt::unpack(*first);
        fresh[count++] = lsmt::pack(lsmt::clipped(old, old.start, m.start));
    } else if (first != entries.begin()) {
        // A sequential write continues the mapping before it: one entry goes on growing.
        const auto before = lsmt::unpack(*(first - 1));
        if (before.end() == m.start && before.moffset_end() == m.moffset && before.zeroed == m.zeroed) {
            m = {.start = before.start,
                 .moffset = before.moffset,
                 .length = before.length + m.length,
                 .zeroed = m.zeroed};
            --first;
        }
    }
    fresh[count++] = lsmt::pack(m);
    if (first != last && (last - 1)->end() > m.end()) {
        const auto old = lsmt::unpack(*(last - 1));
        fresh[count++] = lsmt::pack(lsmt::clipped(old, m.end(), old.end()));
    }
    const auto replaced = std::min(count, static_cast<std::size_t>(last - first));
    std::copy_n(fresh.begin(), replaced, first);
    const auto position = first + static_cast<std::ptrdiff_t>(replaced);
    if (replaced < count) {
        entries.insert(position, fresh.begin() + static_cast<std::ptrdiff_t>(replaced),
                       fresh.begin() + static_cast<std::ptrdiff_t>(count));
    } else {
        entries.erase(position, last);
    }
}

}  // namespace

std::uint64_t upper_index::shard_set(sector_range range) noexcept {
    if (range.length == 0) return 0;
    const auto first = range.start.value / region_sectors;
    const auto last = (range.start.value + range.length - 1) / region_sectors;
    if (last - first >= shards - 1) return ~std::uint64_t{0};
    std::uint64_t set = 0;
    for (auto number = first; number <= last; ++number) set |= std::uint64_t{1} << (number % shards);
    return set;
}

void upper_index::insert(std::span<const lsmt::mapping> mappings) {
    std::uint64_t set = 0;
    for (const auto& m : mappings) set |= shard_set({.start = m.start, .length = m.length});
    for_each_shard(set, [&](std::size_t i) { return shards_[i].mutex.lock(), true; });
    for (const auto& m : mappings) insert_locked(m);
    for_each_shard(set, [&](std::size_t i) { return shards_[i].mutex.unlock(), true; });
}

void upper_index::insert_locked(const lsmt::mapping& m) {
    for (sector at = m.start; at < m.end();) {
        const auto number = at.value / region_sectors;
        const sector stop{std::min(m.end().value, (number + 1) * region_sectors)};
        auto& entries = shards_[number % shards].regions[number];
        const auto before = entries.size();
        auto piece = lsmt::clipped(m, at, stop);
        piece.tag = 0;
        overlay(entries, piece);
        size_.fetch_add(entries.size() - before, std::memory_order_relaxed);
        at = stop;
    }
}

template <typename Found>
void upper_index::visit(sector_range range, Found found) const {
    const std::uint64_t end = range.start.value + range.length;
    std::uint64_t at = range.start.value;
    segment hole;  // may go on over many regions
    hole.start = {at};
    auto end_hole = [&] {
        hole.length = at - hole.start.value;
        return hole.length == 0 || found(hole);
    };
    while (at < end) {
        const auto number = at / region_sectors;
        const auto stop = std::min(end, (number + 1) * region_sectors);
        const auto& held = shards_[number % shards].regions;
        const auto here = held.find(number);
        if (here != held.end()) {
            const auto& entries = here->second;
            for (auto e = first_ending_after(entries, at); e != entries.end() && e->start().value < stop; ++e) {
                at = std::max(at, e->start().value);
                if (!end_hole()) return;
                const auto until = std::min(stop, e->end().value);
                const segment part{.start = {at},
                                   .length = until - at,
                                   .state = e->zeroed() ? segment::kind::zeroed : segment::kind::data,
                                   .layer = 0,
                                   .moffset = {e->zeroed() ? 0 : e->moffset().value + (at - e->start().value)}};
                if (!found(part)) return;
                at = until;
                hole.start = {at};
            }
        }
        at = stop;
    }
    end_hole();
}

std::optional<std::size_t> upper_index::try_lookup(sector_range range, std::span<segment> out) const noexcept {
    const auto set = shard_set(range);
    std::uint64_t locked = 0;
    const bool all = for_each_shard(set, [&](std::size_t i) {
        if (!shards_[i].mutex.try_lock_shared()) return false;
        locked |= std::uint64_t{1} << i;
        return true;
    });
    std::size_t count = 0;
    bool fits = true;
    if (all) {
        visit(range, [&](const segment& part) {
            fits = count < out.size();
            if (fits) out[count++] = part;
            return fits;
        });
    }
    for_each_shard(locked, [&](std::size_t i) { return shards_[i].mutex.unlock_shared(), true; });
    if (!all || !fits) return std::nullopt;
    return count;
}

std::vector<segment> upper_index::lookup(sector_range range) const {
    const auto set = shard_set(range);
    std::vector<segment> found;
    for_each_shard(set, [&](std::size_t i) { return shards_[i].mutex.lock_shared(), true; });
    visit(range, [&](const segment& part) {
        found.push_back(part);
        return true;
    });
    for_each_shard(set, [&](std::size_t i) { return shards_[i].mutex.unlock_shared(), true; });
    return found;
}

std::vector<lsmt::packed_mapping> upper_index::dump() const {
    const std::uint64_t everything = ~std::uint64_t{0};
    for_each_shard(everything, [&](std::size_t i) { return shards_[i].mutex.lock_shared(), true; });
    std::vector<std::pair<std::uint64_t, const region*>> regions;
    for (const auto& part : shards_) {
        for (const auto& [number, entries] : part.regions) regions.emplace_back(number, &entries);
    }
    std::sort(regions.begin(), regions.end());
    std::vector<lsmt::packed_mapping> all;
    all.reserve(size());
    for (const auto& [number, entries] : regions) {
        for (const auto& entry : *entries) lsmt::append_joined(all, lsmt::unpack(entry));
    }
    for_each_shard(everything, [&](std::size_t i) { return shards_[i].mutex.unlock_shared(), true; });
    return all;
}

}  // namespace obd::layers

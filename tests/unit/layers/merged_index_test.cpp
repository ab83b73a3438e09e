#include "layers/merged_index.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <map>
#include <random>

#include "base/limits.hpp"

namespace obd::layers {
namespace {

using lsmt::mapping;
using lsmt::pack;
using lsmt::packed_mapping;
using index = std::vector<packed_mapping>;

packed_mapping entry(std::uint64_t start, std::uint32_t length, std::uint64_t moffset, bool zeroed = false) {
    return pack({.start = {start}, .moffset = {moffset}, .length = length, .zeroed = zeroed, .tag = 0});
}

merged_index build(const std::vector<index>& layers) {
    const std::vector<std::span<const packed_mapping>> stack(layers.begin(), layers.end());
    return merged_index::build(stack).value();
}

std::vector<segment> segments(const merged_index& merged, std::uint64_t start, std::uint64_t length) {
    std::vector<segment> found;
    auto cursor = merged.lookup({{start}, length});
    for (segment next; cursor.next(next);) found.push_back(next);
    return found;
}

segment hole(std::uint64_t start, std::uint64_t length) {
    return {.start = {start}, .length = length, .moffset = {}};
}
segment data(std::uint64_t start, std::uint64_t length, std::uint8_t layer, std::uint64_t moffset) {
    return {.start = {start}, .length = length, .state = segment::kind::data, .layer = layer, .moffset = {moffset}};
}
segment zeros(std::uint64_t start, std::uint64_t length, std::uint8_t layer) {
    return {.start = {start}, .length = length, .state = segment::kind::zeroed, .layer = layer, .moffset = {}};
}

/// A random layer over `sectors` sectors, from `first` on.
index random_layer(std::mt19937_64& random, std::uint64_t first, std::uint64_t sectors) {
    index layer;
    std::uint64_t moffset = 8;
    for (std::uint64_t at = first + random() % 8; at < first + sectors;) {
        const auto length = static_cast<std::uint32_t>(1 + random() % 6);
        const bool zeroed = random() % 4 == 0;
        layer.push_back(entry(at, length, moffset, zeroed));
        if (!zeroed) moffset += length;
        at += length + (random() % 2 == 0 ? 0 : random() % 9);
    }
    return layer;
}

}  // namespace

TEST_CASE("an index entry keeps every bit through packing") {
    const mapping widest{.start = {(std::uint64_t{1} << 50) - 2},
                         .moffset = {(std::uint64_t{1} << 55) - 1},
                         .length = 16383,
                         .zeroed = true,
                         .tag = 255};
    CHECK(unpack(pack(widest)) == widest);
    const mapping plain{.start = {3}, .moffset = {9}, .length = 1, .zeroed = false, .tag = 0};
    CHECK(unpack(pack(plain)) == plain);
    CHECK(pack(plain).with_tag(7).tag() == 7);
    CHECK(pack(plain).with_tag(7).moffset() == sector{9});
    CHECK(lsmt::from_disk(lsmt::to_disk(pack(widest))) == pack(widest));
    CHECK(lsmt::padding_mapping.is_padding());
}

TEST_CASE("the topmost layer that has an entry decides, zeroed ones included") {
    const auto merged = build({{entry(0, 100, 8)}, {entry(10, 10, 8, true), entry(50, 5, 20)}});
    CHECK(segments(merged, 0, 110) == std::vector{data(0, 10, 0, 8), zeros(10, 10, 1), data(20, 30, 0, 28),
                                                  data(50, 5, 1, 20), data(55, 45, 0, 63), hole(100, 10)});
    // Clipped to the range at both ends, in the middle of entries.
    CHECK(segments(merged, 52, 5) == std::vector{data(52, 3, 1, 22), data(55, 2, 0, 63)});
    CHECK(segments(merged, 12, 1) == std::vector{zeros(12, 1, 1)});
    CHECK(segments(merged, 12, 0).empty());
    CHECK(segments(merged, 500, 2) == std::vector{hole(500, 2)});
}

TEST_CASE("an empty stack and empty layers are one hole") {
    CHECK(segments(build({}), 5, 10) == std::vector{hole(5, 10)});
    CHECK(segments(build({{}, {}}), 5, 10) == std::vector{hole(5, 10)});
    CHECK(segments(merged_index{}, 0, 1) == std::vector{hole(0, 1)});
}

// The reference cuts keys to 32 bits and reads wrong data beyond 2 TiB.
TEST_CASE("sectors beyond 2^32 are found") {
    const std::uint64_t far = (std::uint64_t{1} << 32) + 5;
    const auto merged =
        build({{entry(0, 8, 8), entry(8, 8, 16), entry(far, 8, 100), entry((std::uint64_t{1} << 49), 8, 200)}});
    CHECK(segments(merged, far, 8) == std::vector{data(far, 8, 0, 100)});
    CHECK(segments(merged, 5, 1) == std::vector{data(5, 1, 0, 13)});
    CHECK(segments(merged, far - 1, 2) == std::vector{hole(far - 1, 1), data(far, 1, 0, 100)});
    CHECK(segments(merged, std::uint64_t{1} << 49, 1) == std::vector{data(std::uint64_t{1} << 49, 1, 0, 200)});
}

TEST_CASE("random stacks merge as a model sector by sector says") {
    const auto seed = std::random_device{}();
    INFO("seed " << seed);
    std::mt19937_64 random(seed);
    for (int round = 0; round < 60; ++round) {
        const std::uint64_t base = round % 3 == 0 ? (std::uint64_t{1} << 32) - 200 : 0;
        const std::uint64_t sectors = 20 + random() % 600;
        std::vector<index> layers(1 + random() % 12);
        std::map<std::uint64_t, segment> model;
        for (std::size_t l = 0; l < layers.size(); ++l) {
            layers[l] = random_layer(random, base, sectors);
            for (const auto& e : layers[l]) {
                for (std::uint64_t i = 0; i < e.length(); ++i) {
                    const std::uint64_t at = e.start().value + i;
                    const auto layer = static_cast<std::uint8_t>(l);
                    model[at] = e.zeroed() ? zeros(at, 1, layer) : data(at, 1, layer, e.moffset().value + i);
                }
            }
        }
        const auto merged = build(layers);
        for (int lookup = 0; lookup < 30; ++lookup) {
            const std::uint64_t start = base + random() % sectors;
            const std::uint64_t length = 1 + random() % 64;
            std::uint64_t position = start;
            for (const auto& found : segments(merged, start, length)) {
                REQUIRE(found.start.value == position);
                for (std::uint64_t i = 0; i < found.length; ++i, ++position) {
                    const auto expected = model.contains(position) ? model[position] : hole(position, 1);
                    REQUIRE(found.state == expected.state);
                    if (found.state != segment::kind::hole) REQUIRE(found.layer == expected.layer);
                    if (found.state == segment::kind::data) REQUIRE(found.moffset.value + i == expected.moffset.value);
                }
            }
            REQUIRE(position == start + length);
        }
    }
}

TEST_CASE("256 layers merge, 257 are refused") {
    std::vector<index> layers;
    for (std::uint64_t l = 0; l < limits::layers_per_image; ++l) layers.push_back({entry(l, 300, 8)});
    const auto merged = build(layers);
    for (std::uint64_t l = 0; l < limits::layers_per_image; ++l) {
        CHECK(segments(merged, l, 1) == std::vector{data(l, 1, static_cast<std::uint8_t>(l), 8)});
    }
    CHECK(segments(merged, 256, 1) == std::vector{data(256, 1, 255, 9)});
    layers.push_back({entry(0, 1, 8)});
    const std::vector<std::span<const packed_mapping>> stack(layers.begin(), layers.end());
    const auto refused = merged_index::build(stack);
    REQUIRE(!refused.has_value());
    CHECK(refused.error().is(errc::limit_exceeded));
}

TEST_CASE("every instruction set finds what a linear search finds") {
    const auto best = sector_search::best();
    const auto use = GENERATE(sector_search::instructions::portable, sector_search::instructions::avx2,
                              sector_search::instructions::avx512);
    if (use > best) return;
    std::mt19937_64 random(42);
    for (const std::size_t size : {0U, 1U, 3U, 4U, 5U, 64U, 65U, 1024U, 1025U, 5000U}) {
        index entries;
        std::uint64_t at = 3;
        for (std::size_t i = 0; i < size; ++i) {
            entries.push_back(entry(at, 2, 8));
            at += 2 + (random() % 3 == 0 ? random() % (std::uint64_t{1} << 34) : random() % 5);
        }
        const sector_search search(entries, use);
        const auto check = [&](std::uint64_t where) {
            const auto expected =
                std::count_if(entries.begin(), entries.end(), [&](const auto& e) { return e.start().value <= where; });
            REQUIRE(search.count_starting_by(entries, {where}) == static_cast<std::size_t>(expected));
        };
        check(0);
        check(at + 10);
        check(lsmt::offset_mask);
        for (int i = 0; i < 200 && size > 0; ++i) {
            const std::uint64_t start = entries[random() % size].start().value;
            check(start);
            check(start - 1);
            check(start + 1);
        }
    }
}

}  // namespace obd::layers

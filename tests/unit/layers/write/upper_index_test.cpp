#include "layers/write/upper_index.hpp"

#include <atomic>
#include <catch2/catch.hpp>
#include <map>
#include <random>
#include <thread>
#include <vector>

using namespace obd;
using namespace obd::layers;

namespace {

lsmt::mapping data_at(std::uint64_t start, std::uint32_t length, std::uint64_t moffset) {
    return {.start = {start}, .moffset = {moffset}, .length = length, .zeroed = false, .tag = 0};
}

/// What each sector maps to: 0 nothing, 1 zeros, else its moffset + 2.
using sectors = std::map<std::uint64_t, std::uint64_t>;

void check(const upper_index& index, const sectors& model, sector_range range) {
    std::uint64_t at = range.start.value;
    for (const auto& part : index.lookup(range)) {
        REQUIRE(part.start.value == at);
        REQUIRE(part.length > 0);
        for (std::uint64_t i = 0; i < part.length; ++i, ++at) {
            const auto found = model.find(at);
            const std::uint64_t expected = found == model.end() ? 0 : found->second;
            std::uint64_t seen = 0;
            if (part.state == segment::kind::zeroed) seen = 1;
            if (part.state == segment::kind::data) seen = part.moffset.value + i + 2;
            CAPTURE(at);
            REQUIRE(seen == expected);
        }
    }
    REQUIRE(at == range.start.value + range.length);
}

}  // namespace

TEST_CASE("the index is what the last write to each sector says") {
    const auto seed = GENERATE(1u, 2u, 3u, 4u);
    CAPTURE(seed);
    std::mt19937_64 random(seed);
    upper_index index;
    sectors model;
    constexpr std::uint64_t base = (std::uint64_t{1} << 33) - 4000;  // beyond 2 TiB, over several regions
    std::uint64_t tail = 8;
    for (int i = 0; i < 2000; ++i) {
        const auto start = base + random() % 20000;
        const auto length = static_cast<std::uint32_t>(1 + random() % (random() % 20 == 0 ? 16383 : 40));
        const bool zeroed = random() % 5 == 0;
        const lsmt::mapping m{
            .start = {start}, .moffset = {zeroed ? 8 : tail}, .length = length, .zeroed = zeroed, .tag = 0};
        index.insert({&m, 1});
        for (std::uint32_t k = 0; k < length; ++k) model[start + k] = zeroed ? 1 : tail + k + 2;
        if (!zeroed) tail += length;
        if (i % 50 == 0) check(index, model, {.start = {base + random() % 10000}, .length = 1 + random() % 30000});
    }
    check(index, model, {.start = {base - 100000}, .length = 200000});
    std::uint64_t end = 0;
    std::uint64_t mapped = 0;
    for (const auto& entry : index.dump()) {
        REQUIRE(entry.start().value >= end);
        REQUIRE(entry.length() > 0);
        end = entry.end().value;
        mapped += entry.length();
    }
    CHECK(mapped == model.size());
}

TEST_CASE("a sequential writer makes one mapping grow") {
    upper_index index;
    for (std::uint64_t i = 0; i < 1000; ++i) {
        const auto m = data_at(i * 8, 8, 8 + i * 8);
        index.insert({&m, 1});
    }
    CHECK(index.size() == 1);
    CHECK(index.dump().size() == 1);
}

TEST_CASE("a lookup in place declines when the space does not suffice") {
    upper_index index;
    const auto m = data_at(10, 5, 8);
    index.insert({&m, 1});
    std::array<segment, 3> space;
    CHECK(index.try_lookup({.start = {0}, .length = 100}, space) == 3u);
    CHECK_FALSE(index.try_lookup({.start = {0}, .length = 100}, std::span(space).first(2)).has_value());
}

TEST_CASE("a change that spans regions is seen as a whole or not at all") {
    upper_index index;
    std::atomic<bool> stop{false};
    std::thread writer([&] {
        for (std::uint64_t version = 1; !stop; ++version) {
            std::vector<lsmt::mapping> all;
            for (std::uint64_t i = 0; i < 4; ++i) all.push_back(data_at(i * 16000, 16000, version * 64000 + i * 16000));
            index.insert(all);
        }
    });
    for (int i = 0; i < 3000; ++i) {
        const auto parts = index.lookup({.start = {100}, .length = 60000});
        if (parts.front().state == segment::kind::hole) continue;
        const auto version = parts.front().moffset.value / 64000;
        bool whole = true;
        for (const auto& part : parts) whole = whole && part.moffset.value / 64000 == version;
        REQUIRE(whole);
    }
    stop = true;
    writer.join();
}

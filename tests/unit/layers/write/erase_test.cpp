// Erasing a writable disk: it reads as zeros, over the layers below too, and its files keep nothing of what it held.
#include <algorithm>
#include <catch2/catch.hpp>

#include "tests/support/await.hpp"
#include "tests/unit/layers/write/device_rig.hpp"

using namespace obd;
using namespace obd::test;
using namespace obd::layers;

namespace {

constexpr std::byte secret{0xa7};  // 4 KiB of it occur in no layer of the rig

bool all_zero(const std::vector<std::byte>& bytes) {
    return std::ranges::all_of(bytes, [](std::byte b) { return b == std::byte{0}; });
}

bool holds_secret(device_rig& rig) {
    const auto opened = rig.disk().open(rig.paths().data, open_mode::read_only);
    REQUIRE(opened.has_value());
    std::vector<std::byte> bytes((*opened)->size().value().value);
    REQUIRE((*opened)->read({0}, bytes).has_value());
    const std::vector<std::byte> wanted(512, secret);
    return std::ranges::search(bytes, wanted).begin() != bytes.end();
}

}  // namespace

TEST_CASE("an erased disk reads as zeros and its files keep nothing of it", "[erase]") {
    const auto kind = GENERATE(upper_kind::append_only, upper_kind::sparse);
    const auto seed = GENERATE(take(4, random(1, 1'000'000)));
    CAPTURE(name_of(kind), seed);
    device_rig rig(kind, static_cast<std::uint64_t>(seed));
    REQUIRE(rig.open() == "");
    CHECK(rig.device().geometry().erasable);
    const std::vector<std::byte> data(8192, secret);
    for (const std::uint64_t at : {std::uint64_t{0}, std::uint64_t{65536}, std::uint64_t{65536 + 512}}) {
        REQUIRE(await(rig.device().write({at}, data, durability::write_back)).has_value());
    }
    REQUIRE(await(rig.device().discard({65536}, {4096})).has_value());
    REQUIRE(holds_secret(rig));

    REQUIRE(await(rig.device().erase()).has_value());
    CHECK(all_zero(rig.content()));
    CHECK_FALSE(holds_secret(rig));

    // It stands on stable storage.
    rig.abandon();
    rig.disk().lose_power(rig.random());
    REQUIRE(rig.open() == "");
    CHECK(all_zero(rig.content()));
    CHECK_FALSE(holds_secret(rig));

    // And the disk can be used again.
    const std::vector<std::byte> fresh(4096, std::byte{0x11});
    REQUIRE(await(rig.device().write({8192}, fresh, durability::force_unit_access)).has_value());
    REQUIRE(await(rig.device().close()).has_value());
    rig.abandon();
    REQUIRE(rig.open() == "");
    auto disk = rig.content();
    CHECK(std::equal(fresh.begin(), fresh.end(), disk.begin() + 8192));
    std::fill_n(disk.begin() + 8192, fresh.size(), std::byte{0});
    CHECK(all_zero(disk));
}

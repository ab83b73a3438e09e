// Writable disks that crash at any moment, hundreds of times, over files that tear and drop what was not synced.
#include <catch2/catch.hpp>
#include <string>

#include "tests/support/await.hpp"
#include "tests/unit/layers/write/device_rig.hpp"

using namespace obd;
using namespace obd::test;
using layers::upper_kind;

namespace {

enum class end { power_loss, killed, closed };

/// Runs one life of the disk and ends it; then the next life must find what was promised.
void live_and_die(device_rig& rig, end how) {
    if (how != end::closed && rig.pick(3) != 0) rig.disk().die_after(rig.pick(120));
    const auto steps = 1 + rig.pick(60);
    for (std::uint64_t i = 0; i < steps && !rig.died(); ++i) {
        if (rig.pick(60) == 0) {
            rig.snapshot();
        } else {
            rig.step();
        }
    }
    if (how == end::closed) REQUIRE(await(rig.device().close()).has_value());
    rig.abandon();
    if (how == end::power_loss) {
        rig.disk().lose_power(rig.random());
    } else {
        rig.disk().revive();
        if (how == end::killed && rig.pick(2) == 0) rig.disk().settle();
    }
}

void check_found(device_rig& rig, end how) {
    // The repair itself may be interrupted too.
    for (int tries = 0; tries < 3 && rig.pick(3) == 0; ++tries) {
        rig.disk().die_after(rig.pick(12));
        const auto interrupted = rig.open();
        rig.abandon();
        if (how == end::power_loss) {
            rig.disk().lose_power(rig.random());
        } else {
            rig.disk().revive();
        }
    }
    REQUIRE(rig.open() == "");
    const auto size = rig.device().geometry().size.value / sector_bytes;
    if (size > rig.model().sectors()) rig.model().grow(size);  // a resize that was not acknowledged
    const auto disk = rig.content();
    REQUIRE(disk.size() == rig.model().sectors() * sector_bytes);
    if (how == end::power_loss) {
        REQUIRE(rig.model().impossible(disk) == "");
    } else {
        REQUIRE(rig.model().differs(disk) == "");
    }
    rig.model().adopt(disk);
    // What was found is found again, however the machine ends now: a repair is durable.
    rig.abandon();
    rig.disk().lose_power(rig.random());
    REQUIRE(rig.open() == "");
    REQUIRE(rig.model().differs(rig.content()) == "");
}

void crash_often(upper_kind kind, std::uint64_t seed) {
    CAPTURE(seed);
    device_rig rig(kind, seed);
    REQUIRE(rig.open() == "");
    for (int life = 0; life < 5; ++life) {
        const auto how = static_cast<end>(rig.pick(3));
        CAPTURE(life, static_cast<int>(how));
        live_and_die(rig, how);
        check_found(rig, how);
    }
}

}  // namespace

TEST_CASE("an append-only layer survives crashes", "[crash]") {
    const auto seed = GENERATE(range(1u, 121u));
    crash_often(upper_kind::append_only, seed);
}

TEST_CASE("a sparse layer survives crashes", "[crash]") {
    const auto seed = GENERATE(range(1001u, 1121u));
    crash_often(upper_kind::sparse, seed);
}

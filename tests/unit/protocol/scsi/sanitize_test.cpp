// SANITIZE: what is done, what is refused, and what others see meanwhile.
#include <catch2/catch.hpp>

#include "tests/unit/protocol/scsi/script.hpp"

using namespace obd;
using namespace obd::test;

namespace {

constexpr const char* block_erase = "48 02 0000000000 0000 00";
constexpr const char* block_erase_ause = "48 22 0000000000 0000 00";
constexpr const char* exit_failure_mode = "48 1f 0000000000 0000 00";
constexpr const char* test_unit_ready = "00 00000000 00";

struct kept {
    std::optional<scsi::persistent_state> last;
    bool works = true;
    scsi::unit_options options() {
        auto with = unit_on(thin_disk());
        with.persist = [this](const scsi::persistent_state& state) -> result<void> {
            if (!works) return fail(errc::io_error, "test");
            last = state;
            return {};
        };
        return with;
    }
};

}  // namespace

TEST_CASE("SANITIZE as a table", "[sbc4-sanitize]") {
    struct row {
        const char* name;
        const char* cdb;
        const char* expected;
    };
    const auto one = GENERATE(values<row>({
        {"block erase", block_erase, "erase 0+0"},
        {"block erase, IMMED", "48 82 0000000000 0000 00", "erase 0+0 immediate"},
        {"block erase, AUSE", block_erase_ause, "erase 0+0"},
        {"ZNR is of zoned devices", "48 42 0000000000 0000 00", "check 5/24/00 @cdb 1.6"},
        {"no list with it", "48 02 0000000000 0008 00", "check 5/24/00 @cdb 7"},
        {"overwrite is not to be had", "48 01 0000000000 0204 00", "check 5/24/00 @cdb 1.4"},
        {"cryptographic erase neither", "48 03 0000000000 0000 00", "check 5/24/00 @cdb 1.4"},
        {"nor a reserved action", "48 00 0000000000 0000 00", "check 5/24/00 @cdb 1.4"},
        {"nothing to exit", exit_failure_mode, "good"},
        {"no list with exit", "48 1f 0000000000 0008 00", "check 5/24/00 @cdb 7"},
    }));
    INFO(one.name);
    script unit(thin_disk());
    CHECK(unit.run(one.cdb) == one.expected);
}

TEST_CASE("a disk that cannot be erased has no SANITIZE", "[sbc4-sanitize]") {
    script thick(thick_disk());
    CHECK(thick.run(block_erase) == "check 5/20/00");
    script still(read_only_disk());
    CHECK(still.run(block_erase) == "check 5/20/00");
    script unit(thin_disk());
    CHECK(unit.run("12 01 b1 00ff 00").substr(5, 24) == "00b1003c0001004001000000");  // WABEREQ = 01b
    CHECK(thick.run("12 01 b1 00ff 00").substr(5, 24) == "00b1003c0001000001000000");
}

TEST_CASE("a software write protected unit is not sanitized", "[sbc4-sanitize]") {
    script unit(thin_disk());
    CHECK(unit.run("15 10 00 00 10 00", "00000000 0a0a 0010 0800 0000 0000 0000") == "good");
    CHECK(unit.run(block_erase) == "check 7/27/02");
    CHECK(unit.run(test_unit_ready) == "good");
}

TEST_CASE("while it runs, the medium is nobody's", "[sbc4-sanitize]") {
    script unit(thin_disk());
    const auto other = unit.another('b');
    drain(unit, *other);
    auto decided = unit.send(block_erase);
    auto work = std::get<scsi::operation>(std::move(decided));
    REQUIRE(work.lease != nullptr);

    CHECK(unit.run(test_unit_ready).starts_with("check 2/04/1b"));
    for (const char* cdb : {test_unit_ready, "28 00 00000000 00 0001 00", "1b 000000 01 00", block_erase,
                            exit_failure_mode, "25 00 00000000 0000 00 00", "5e 00 0000000000 0008 00"}) {
        INFO(cdb);
        CHECK(unit.run_on(*other, cdb).starts_with("check 2/04/1b"));
    }
    for (const char* cdb : {"12 00 00 0024 00", "a0 00 00 000000 00000010 00 00", "4d 00 40 00 00 0000 00ff 00",
                            "1a 00 3f 00 ff 00", "a3 0c 01 28 0000 000000ff 00 00"}) {
        INFO(cdb);
        CHECK(unit.run_on(*other, cdb).starts_with("good"));
    }
    // NOT READY, and that progress is told; the sense is the data of REQUEST SENSE.
    CHECK(unit.run_on(*other, "03 000000 12 00") == "good 700002000000000a00000000041b00800000");
    unit.unit->reset(scsi::reset_kind::logical_unit);  // does not end it
    drain(unit, *other);
    CHECK(unit.run_on(*other, test_unit_ready).starts_with("check 2/04/1b"));

    work.lease->succeeded();
    CHECK(unit.run_on(*other, test_unit_ready) == "good");
    work = {};
    CHECK(unit.run_on(*other, test_unit_ready) == "good");
}

TEST_CASE("one that failed keeps the medium closed", "[sbc4-sanitize]") {
    script unit(thin_disk());
    unit.send(block_erase);  // dropped without success
    CHECK(unit.run(test_unit_ready) == "check 3/31/03");
    CHECK(unit.run("28 00 00000000 00 0001 00") == "check 3/31/03");
    CHECK(unit.run("03 000000 12 00") == "good 700003000000000a00000000310300000000");

    SECTION("in restricted completion mode until one succeeds") {
        CHECK(unit.run(exit_failure_mode) == "check 5/24/00 @cdb 1.4");
        CHECK(unit.run(block_erase_ause) == "check 5/24/00 @cdb 1.5");
        auto again = std::get<scsi::operation>(unit.send(block_erase));
        again.lease->succeeded();
        CHECK(unit.run(test_unit_ready) == "good");
    }
}

TEST_CASE("in unrestricted completion mode there is a way out", "[sbc4-sanitize]") {
    script unit(thin_disk());
    unit.send(block_erase_ause);
    CHECK(unit.run(test_unit_ready) == "check 3/31/03");
    CHECK(unit.run(exit_failure_mode) == "good");
    CHECK(unit.run(test_unit_ready) == "good");
}

TEST_CASE("a daemon that dies while it runs comes back with the medium closed", "[sbc4-sanitize]") {
    kept store;
    {
        script unit(store.options());
        const auto work = std::get<scsi::operation>(unit.send(block_erase));
        REQUIRE(store.last);
        CHECK(store.last->sanitize == scsi::unfinished_sanitize::restricted);
        work.lease->succeeded();
        CHECK(store.last->sanitize == scsi::unfinished_sanitize::none);
        unit.send(block_erase_ause);
    }
    CHECK(store.last->sanitize == scsi::unfinished_sanitize::unrestricted);
    auto restarted = store.options();
    restarted.restored = store.last;
    script unit(std::move(restarted));
    CHECK(unit.run(test_unit_ready) == "check 3/31/03");
    store.works = false;
    CHECK(unit.run(block_erase_ause) == "check 4/44/00");  // what cannot be noted does not begin
    store.works = true;
    CHECK(unit.run(exit_failure_mode) == "good");
    CHECK(store.last->sanitize == scsi::unfinished_sanitize::none);
}

TEST_CASE("reservations keep others from sanitizing", "[sbc4-sanitize]") {
    script unit(thin_disk());
    const auto other = unit.another('b');
    drain(unit, *other);
    CHECK(unit.run_on(*other, "16 00000000 00") == "good");
    CHECK(unit.run(block_erase) == "conflict");
    CHECK(unit.run(exit_failure_mode) == "conflict");
}

// Routing by LUN, and unit attentions: per nexus, once, and not on INQUIRY, REPORT LUNS and REQUEST SENSE.
#include <catch2/catch.hpp>

#include "tests/unit/protocol/scsi/script.hpp"

using namespace obd;
using namespace obd::test;

namespace {

const char* const test_unit_ready = "00 00000000 00";
const char* const all_luns = "a0 00 00 000000 00000100 00 00";

std::string send(scsi::i_t_nexus& nexus, const scsi::lun_field& lun, const char* cdb) {
    const auto bytes = cdb_of(cdb);
    return describe(nexus.begin(lun, {.nexus = nexus.id(), .cdb = bytes}).what);
}

std::shared_ptr<scsi::logical_unit> some_unit(std::uint64_t number) {
    return std::make_shared<scsi::logical_unit>(scsi::unit_options{.device = std::make_shared<fake_disk>(thin_disk()),
                                                                   .id = some_identity(number),
                                                                   .restored = {},
                                                                   .persist = {}});
}

constexpr scsi::lun_field well_known{std::byte{0xc1}, std::byte{0x01}};

}  // namespace

TEST_CASE("LUNs are written and read in both addressing methods", "[sam5-4.7]") {
    CHECK(to_hex(scsi::encode_lun(7)) == "0007000000000000");
    CHECK(to_hex(scsi::encode_lun(300)) == "412c000000000000");
    scsi::lun_inventory luns({.name = "iqn.2026-11.t:t"});
    REQUIRE(luns.add(300, some_unit(1)).has_value());
    REQUIRE(luns.add(7, some_unit(2)).has_value());
    CHECK(luns.add(7, some_unit(3)).error().is(errc::already_exists));
    CHECK(luns.add(0x4000, some_unit(3)).error().is(errc::invalid_argument));
    const auto nexus = luns.add_nexus(initiator('a'));
    CHECK(send(*nexus, scsi::encode_lun(300), test_unit_ready) == "check 6/29/00");
    CHECK(send(*nexus, scsi::encode_lun(300), test_unit_ready) == "good");
    scsi::lun_field flat_7{std::byte{0x40}, std::byte{7}};
    CHECK(send(*nexus, flat_7, test_unit_ready) == "check 6/29/00");
    CHECK(send(*nexus, scsi::encode_lun(7), test_unit_ready) == "good");
    scsi::lun_field second_level{std::byte{0}, std::byte{7}, std::byte{0}, std::byte{1}};
    CHECK(send(*nexus, second_level, test_unit_ready) == "check 5/25/00");
}

TEST_CASE("REPORT LUNS in every selection", "[spc4-6.33]") {
    scsi::lun_inventory luns({.name = "iqn.2026-11.t:t"});
    REQUIRE(luns.add(1, some_unit(1)).has_value());
    REQUIRE(luns.add(300, some_unit(2)).has_value());
    const auto nexus = luns.add_nexus(initiator('a'));
    const std::string both = "0001000000000000412c000000000000";
    CHECK(send(*nexus, {}, all_luns) == "good 0000001000000000" + both);  // LUN 0 need not be there
    CHECK(send(*nexus, {}, "a0 00 01 000000 00000100 00 00") == "good 0000000800000000c101000000000000");
    CHECK(send(*nexus, {}, "a0 00 02 000000 00000100 00 00") == "good 0000001800000000c101000000000000" + both);
    CHECK(send(*nexus, {}, "a0 00 03 000000 00000100 00 00") == "check 5/24/00 @cdb 2");
    CHECK(send(*nexus, {}, "a0 00 10 000000 00000100 00 00") == "good 0000000000000000");
    CHECK(send(*nexus, {}, "a0 00 00 000000 00000008 00 00") == "good 0000001000000000");
    CHECK(send(*nexus, {}, "a0 00 00 000001 00000100 00 00") == "check 5/24/00 @cdb 5.7");
    CHECK(send(*nexus, well_known, all_luns) == "good 0000001000000000" + both);
}

TEST_CASE("a LUN with no unit behind it", "[spc4-6.6.1][sam5-5.13]") {
    scsi::lun_inventory luns({.name = "iqn.2026-11.t:t"});
    const auto nexus = luns.add_nexus(initiator('a'));
    const auto lun = scsi::encode_lun(5);
    CHECK(send(*nexus, lun, "12 00 00 0024 00").starts_with("good 7f"));
    CHECK(send(*nexus, lun, "12 01 83 0024 00") == "check 5/24/00 @cdb 1.0");
    CHECK(send(*nexus, lun, test_unit_ready) == "check 5/25/00");
    CHECK(send(*nexus, lun, "28 00 00000000 00 0001 00") == "check 5/25/00");
    CHECK(send(*nexus, lun, "03 000000 12 00") == "good 700005000000000a00000000250000000000");
    CHECK(send(*nexus, lun, all_luns) == "check 5/25/00");
    CHECK(send(*nexus, {}, all_luns) == "good 0000000000000000");
    CHECK(send(*nexus, well_known, "12 00 00 0024 00").starts_with("good 1e"));
    CHECK(send(*nexus, well_known, "12 01 00 00ff 00") == "good 1e0000020083");
    const auto names = send(*nexus, well_known, "12 01 83 00ff 00");
    CHECK(names.starts_with("good 1e83"));
    CHECK(names.find(to_hex(as_bytes("iqn.2026-11.t:t,t,0x0001"))) != std::string::npos);
    CHECK(send(*nexus, well_known, "12 01 80 00ff 00") == "check 5/24/00 @cdb 2");
    CHECK(send(*nexus, well_known, "12 00 80 00ff 00") == "check 5/24/00 @cdb 1.0");
    CHECK(send(*nexus, well_known, test_unit_ready) == "good");
    CHECK(send(*nexus, well_known, "28 00 00000000 00 0001 00") == "check 5/20/00");
}

TEST_CASE("power on is told first, once, and not by INQUIRY, REPORT LUNS or REQUEST SENSE", "[sam5-5.14]") {
    scsi::lun_inventory luns({.name = "iqn.2026-11.t:t"});
    REQUIRE(luns.add(0, some_unit(1)).has_value());
    const auto nexus = luns.add_nexus(initiator('a'));
    CHECK(send(*nexus, {}, "12 00 00 0004 00").starts_with("good"));
    CHECK(send(*nexus, {}, all_luns).starts_with("good"));
    CHECK(send(*nexus, {}, "28 00 00000000 00 0001 00") == "check 6/29/00");
    CHECK(send(*nexus, {}, "28 00 00000000 00 0001 00") == "read 0+1 in 512");

    const auto other = luns.add_nexus(initiator('b'));
    CHECK(send(*other, {}, "03 000000 12 00") == "good 700006000000000a00000000290000000000");
    CHECK(send(*other, {}, test_unit_ready) == "good");
}

TEST_CASE("units that come and go raise REPORTED LUNS DATA HAS CHANGED", "[spc4-6.33]") {
    script target(thin_disk());
    const auto other = target.another('b');
    drain(target, *other);
    REQUIRE(target.luns.add(1, some_unit(2)).has_value());
    CHECK(target.run(test_unit_ready) == "check 6/3f/0e");
    CHECK(target.run(test_unit_ready) == "good");
    CHECK(send(*target.nexus, scsi::encode_lun(1), test_unit_ready) == "check 6/29/00");
    CHECK(send(*other, {}, all_luns).starts_with("good 00000010"));  // clears it
    CHECK(send(*other, {}, test_unit_ready) == "good");

    auto task = target.nexus->begin(scsi::encode_lun(1), {.cdb = cdb_of("28 00 00000000 00 0001 00")});
    const auto gone = target.luns.remove(1);
    REQUIRE(gone != nullptr);
    CHECK(target.luns.remove(1) == nullptr);
    CHECK(target.run(test_unit_ready) == "check 6/3f/0e");
    CHECK(send(*target.nexus, scsi::encode_lun(1), test_unit_ready) == "check 5/25/00");
    CHECK(task.unit != nullptr);  // the task still has its unit
    CHECK(task.unit->device().geometry().size.value == disk_blocks * 512);
}

TEST_CASE("attentions wait for each nexus, in order, a reset before all", "[sam5-5.14]") {
    script target(thin_disk());
    const auto other = target.another('b');
    drain(target, *other);
    target.unit->capacity_changed();
    target.unit->capacity_changed();
    REQUIRE(target.luns.add(1, some_unit(2)).has_value());
    CHECK(drain(target, *target.nexus) == "2a/09 3f/0e");
    CHECK(drain(target, *other) == "2a/09 3f/0e");
    target.unit->capacity_changed();
    target.unit->reset(scsi::reset_kind::hard);
    target.unit->capacity_changed();
    CHECK(drain(target, *target.nexus) == "29/00 2a/09");
    other->find({})->commands_cleared();
    CHECK(drain(target, *other) == "29/00 2a/09 2f/00");
    CHECK(drain(target, *target.nexus).empty());
}

TEST_CASE("a grown disk has its new end at once", "[sbc3-5.16]") {
    const auto device = std::make_shared<fake_disk>(thin_disk());
    script target(scsi::unit_options{.device = device, .id = some_identity(), .restored = {}, .persist = {}});
    CHECK(target.run("28 00 00200000 00 0001 00") == "check 5/21/00");
    device->resize({2 * disk_blocks * 512});
    target.unit->capacity_changed();
    CHECK(target.run("28 00 00200000 00 0001 00") == "check 6/2a/09");
    CHECK(target.run("28 00 00200000 00 0001 00") == "read 2097152+1 in 512");
}

TEST_CASE("a nexus may outlive its inventory", "[lifetime]") {
    std::unique_ptr<scsi::i_t_nexus> nexus;
    {
        scsi::lun_inventory luns({.name = "iqn.2026-11.t:t"});
        REQUIRE(luns.add(0, some_unit(1)).has_value());
        nexus = luns.add_nexus(initiator('a'));
    }
    CHECK(send(*nexus, {}, test_unit_ready) == "check 6/29/00");
    CHECK(send(*nexus, {}, test_unit_ready) == "good");
}

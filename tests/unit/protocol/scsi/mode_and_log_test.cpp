// MODE SENSE, MODE SELECT and the log pages.
#include <catch2/catch.hpp>

#include "tests/unit/protocol/scsi/script.hpp"

using namespace obd;
using namespace obd::test;

namespace {

const char* const control_sense = "1a 08 0a 00 ff 00";
const char* const swp_on = "00000000 0a0a 00 10 08 00 00000000 0000";
const char* const d_sense_on = "00000000 0a0a 04 10 00 00 00000000 0000";

}  // namespace

TEST_CASE("MODE SENSE of one page, every page control", "[spc4-6.13]") {
    script unit(thin_disk());
    CHECK(unit.run(control_sense) ==
          "good 0f001000"
          "0a0a00100000000000000000");
    CHECK(unit.run("1a 08 4a 00 ff 00") ==
          "good 0f001000"
          "0a0a04000800000000000000");
    CHECK(unit.run("1a 08 8a 00 ff 00") ==
          "good 0f001000"
          "0a0a00100000000000000000");
    CHECK(unit.run("1a 08 ca 00 ff 00") == "check 5/39/00");  // nowhere to save
    CHECK(unit.run("1a 08 08 00 ff 00") ==
          "good 17001000"
          "0812040000000000000000000000000000000000");
    CHECK(unit.run("1a 08 02 00 ff 00") == "check 5/24/00 @cdb 2.5");
    CHECK(unit.run("1a 08 3f 01 ff 00") == "check 5/24/00 @cdb 2.5");
    CHECK(unit.run("1a 08 0a 01 ff 00")
              .starts_with("good 23001000"
                           "4a01001c01"));
    CHECK(unit.run(control_sense).substr(0, 13) == unit.run("1a 08 0a 00 04 00"));
}

TEST_CASE("MODE SENSE of all pages has each once", "[spc4-6.13]") {
    script unit(read_only_disk());
    const auto all = unit.run("1a 08 3f 00 ff 00");
    CHECK(all.substr(0, 13) == "good 3b009000");  // WP and DPOFUA
    const auto with_subpages = unit.run("1a 08 3f ff ff 00");
    CHECK(with_subpages.substr(0, 13) == "good 5b009000");
}

TEST_CASE("MODE SENSE with block descriptors", "[sbc3-6.5.2]") {
    script unit(thin_disk());
    CHECK(unit.run("1a 00 01 00 ff 00") ==
          "good 17001008"
          "0020000000000200"
          "010a00000000000000000000");
    CHECK(unit.run("5a 10 01 00 000000 00ff 00") ==
          "good 0022001001000010"
          "00000000002000000000000000000200"
          "010a00000000000000000000");
    CHECK(unit.run("5a 08 01 00 000000 00ff 00") ==
          "good 0012001000000000"
          "010a00000000000000000000");
}

TEST_CASE("SWP protects the unit from everybody", "[spc4-7.5.8]") {
    script unit(thin_disk());
    const auto other = unit.another('b');
    drain(unit, *other);
    CHECK(unit.run("15 10 0000 10 00", swp_on) == "good");
    CHECK(unit.run("2a 00 00000000 00 0001 00") == "check 7/27/02");
    CHECK(unit.run(control_sense) ==
          "good 0f009000"
          "0a0a00100800000000000000");
    CHECK(drain(unit, *other) == "2a/01");
    CHECK(unit.run_on(*other, "2a 00 00000000 00 0001 00") == "check 7/27/02");
    CHECK(drain(unit, *unit.nexus).empty());  // not for who changed it
    unit.unit->reset(scsi::reset_kind::logical_unit);
    CHECK(drain(unit, *unit.nexus) == "29/03");
    CHECK(unit.run("2a 00 00000000 00 0001 00") == "write 0+1 out 512");
}

TEST_CASE("D_SENSE makes sense data descriptors", "[spc4-7.5.8]") {
    script unit(thin_disk());
    CHECK(unit.run("55 10 00000000 00 0014 00", std::string("00000000 00000000") + (d_sense_on + 8)) == "good");
    CHECK(unit.run("28 20 00000000 00 0001 00") == "descriptor 720524000000000802060000cf000100");
}

TEST_CASE("MODE SELECT takes nothing of a list that has a fault", "[spc4-6.11]") {
    struct row {
        const char* name;
        const char* cdb;
        const char* list;
        const char* expected;
    };
    const auto one = GENERATE(
        row{"PF = 0", "15 00 0000 10 00", swp_on, "check 5/24/00 @cdb 1.4"},
        row{"nothing to save to", "15 11 0000 10 00", swp_on, "check 5/24/00 @cdb 1.0"},
        row{"empty", "15 10 0000 00 00", "", "good"},
        row{"short header", "15 10 0000 03 00", "000000", "check 5/1a/00"},
        row{"header only", "15 10 0000 04 00", "00000000", "good"},
        row{"a fixed bit", "15 10 0000 10 00", "00000000 0a0a 02 10 08 00 00000000 0000", "check 5/26/00 @list 6.1"},
        row{"wrong page length", "15 10 0000 10 00", "00000000 0a09 00 10 08 00 00000000 0000",
            "check 5/26/00 @list 5"},
        row{"half a page", "15 10 0000 08 00", "00000000 0a0a 00 10", "check 5/1a/00"},
        row{"PS is reserved", "15 10 0000 10 00", "00000000 8a0a 00 10 08 00 00000000 0000", "check 5/26/00 @list 4.7"},
        row{"unknown page", "15 10 0000 06 00", "00000000 3000", "check 5/26/00 @list 4"},
        row{"mode data length", "15 10 0000 10 00", "01000000 0a0a 00 10 08 00 00000000 0000", "check 5/26/00 @list 0"},
        row{"other capacity", "15 10 0000 0c 00", "00000008 0010000000000200", "check 5/26/00 @list 4"},
        row{"other block length", "15 10 0000 0c 00", "00000008 0000000000001000", "check 5/26/00 @list 8"},
        row{"descriptor as it is", "15 10 0000 0c 00", "00000008 0020000000000200", "good"},
        row{"good page, then bad", "15 10 0000 12 00", "00000000 0a0a 00 10 08 00 00000000 0000 3000",
            "check 5/26/00 @list 16"});
    CAPTURE(one.name);
    script unit(thin_disk());
    CHECK(unit.run(one.cdb, one.list) == one.expected);
    CHECK(unit.run(control_sense) ==
          "good 0f001000"
          "0a0a00100000000000000000");
}

TEST_CASE("saved pages come back after a restart and a reset", "[spc4-7.5]") {
    scsi::persistent_state kept;
    auto options = unit_on(thin_disk());
    options.persist = [&](const scsi::persistent_state& state) {
        kept = state;
        return result<void>{};
    };
    script first(options);
    CHECK(first.run("1a 08 0a 00 ff 00") ==
          "good 0f001000"
          "8a0a00100000000000000000");  // PS
    CHECK(first.run("15 11 0000 10 00", d_sense_on) == "good");
    CHECK(kept.saved_mode.descriptor_sense);
    options.restored = kept;
    script second(std::move(options));
    CHECK(second.run("1a 08 ca 00 ff 00") ==
          "good 0f001000"
          "8a0a04100000000000000000");
    CHECK(second.run("1a 08 0a 00 ff 00") ==
          "good 0f001000"
          "8a0a04100000000000000000");
}

TEST_CASE("a page that could not be saved is not changed", "[spc4-7.5]") {
    auto options = unit_on(thin_disk());
    options.persist = [](const scsi::persistent_state&) { return result<void>(fail(errc::io_error, "disk")); };
    script unit(std::move(options));
    CHECK(unit.run("15 11 0000 10 00", swp_on) == "check 4/44/00");
    CHECK(unit.run("2a 00 00000000 00 0001 00") == "write 0+1 out 512");
}

TEST_CASE("log pages", "[spc4-6.8]") {
    script unit(thin_disk());
    CHECK(unit.run("4d 00 40 00 00 0000 00ff 00") ==
          "good 00000004"
          "000c192f");
    CHECK(unit.run("4d 00 40 ff 00 0000 00ff 00") ==
          "good 40ff0010"
          "000000ff"
          "0c000cff"
          "190019ff"
          "2f002fff");
    CHECK(unit.run("4d 00 59 ff 00 0000 00ff 00") == "good 59ff0004190019ff");
    CHECK(unit.run("4d 00 40 ff 00 0001 00ff 00") == "check 5/24/00 @cdb 5");
    CHECK(unit.run("4d 00 6f 00 00 0000 00ff 00") ==
          "good 2f000008"
          "00000304"
          "00000000");
    CHECK(unit.run("4d 00 4d 00 00 0000 00ff 00") == "check 5/24/00 @cdb 2.5");
    CHECK(unit.run("4d 00 6f 01 00 0000 00ff 00") == "check 5/24/00 @cdb 3");
    CHECK(unit.run("4d 00 2f 00 00 0000 00ff 00") == "check 5/24/00 @cdb 2.7");
    CHECK(unit.run("4d 00 6f 00 00 0001 00ff 00") == "check 5/24/00 @cdb 5");
    CHECK(unit.run("4c 02 40 00 00 0000 0000 00") == "check 5/24/00 @cdb 1.1");
    CHECK(unit.run("4c 00 40 00 00 0000 0000 00") == "good");
}

TEST_CASE("statistics count commands and blocks, also of sessions that ended", "[spc4-7.3.6]") {
    script unit(thin_disk());
    unit.run("28 00 00000000 00 0008 00");
    unit.run("2a 00 00000000 00 0003 00");
    {
        const auto other = unit.another('b');
        drain(unit, *other);
        unit.run_on(*other, "28 00 00000000 00 0002 00");
    }
    CHECK(unit.run("4d 00 59 00 00 0000 00ff 00") ==
          "good 19000050"
          "00010340"
          "0000000000000002"
          "0000000000000001"
          "0000000000000003"
          "000000000000000a" +
              std::string(64, '0') +
              "00030308"
              "0000000400000001");
    // From the second parameter on.
    CHECK(unit.run("4d 00 59 00 00 0002 00ff 00") == "good 1900000c000303080000000400000001");
    CHECK(unit.run("4d 00 59 00 00 0004 00ff 00") == "check 5/24/00 @cdb 5");
}

TEST_CASE("statistics tell how long commands waited for the device", "[spc4-7.3.6]") {
    script unit(thin_disk());
    const auto lun = unit.nexus->find({});
    scsi::operation read;
    read.data_in_bytes = 512;
    scsi::operation write;
    write.kind = scsi::operation_kind::write;
    write.data_out_bytes = 512;
    lun->took(read, std::chrono::microseconds(150));
    lun->took(read, std::chrono::microseconds(149));
    lun->took(write, std::chrono::microseconds(1000));
    const auto page = unit.run("4d 00 59 00 00 0000 00ff 00");
    CHECK(page.substr(5 + 2 * 40, 32) == "0000000000000002000000000000000a");
}

TEST_CASE("the provisioning log page tells what the writable layer occupies", "[sbc3-6.4]") {
    auto options = unit_on(thin_disk());
    const auto disk = std::make_shared<fake_disk>(thin_disk());
    options.device = disk;
    script unit(std::move(options));
    CHECK(unit.run("4d 00 4c 00 00 0000 00ff 00") == "good 0c000000");  // the device does not know
    disk->use({.used = {(5 << 20) + 1}});
    CHECK(unit.run("4d 00 4c 00 00 0000 00ff 00") ==
          "good 0c00000c"
          "00020308"
          "0000000601000000");
    disk->use({.used = {5 << 20}, .available = byte_count{(3 << 20) - 1}});
    CHECK(unit.run("4d 00 4c 00 00 0000 00ff 00") ==
          "good 0c000018"
          "000103080000000201000000"
          "000203080000000501000000");
    script still(read_only_disk());
    CHECK(still.run("4d 00 4c 00 00 0000 00ff 00") == "check 5/24/00 @cdb 2.5");
}

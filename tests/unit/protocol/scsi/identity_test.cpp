// INQUIRY in all its pages, and what else a unit says about itself.
#include <catch2/catch.hpp>

#include "tests/unit/protocol/scsi/script.hpp"

using namespace obd;
using namespace obd::test;

namespace {

std::vector<std::byte> data_of(script& unit, const char* cdb) {
    auto decided = unit.send(cdb);
    INFO(cdb << ": " << describe(decided));
    REQUIRE(std::holds_alternative<scsi::completed>(decided));
    auto& end = std::get<scsi::completed>(decided);
    REQUIRE(end.code == scsi::status::good);
    return end.data_in;
}

unsigned byte_of(const std::vector<std::byte>& data, std::size_t at) {
    return std::to_integer<unsigned>(data.at(at));
}

std::string text_of(const std::vector<std::byte>& data, std::size_t from, std::size_t count) {
    REQUIRE(data.size() >= from + count);
    return std::string(as_text(const_bytes(data).subspan(from, count)));
}

}  // namespace

TEST_CASE("standard INQUIRY data", "[spc4-6.6.2]") {
    script unit(thin_disk());
    const auto data = data_of(unit, "12 00 00 00ff 00");
    REQUIRE(data.size() == 96);
    CHECK(byte_of(data, 0) == 0x00);        // a connected direct-access device
    CHECK(byte_of(data, 1) == 0x00);        // not removable
    CHECK(byte_of(data, 2) == 0x06);        // SPC-4
    CHECK((byte_of(data, 3) & 0x2f) == 2);  // NORMACA 0, RESPONSE DATA FORMAT 2
    CHECK(byte_of(data, 4) == 91);
    CHECK(byte_of(data, 7) == 0x02);  // CMDQUE
    CHECK(text_of(data, 8, 8) == "OVERLAYB");
    CHECK(text_of(data, 16, 16) == "overlaybd disk  ");
    CHECK(text_of(data, 32, 4) == "0001");
    CHECK(to_hex(const_bytes(data).subspan(58, 8)) == "00a00960046004c0");  // SAM-5, iSCSI, SPC-4, SBC-3
    CHECK(data_of(unit, "12 00 00 0024 00").size() == 36);
    CHECK(data_of(unit, "12 00 00 0000 00").empty());
}

TEST_CASE("INQUIRY refuses what it does not know", "[spc4-6.6.1]") {
    script unit(thin_disk());
    CHECK(unit.run("12 00 01 00ff 00") == "check 5/24/00 @cdb 2");    // a page without EVPD
    CHECK(unit.run("12 01 b9 00ff 00") == "check 5/24/00 @cdb 2");    // no such page
    CHECK(unit.run("12 02 00 00ff 00") == "check 5/24/00 @cdb 1.7");  // CMDDT, obsolete
}

TEST_CASE("every listed vital product data page is there, in order", "[spc4]") {
    script unit(thin_disk());
    const auto list = data_of(unit, "12 01 00 00ff 00");
    CHECK(to_hex(list) == "0000000a0080838687888fb0b1b2");
    for (std::size_t i = 4; i < list.size(); ++i) {
        const auto page = to_hex(const_bytes(list).subspan(i, 1));
        const auto cdb = "12 01 " + page + " ffff 00";
        const auto data = data_of(unit, cdb.c_str());
        INFO(page);
        REQUIRE(data.size() >= 4);
        CHECK(data[1] == list[i]);
        CHECK((byte_of(data, 2) << 8 | byte_of(data, 3)) == data.size() - 4);
    }
}

TEST_CASE("the unit's names", "[spc4-7.8.6]") {
    script unit(thin_disk());
    CHECK(text_of(data_of(unit, "12 01 80 00ff 00"), 4, 16) == "0123456789abcde1");
    const auto page = to_hex(data_of(unit, "12 01 83 ffff 00"));
    CHECK(page.find("01030008"
                    "3000000000000001") != std::string::npos);  // NAA
    CHECK(page.find("01020010"
                    "aa000000000000000000000000000001") != std::string::npos);  // EUI-64, 16 bytes
    CHECK(page.find("02010018"
                    "4f5645524c415942") != std::string::npos);  // T10 vendor ID
    CHECK(page.find("5194000400000001") != std::string::npos);  // relative target port
    CHECK(page.find("5195000400000001") != std::string::npos);  // target port group
    const auto bytes = bytes_of_hex(page);
    CHECK(as_text(bytes).find("naa.3000000000000001") != std::string_view::npos);
    CHECK(as_text(bytes).find("iqn.2026-11.io.overlaybd:disk,t,0x0001") != std::string_view::npos);
}

TEST_CASE("block limits tell what the commands enforce", "[sbc3]") {
    script thin(thin_disk());
    const auto page = data_of(thin, "12 01 b0 00ff 00");
    REQUIRE(page.size() == 64);
    CHECK(to_hex(const_bytes(page).subspan(4)) ==
          "01ff0008"
          "00008000"
          "00000000"
          "00000000"  // COMPARE AND WRITE, granularity; transfers
          "ffffffff"
          "00000100"
          "00000008"
          "80000000"          // UNMAP
          "0000000000008000"  // WRITE SAME
          "00000100"
          "00000000"
          "00000000"
          "00000000"
          "00000000");
    script still(read_only_disk());
    const auto limits = data_of(still, "12 01 b0 00ff 00");
    CHECK(to_hex(const_bytes(limits).subspan(20)) == std::string(88, '0'));
    CHECK(byte_of(limits, 5) == 0);
}

TEST_CASE("provisioning is reported as it is", "[sbc3-6.6.4]") {
    script thin(thin_disk());
    CHECK(to_hex(data_of(thin, "12 01 b2 00ff 00")) == "00b200040be40200");
    CHECK(to_hex(data_of(thin, "9e 10 0000000000000000 00000020 0000")) ==
          "00000000001fffff"
          "00000200"
          "00"
          "00"
          "c000"
          "00000000000000000000000000000000");
    auto coarse = thin_disk();
    coarse.physical_block_bytes = 4096;
    script sparse(coarse);
    CHECK(to_hex(data_of(sparse, "9e 10 0000000000000000 0000000e 0000")) == "00000000001fffff000002000003");
    script thick(thick_disk());
    CHECK(to_hex(data_of(thick, "12 01 b2 00ff 00")) == "00b2000400000000");
    CHECK(to_hex(data_of(thick, "9e 10 0000000000000000 0000000c 0000")) == "00000000001fffff00000200");
}

TEST_CASE("READ CAPACITY(10) tops out", "[sbc3-5.15]") {
    script small(thin_disk());
    CHECK(small.run("25 00 00000000 0000 00 00") == "good 001fffff00000200");
    CHECK(small.run("25 00 00000000 0000 01 00") == "check 5/24/00 @cdb 8.7");  // PMI, obsolete
    auto huge = thin_disk();
    huge.size = byte_count{std::uint64_t{4} << 40};
    script large(huge);
    CHECK(large.run("25 00 00000000 0000 00 00") == "good ffffffff00000200");
}

TEST_CASE("defect lists are empty in the form they were asked for", "[sbc3-5.17]") {
    script unit(thin_disk());
    CHECK(unit.run("37 00 1d 0000000000 0020") == "check 5/24/00 @cdb 9.7");
    CHECK(unit.run("37 00 1d 00000000 0020 00") == "good 001d0000");
    CHECK(unit.run("b7 0d 00000000 00000020 00 00") == "good 000d000000000000");
}

TEST_CASE("the unit's state commands", "[spc4-6.39]") {
    script unit(thin_disk());
    CHECK(unit.run("00 00000000 00") == "good");
    CHECK(unit.run("03 00000000 12 00") == "check 5/24/00 @cdb 5.7");
    CHECK(unit.run("03 000000 12 00") == "good 700000000000000a00000000000000000000");
    CHECK(unit.run("03 010000 12 00") == "good 7200000000000000");
    CHECK(unit.run("1b 000000 00 00") == "good");
    CHECK(unit.run("1b 000000 02 00") == "good");  // LOEJ on a fixed medium
    CHECK(unit.run("1e 000000 01 00") == "good");
    CHECK(unit.run("1e 000000 02 00") == "check 5/24/00 @cdb 4.1");
    CHECK(unit.run("1d 040000 00 00") == "good");
    CHECK(unit.run("1d 200000 00 00") == "check 5/24/00 @cdb 1.7");
    CHECK(unit.run("1c 010000 ff00") == "good 0000000100");
    CHECK(unit.run("ff") == "check 5/20/00");
    CHECK(unit.run("9e 11") == "check 5/24/00 @cdb 1.4");
}

TEST_CASE("a removable medium can be locked, ejected and loaded", "[sbc3-5.25]") {
    auto options = unit_on(thin_disk());
    options.removable = true;
    script unit(std::move(options));
    CHECK(byte_of(data_of(unit, "12 00 00 0024 00"), 1) == 0x80);
    CHECK(unit.run("1e 000000 01 00") == "good");
    CHECK(unit.run("1b 000000 02 00") == "check 5/53/02");
    const auto other = unit.another('b');
    drain(unit, *other);
    CHECK(unit.run_on(*other, "1b 000000 02 00") == "check 5/53/02");
    CHECK(unit.run("1e 000000 00 00") == "good");
    CHECK(unit.run("1b 000000 02 00") == "good");
    CHECK(unit.run("00 00000000 00") == "check 2/3a/00");
    CHECK(unit.run("28 00 00000000 00 0001 00") == "check 2/3a/00");
    CHECK(unit.run("12 00 00 0004 00").starts_with("good"));
    CHECK(unit.run("1e 000000 01 00") == "good");
    CHECK(unit.run("1b 000000 03 00") == "check 5/53/02");  // nor is one put in
    CHECK(unit.run("1e 000000 00 00") == "good");
    CHECK(unit.run("1b 000000 03 00") == "good");
    CHECK(unit.run("00 00000000 00") == "good");
    CHECK(drain(unit, *other) == "28/00");
    CHECK(unit.run("1b 000000 03 00") == "good");  // it is in already
    CHECK(drain(unit, *other).empty());
}

TEST_CASE("the loss of a nexus or a reset unlocks the medium", "[sbc3-5.10]") {
    auto options = unit_on(thin_disk());
    options.removable = true;
    script unit(std::move(options));
    auto other = unit.another('b');
    drain(unit, *other);
    CHECK(unit.run_on(*other, "1e 000000 01 00") == "good");
    CHECK(unit.run("1b 000000 02 00") == "check 5/53/02");
    other.reset();
    CHECK(unit.run("1b 000000 02 00") == "good");
    CHECK(unit.run("1b 000000 03 00") == "good");
    CHECK(unit.run("1e 000000 01 00") == "good");
    unit.unit->reset(scsi::reset_kind::logical_unit);
    CHECK(unit.run("1b 000000 02 00") == "check 6/29/03");
    CHECK(unit.run("1b 000000 02 00") == "good");
}

TEST_CASE("target port groups: one, active and optimized", "[spc4-6.37]") {
    script unit(thin_disk());
    CHECK(unit.run("a3 0a 00000000 000000ff 00 00") ==
          "good 0000000c"
          "00010001"
          "00010001"
          "00000001");
    CHECK(unit.run("a3 2a 00000000 000000ff 00 00") ==
          "good 00000010"
          "10000000"
          "00010001"
          "00010001"
          "00000001");
    CHECK(unit.run("a3 0a 00000000 00000004 00 00") == "good 0000000c");
    CHECK(unit.run("a4 0a 00000000 00000008 00 00") == "check 5/20/00");  // SET TARGET PORT GROUPS: implicit only
}

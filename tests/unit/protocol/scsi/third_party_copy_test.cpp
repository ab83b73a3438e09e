// EXTENDED COPY(LID1) and RECEIVE COPY RESULTS. SPC-4 §6.4.
#include <catch2/catch.hpp>

#include "tests/unit/protocol/scsi/script.hpp"

using namespace obd;
using namespace obd::test;

namespace {

const char* const copy_cdb = "83 00 0000000000000000 00000fff 00 00";

/// CSCD descriptor by NAA.
std::string unit_by_naa(unsigned number) {
    const std::string last = {"0123456789"[number % 10]};
    return "e4000000 01030008 300000000000000" + last + " 000000000000000000000000 00000200";
}
std::string header(const char* units_bytes, const char* segments_bytes) {
    return std::string("01 00 ") + units_bytes + " 00000000 " + segments_bytes + " 00000000 ";
}
std::string list_of(const std::string& segment) {
    return header("0020", "0000001c") + unit_by_naa(1) + segment;
}

const char* const blocks_0_to_100 = "02000018 0000 0000 0000 0010 0000000000000000 0000000000000100";

}  // namespace

TEST_CASE("a copy is checked before it begins", "[spc4-6.4]") {
    struct row {
        const char* name;
        std::string list;
        const char* expected;
    };
    const auto one = GENERATE(
        row{"block to block", list_of(blocks_0_to_100), "copy 0+16>256"},
        row{"with byte offsets",
            header("0020", "00000020") + unit_by_naa(1) +
                "0a00001c 0000 0000 00002000 0000000000000000 0000000000000100 0200 0000",
            "copy 1+16>256"},
        row{"byte offset inside a block",
            header("0020", "00000020") + unit_by_naa(1) +
                "0a00001c 0000 0000 00002000 0000000000000000 0000000000000100 0100 0000",
            "check 5/26/00"},
        row{"no segments", header("0020", "00000000") + unit_by_naa(1), "good"},
        row{"half a header", "0100 0020", "check 5/1a/00"},
        row{"list cut in a segment", header("0020", "0000001c") + unit_by_naa(1) + "02000018 0000", "check 5/1a/00"},
        row{"unit not in the list", list_of("02000018 0000 0001 0000 0010 0000000000000000 0000000000000100"),
            "check a/08/04"},
        row{"unit that is nowhere", header("0020", "0000001c") + unit_by_naa(9) + blocks_0_to_100, "check a/08/04"},
        row{"destination past the end", list_of("02000018 0000 0000 0000 0010 0000000000000000 00000000001fffff"),
            "check a/00/00"},
        row{"source that would wrap", list_of("02000018 0000 0000 0000 0010 ffffffffffffffff 0000000000000000"),
            "check a/00/00"},
        row{"other kind of unit descriptor",
            header("0020", "0000001c") + "e0" + unit_by_naa(1).substr(2) + blocks_0_to_100, "check 5/26/07"},
        row{"other kind of segment", list_of("03000018 0000 0000 0000 0010 0000000000000000 0000000000000100"),
            "check 5/26/09"},
        row{"segment of a wrong length", list_of("02000014 0000 0000 0000 0010 0000000000000000 0000000000000100"),
            "check 5/26/00"},
        row{"inline data", "01 00 0020 00000000 0000001c 00000004" + unit_by_naa(1) + blocks_0_to_100 + "00000000",
            "check 5/26/00 @list 12"});
    CAPTURE(one.name);
    script unit(thin_disk());
    CHECK(unit.run(copy_cdb, one.list) == one.expected);
}

TEST_CASE("an empty EXTENDED COPY is good", "[spc4-6.4]") {
    script unit(thin_disk());
    CHECK(unit.run("83 00 0000000000000000 00000000 00 00") == "good");
    CHECK(unit.run("83 01 0000000000000000 00000000 00 00") == "check 5/24/00 @cdb 1.4");
}

TEST_CASE("a copy goes from unit to unit of the target, not onto a protected one", "[spc4-6.4]") {
    script unit(thin_disk());
    scsi::unit_options still{
        .device = std::make_shared<fake_disk>(read_only_disk()), .id = some_identity(2), .restored = {}, .persist = {}};
    REQUIRE(unit.luns.add(1, std::make_shared<scsi::logical_unit>(std::move(still))).has_value());
    drain(unit, *unit.nexus);
    const auto copy = [&](const char* source, const char* destination) {
        return unit.run(copy_cdb, header("0040", "0000001c") + unit_by_naa(1) + unit_by_naa(2) + "02000018" + source +
                                      destination + "0000 0010 0000000000000000 0000000000000100");
    };
    CHECK(copy("0001", "0000") == "copy 0+16>256");
    CHECK(copy("0000", "0001") == "check a/27/00");
}

TEST_CASE("RECEIVE COPY RESULTS follows a copy through", "[spc4-6.26]") {
    script unit(thin_disk());
    const char* const status_of_1 = "84 00 01 00000000000000 000000ff 00 00";
    CHECK(unit.run(status_of_1) == "check 5/24/00 @cdb 2");
    const auto cdb = cdb_of(copy_cdb);
    const scsi::command what{.nexus = unit.nexus->id(), .cdb = cdb};
    {
        auto routed = unit.nexus->begin({}, what);
        auto decided = routed.unit->parameters(what, bytes_of_hex(list_of(blocks_0_to_100)));
        CHECK(unit.run(status_of_1) ==
              "good 00000008"
              "00"
              "0000"
              "00"
              "00000000");
        CHECK(unit.run(copy_cdb, list_of(blocks_0_to_100)) == "check 5/00/16");  // the list identifier is in use
        CHECK(describe(routed.unit->finish(std::get<scsi::operation>(decided), what, {})) == "good");
        CHECK(unit.run(status_of_1) ==
              "good 00000008"
              "01"
              "0001"
              "00"
              "00002000");
    }
    {
        auto routed = unit.nexus->begin({}, what);
        auto never_finished = routed.unit->parameters(what, bytes_of_hex(list_of(blocks_0_to_100)));
    }
    CHECK(unit.run(status_of_1) ==
          "good 00000008"
          "02"
          "0000"
          "00"
          "00000000");
}

TEST_CASE("operating parameters and the third-party copy page agree", "[spc4-6.23]") {
    script unit(thin_disk());
    CHECK(unit.run("84 03 0000000000000000 000000ff 00 00") ==
          "good 0000002b"
          "01000000"
          "0010"
          "0040"
          "00000a00"
          "02000000"
          "00000000"
          "00000000"
          "00000000"
          "0000"
          "0010"
          "10"
          "09"
          "0000"
          "000000"
          "03"
          "020ae4");
    CHECK(unit.run("12 01 8f 0fff 00").starts_with("good 008f"));
}

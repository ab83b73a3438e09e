// What every medium command becomes, and why some do not. One row a case.
#include <catch2/catch.hpp>

#include "tests/unit/protocol/scsi/script.hpp"

using namespace obd;
using namespace obd::test;

namespace {

struct row {
    const char* name;
    const char* clause;
    const char* cdb;
    const char* expected;
};

void check(const row& one, device_geometry geometry) {
    script unit(geometry);
    INFO(one.name << " [" << one.clause << "] " << one.cdb);
    CHECK(unit.run(one.cdb) == one.expected);
}

}  // namespace

TEST_CASE("reads become operations", "[sbc3][sbc2-5.5]") {
    const auto one = GENERATE(
        row{"read 6", "SBC-2 5.5", "08 000010 04 00", "read 16+4 in 2048"},
        row{"read 6 of none is 256", "SBC-2 5.5", "08 000000 00 00", "read 0+256 in 131072"},
        row{"read 6 uses 21 bits", "SBC-2 5.5", "08 1fffff 01 00", "read 2097151+1 in 512"},
        row{"read 10", "SBC-3 5.11", "28 00 00000100 00 0008 00", "read 256+8 in 4096"},
        row{"read 10 with DPO and FUA", "SBC-3 5.11", "28 18 00000100 00 0008 00", "read 256+8 in 4096"},
        row{"read 10 of none", "SBC-3 5.11", "28 00 00000100 00 0000 00", "good"},
        row{"read 10 of none at the end", "SBC-3 5.11", "28 00 00200000 00 0000 00", "good"},
        row{"read 10 of none beyond", "SBC-3 5.11", "28 00 00200001 00 0000 00", "check 5/21/00"},
        row{"read 10 up to the end", "SBC-3 5.11", "28 00 001ffff8 00 0008 00", "read 2097144+8 in 4096"},
        row{"read 10 past the end", "SBC-3 5.11", "28 00 001ffff9 00 0008 00", "check 5/21/00"},
        row{"read 10 with RDPROTECT", "SBC-3 5.11", "28 20 00000000 00 0001 00", "check 5/24/00 @cdb 1.7"},
        row{"read 10 with a group", "SBC-3 5.11", "28 00 00000000 05 0001 00", "read 0+1 in 512"},
        row{"read 10 with NACA", "SAM-5 5.2", "28 00 00000000 00 0001 04", "check 5/24/00 @cdb 9.7"},
        row{"read 10 with LINK", "SAM-5 5.2", "28 00 00000000 00 0001 01", "check 5/24/00 @cdb 9.7"},
        row{"read 12", "SBC-3 5.12", "a8 00 00000100 00000010 00 00", "read 256+16 in 8192"},
        row{"read 12 of too many", "SBC-3 6.6.3", "a8 00 00000000 00008001 00 00", "check 5/24/00 @cdb 6"},
        row{"read 16", "SBC-3 5.13", "88 00 0000000000000100 00000010 00 00", "read 256+16 in 8192"},
        row{"read 16 of the most", "SBC-3 6.6.3", "88 00 0000000000000000 00008000 00 00", "read 0+32768 in 16777216"},
        row{"read 16 of too many", "SBC-3 6.6.3", "88 00 0000000000000000 00008001 00 00", "check 5/24/00 @cdb 10"},
        row{"read 16 that would wrap", "SBC-3 4.5", "88 00 ffffffffffffffff 00000002 00 00", "check 5/21/00"},
        row{"verify", "SBC-3 5.29", "2f 00 00000010 00 0008 00", "verify 16+8"},
        row{"verify, compare", "SBC-3 5.29", "2f 02 00000010 00 0008 00", "compare 16+8 out 4096"},
        row{"verify, one block", "SBC-3 5.29", "2f 06 00000010 00 0008 00", "compare 16+8 out 512 pattern"},
        row{"verify, reserved BYTCHK", "SBC-3 5.29", "2f 04 00000010 00 0008 00", "check 5/24/00 @cdb 1.2"},
        row{"verify 12", "SBC-3 5.30", "af 02 00000010 00000008 00 00", "compare 16+8 out 4096"},
        row{"verify 16", "SBC-3 5.31", "8f 00 0000000000000010 00000008 00 00", "verify 16+8"},
        row{"verify 16 with VRPROTECT", "SBC-3 5.31", "8f 20 0000000000000010 00000008 00 00",
            "check 5/24/00 @cdb 1.7"},
        row{"pre-fetch", "SBC-3 5.8", "34 00 00000010 00 0008 00", "prefetch 16+8"},
        row{"pre-fetch, immediate, to the end", "SBC-3 5.8", "34 02 001ffff0 00 0000 00",
            "prefetch 2097136+16 immediate"},
        row{"pre-fetch 16 past the end", "SBC-3 5.9", "90 00 0000000000200000 00000001 00 00", "check 5/21/00"},
        row{"synchronize cache", "SBC-3 5.26", "35 00 00000000 00 0000 00", "flush 0+2097152"},
        row{"synchronize cache 16, immediate", "SBC-3 5.27", "91 02 0000000000000010 00000008 00 00",
            "flush 16+8 immediate"},
        row{"synchronize cache past the end", "SBC-3 5.26", "35 00 00200001 00 0001 00", "check 5/21/00"},
        row{"get lba status", "SBC-3 5.4", "9e 12 0000000000000010 00000018 00 00", "extents 16+2097136 limit 1"},
        row{"get lba status, four descriptors", "SBC-3 5.4", "9e 12 0000000000000000 00000048 00 00",
            "extents 0+2097152 limit 4"},
        row{"get lba status past the end", "SBC-3 5.4", "9e 12 0000000000200000 00000018 00 00", "check 5/21/00"});
    check(one, read_only_disk());
}

TEST_CASE("writes become operations", "[sbc3]") {
    const auto one = GENERATE(
        row{"write 6", "SBC-2 5.24", "0a 000010 04 00", "write 16+4 out 2048"},
        row{"write 10", "SBC-3 5.33", "2a 00 00000100 00 0008 00", "write 256+8 out 4096"},
        row{"write 10, FUA", "SBC-3 5.33", "2a 08 00000100 00 0008 00", "write 256+8 out 4096 fua"},
        row{"write 10, WRPROTECT", "SBC-3 5.33", "2a 20 00000100 00 0008 00", "check 5/24/00 @cdb 1.7"},
        row{"write 12", "SBC-3 5.34", "aa 00 00000100 00000008 00 00", "write 256+8 out 4096"},
        row{"write 16", "SBC-3 5.35", "8a 00 0000000000000100 00000008 00 00", "write 256+8 out 4096"},
        row{"write 16 past the end", "SBC-3 5.35", "8a 00 00000000001fffff 00000002 00 00", "check 5/21/00"},
        row{"write 16 of too many", "SBC-3 6.6.3", "8a 00 0000000000000000 00008001 00 00", "check 5/24/00 @cdb 10"},
        row{"write and verify 10", "SBC-3 5.37", "2e 00 00000100 00 0008 00", "write_and_verify 256+8 out 4096 fua"},
        row{"write and verify 12, BYTCHK", "SBC-3 5.38", "ae 02 00000100 00000008 00 00",
            "write_and_verify 256+8 out 4096 fua"},
        row{"write and verify 16", "SBC-3 5.39", "8e 00 0000000000000100 00000008 00 00",
            "write_and_verify 256+8 out 4096 fua"},
        row{"write and verify, reserved BYTCHK", "SBC-3 5.37", "2e 04 00000100 00 0008 00", "check 5/24/00 @cdb 1.3"},
        row{"write same 10", "SBC-3 5.43", "41 00 00000100 00 0008 00", "same 256+8 out 512"},
        row{"write same 10, UNMAP", "SBC-3 5.43", "41 08 00000100 00 0008 00", "same 256+8 out 512 unmap"},
        row{"write same 10, ANCHOR", "SBC-3 5.43", "41 18 00000100 00 0008 00", "check 5/24/00 @cdb 1.7"},
        row{"write same 10 up to the end: WSNZ", "SBC-3 6.6.3", "41 00 001ffff0 00 0000 00", "check 5/24/00 @cdb 7"},
        row{"write same 16 up to the end: WSNZ", "SBC-3 6.6.3", "93 00 00000000001ffff0 00000000 00 00",
            "check 5/24/00 @cdb 10"},
        row{"write same 16", "SBC-3 5.44", "93 00 0000000000000100 00000008 00 00", "same 256+8 out 512"},
        row{"write same 16, NDOB", "SBC-3 5.44", "93 01 0000000000000100 00000008 00 00", "same 256+8"},
        row{"write same 16, NDOB and UNMAP", "SBC-3 5.44", "93 09 0000000000000100 00000008 00 00", "discard 256+8"},
        row{"write same 16 of too many", "SBC-3 6.6.3", "93 00 0000000000000000 00008001 00 00",
            "check 5/24/00 @cdb 10"},
        row{"write same 16 past the end", "SBC-3 5.44", "93 00 0000000000200001 00000001 00 00", "check 5/21/00"},
        row{"or write", "SBC-3 5.5", "8b 00 0000000000000100 00000008 00 00", "or 256+8 out 4096"},
        row{"compare and write", "SBC-3 5.2", "89 00 0000000000000100 000000 02 00 00",
            "compare_and_write 256+2 out 2048"},
        row{"compare and write of none", "SBC-3 5.2", "89 00 0000000000000100 000000 00 00 00", "good"},
        row{"compare and write, bytes before the count", "SBC-3 5.2", "89 00 0000000000000100 000001 02 00 00",
            "check 5/24/00 @cdb 12.7"},
        row{"write atomic", "SBC-4", "9c 00 0000000000000100 0000 0008 00 00", "write_atomic 256+8 out 4096"},
        row{"write atomic of too many", "SBC-4", "9c 00 0000000000000100 0000 0101 00 00", "check 5/24/00 @cdb 12"},
        row{"write atomic with a boundary", "SBC-4", "9c 00 0000000000000100 0001 0008 00 00",
            "check 5/24/00 @cdb 11.7"},
        row{"unmap wants its list", "SBC-3 5.28", "42 00 00000000 00 0018 00", "wants 24"},
        row{"unmap with no list", "SBC-3 5.28", "42 00 00000000 00 0000 00", "good"},
        row{"unmap with half a header", "SBC-3 5.28", "42 00 00000000 00 0004 00", "check 5/1a/00"},
        row{"unmap, ANCHOR", "SBC-3 5.28", "42 01 00000000 00 0018 00", "check 5/24/00 @cdb 1.7"});
    check(one, thin_disk());
}

TEST_CASE("a read-only disk refuses every write", "[sbc3]") {
    const auto* cdb = GENERATE("0a 000010 04 00", "2a 00 00000100 00 0008 00", "aa 00 00000100 00000008 00 00",
                               "8a 00 0000000000000100 00000008 00 00", "2e 00 00000100 00 0008 00",
                               "8e 00 0000000000000100 00000008 0000", "41 00 00000100 00 0008 00",
                               "93 00 0000000000000100 00000008 0000", "8b 00 0000000000000100 00000008 0000",
                               "89 00 0000000000000100 00000001 0000", "9c 00 0000000000000100 0000 0001 0000");
    CAPTURE(cdb);
    script unit(read_only_disk());
    CHECK(unit.run(cdb) == "check 7/27/00");
}

TEST_CASE("what is wrong with a write counts more than that the disk is read-only", "[sbc3]") {
    script unit(read_only_disk());
    CHECK(unit.run("2a 00 001fffff 00 0002 00") == "check 5/21/00");
    CHECK(unit.run("2a 20 00000100 00 0008 00") == "check 5/24/00 @cdb 1.7");
    CHECK(unit.run("2a 00 00000100 00 0000 00") == "good");  // writes nothing
    CHECK(unit.run("41 00 00000100 00 0000 00") == "check 5/24/00 @cdb 7");
}

TEST_CASE("a thick disk has no UNMAP, and WRITE SAME none either", "[sbc3-4.7]") {
    script unit(thick_disk());
    CHECK(unit.run("42 00 00000000 00 0018 00") == "check 5/20/00");
    CHECK(unit.run("93 08 0000000000000100 00000008 0000") == "check 5/24/00 @cdb 1.3");
    CHECK(unit.run("93 01 0000000000000100 00000008 0000") == "same 256+8");
}

TEST_CASE("an UNMAP list is taken whole or not at all", "[sbc3-5.28]") {
    struct list_row {
        const char* name;
        const char* list;
        const char* expected;
    };
    const auto one = GENERATE(
        list_row{"two ranges",
                 "0026 0020 00000000 0000000000000010 00000008 00000000 0000000000000100 00000001 00000000",
                 "discard 16+8 256+1"},
        list_row{"an empty range", "0016 0010 00000000 0000000000000010 00000000 00000000", "good"},
        list_row{"half a descriptor is ignored", "0016 0010 00000000 0000000000000010 00000008", "good"},
        list_row{"past the end", "0016 0010 00000000 0000000000200000 00000001 00000000", "check 5/21/00"},
        list_row{"wraps", "0016 0010 00000000 ffffffffffffffff 00000002 00000000", "check 5/21/00"},
        list_row{"no descriptors", "0006 0000 00000000", "good"}, list_row{"short", "0006 0000", "check 5/1a/00"});
    CAPTURE(one.name);
    script unit(thin_disk());
    CHECK(unit.run("42 00 00000000 00 0028 00", one.list) == one.expected);
}

TEST_CASE("a miscompare tells where in the data it is", "[sbc3-5.2]") {
    script unit(thin_disk());
    const scsi::operation_result difference{.difference = miscompare{{0x100 * 512 + 700}}};
    CHECK(unit.finish("89 00 0000000000000100 000000 02 0000", difference) == "check e/1d/00 info 700");
    CHECK(unit.finish("2f 02 00000100 00 0002 00", difference) == "check e/1d/00 info 700");
    CHECK(unit.finish("2f 06 00000100 00 0002 00", difference) == "check e/1d/00 info 188");
    CHECK(unit.finish("2e 02 00000100 00 0002 00", difference) == "check e/1d/00 info 700");
    CHECK(unit.finish("89 00 0000000000000100 000000 02 0000", {}) == "good");
}

TEST_CASE("GET LBA STATUS writes extents down as descriptors", "[sbc3-5.4]") {
    script unit(thin_disk());
    scsi::operation_result found;
    found.found_extents = {{{0x10 * 512}, {8 * 512}, device_extent::kind::data},
                           {{0x18 * 512}, {0x100 * 512}, device_extent::kind::deallocated}};
    CHECK(unit.finish("9e 12 0000000000000010 00000100 0000", found) ==
          "good 0000002400000000"
          "00000000000000100000000800000000"
          "00000000000000180000010001000000");
    CHECK(unit.finish("9e 12 0000000000000010 00000018 0000", found) ==
          "good 000000240000000000000000000000100000000800000000");
}

TEST_CASE("data that is not what the CDB counts is refused where it would be misread", "[sbc3-5.2]") {
    script unit(thin_disk());
    const auto run = [&](const char* cdb, std::uint32_t expected_data_out) {
        const auto bytes = cdb_of(cdb);
        return describe(unit.nexus->begin({}, {.cdb = bytes, .expected_data_out = expected_data_out}).what);
    };
    CHECK(run("89 00 0000000000000100 000000 02 0000", 2048) == "compare_and_write 256+2 out 2048");
    CHECK(run("89 00 0000000000000100 000000 02 0000", 4096) == "check 5/24/00 @cdb 13");
    CHECK(run("89 00 0000000000000100 000000 00 0000", 0) == "good");
    CHECK(run("89 00 0000000000000100 000000 00 0000", 262144) == "check 5/24/00 @cdb 13");
    CHECK(run("93 00 0000000000000100 00000008 0000", 1024) == "check 5/24/00 @cdb 10");
    CHECK(run("2a 00 00000100 00 0008 00", 8192) == "write 256+8 out 4096");  // residuals tell
}

TEST_CASE("PRE-FETCH ends with CONDITION MET", "[sbc3-5.8]") {
    script unit(read_only_disk());
    CHECK(unit.finish("34 00 00000010 00 0008 00", {}) == "met");
}

TEST_CASE("without a write cache every write goes to the medium", "[sbc3-6.5.5]") {
    script unit(thin_disk());
    CHECK(unit.run("15 10 0000 18 00", "00000000 08120000 0000000000000000 0000000000000000") == "good");
    CHECK(unit.run("2a 00 00000100 00 0008 00") == "write 256+8 out 4096 fua");
    CHECK(unit.run("0a 000010 04 00") == "write 16+4 out 2048 fua");
}

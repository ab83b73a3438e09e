// The command table as others see it: REPORT SUPPORTED OPERATION CODES, and that every row means what it says.
#include <catch2/catch.hpp>
#include <random>

#include "base/limits.hpp"
#include "protocol/scsi/command_table.hpp"
#include "tests/unit/protocol/scsi/script.hpp"

using namespace obd;
using namespace obd::test;

TEST_CASE("one operation code, with its CDB usage data", "[spc4-6.35.3]") {
    script unit(thin_disk());
    CHECK(unit.run("a3 0c 01 28 0000 000000ff 00 00") ==
          "good 0003000a"
          "2818ffffffff1fffff00");
    CHECK(unit.run("a3 0c 81 28 0000 000000ff 00 00") ==
          "good 0083000a"
          "2818ffffffff1fffff00"
          "000a0000"
          "00000005"
          "0000001e");
    CHECK(unit.run("a3 0c 02 9e 0010 000000ff 00 00") ==
          "good 00030010"
          "9e100000000000000000ffffffff0000");
    CHECK(unit.run("a3 0c 03 9e 0012 000000ff 00 00") ==
          "good 00030010"
          "9e12ffffffffffffffffffffffff0000");
    CHECK(unit.run("a3 0c 03 28 0000 000000ff 00 00").starts_with("good 0003000a"));
    CHECK(unit.run("a3 0c 01 ff 0000 000000ff 00 00") == "good 00010000");
    CHECK(unit.run("a3 0c 02 9e 0017 000000ff 00 00") == "good 00010000");
    CHECK(unit.run("a3 0c 01 9e 0010 000000ff 00 00") == "check 5/24/00 @cdb 2.2");
    CHECK(unit.run("a3 0c 02 28 0000 000000ff 00 00") == "check 5/24/00 @cdb 2.2");
    CHECK(unit.run("a3 0c 04 28 0000 000000ff 00 00") == "check 5/24/00 @cdb 2.2");
}

TEST_CASE("all operation codes are the rows of the table", "[spc4-6.35]") {
    script unit(thin_disk());
    auto decided = unit.send("a3 0c 00 00 0000 0000ffff 00 00");
    const auto& data = std::get<scsi::completed>(decided).data_in;
    REQUIRE(data.size() == 4 + 8 * scsi::all_commands().size());
    std::size_t at = 4;
    for (const auto& spec : scsi::all_commands()) {
        INFO(spec.name);
        CHECK(data[at] == static_cast<std::byte>(spec.code));
        CHECK(std::to_integer<bool>(data[at + 5] & std::byte{1}) == spec.action.has_value());
        CHECK(std::to_integer<unsigned>(data[at + 7]) == spec.cdb_bytes);
        at += 8;
    }
    script thick(thick_disk());
    auto fewer = thick.send("a3 0c 00 00 0000 0000ffff 00 00");
    CHECK(std::get<scsi::completed>(fewer).data_in.size() == data.size() - 3 * 8);  // no UNMAP, no SANITIZE
}

TEST_CASE("a set bit outside the usage data is refused, in every byte of every command", "[spc4]") {
    script unit(thin_disk());
    for (const auto& spec : scsi::all_commands()) {
        if (spec.code == scsi::opcode::report_luns) continue;  // the inventory's; lun_inventory_test.cpp
        for (std::size_t byte = 1; byte < spec.cdb_bytes; ++byte) {
            for (unsigned bit = 0; bit < 8; ++bit) {
                const bool action_bit = byte == 1 && spec.action && bit < 5;
                if (action_bit || (scsi::cdb_usage(spec, byte) >> bit & 1) != 0) continue;
                std::vector<std::byte> cdb(16);
                cdb[0] = static_cast<std::byte>(spec.code);
                cdb[1] = static_cast<std::byte>(spec.action.value_or(0));
                cdb[byte] |= static_cast<std::byte>(1U << bit);
                INFO(spec.name << " byte " << byte << " bit " << bit);
                const auto said = unit.run(to_hex(cdb));
                CHECK(said.starts_with("check 5/24/00 @cdb " + std::to_string(byte) + "."));
            }
        }
    }
}

TEST_CASE("ACA is refused as attribute and as NACA bit", "[sam5-8.6]") {
    script unit(thin_disk());
    const auto read = cdb_of("28 00 00000000 00 0001 00");
    for (const auto attribute : {scsi::task_attribute::untagged, scsi::task_attribute::simple,
                                 scsi::task_attribute::ordered, scsi::task_attribute::head_of_queue}) {
        const scsi::command what{.nexus = unit.nexus->id(), .cdb = read, .attribute = attribute};
        CHECK(describe(unit.nexus->begin({}, what).what) == "read 0+1 in 512");
    }
    const scsi::command what{.nexus = unit.nexus->id(), .cdb = read, .attribute = scsi::task_attribute::aca};
    CHECK(describe(unit.nexus->begin({}, what).what) == "check 5/49/00");
    CHECK(unit.run("28 00 00000000 00 0001 04") == "check 5/24/00 @cdb 9.7");
}

TEST_CASE("any CDB and any list ends in a decision within bounds", "[fuzz]") {
    const auto seed = GENERATE(take(4, random(1, 1'000'000)));
    CAPTURE(seed);
    std::mt19937_64 random(static_cast<std::uint64_t>(seed));
    script unit(seed % 2 == 0 ? thin_disk() : read_only_disk());
    const auto rows = scsi::all_commands();
    for (int round = 0; round < 4000; ++round) {
        std::vector<std::byte> cdb(16);
        for (auto& byte : cdb) byte = random() % 3 == 0 ? static_cast<std::byte>(random()) : std::byte{0};
        const auto& spec = rows[random() % rows.size()];
        cdb[0] = random() % 16 == 0 ? static_cast<std::byte>(random()) : static_cast<std::byte>(spec.code);
        if (spec.action) cdb[1] = static_cast<std::byte>(*spec.action);
        std::vector<std::byte> list(random() % 80);
        for (auto& byte : list) byte = random() % 2 == 0 ? static_cast<std::byte>(random() % 40) : std::byte{0};

        const scsi::command what{.nexus = unit.nexus->id(), .cdb = cdb};
        auto routed = unit.nexus->begin({}, what);
        auto decided = std::move(routed.what);
        if (const auto* wants = std::get_if<scsi::wants_parameters>(&decided)) {
            list.resize(std::min<std::size_t>(list.size(), wants->bytes));
            decided = routed.unit->parameters(what, list);
        }
        INFO(to_hex(cdb) << " list " << to_hex(list) << " gave " << describe(decided));
        REQUIRE(!std::holds_alternative<scsi::wants_parameters>(decided));
        if (const auto* work = std::get_if<scsi::operation>(&decided)) {
            REQUIRE(within(work->offset, work->count, {disk_blocks * 512}));
            REQUIRE(work->data_in_bytes <= limits::max_transfer_bytes);
            REQUIRE(work->data_out_bytes <= limits::max_transfer_bytes);
            for (const auto& range : work->ranges) REQUIRE(within(range.offset, range.count, {disk_blocks * 512}));
            for (const auto& copy : work->copies) REQUIRE(within(copy.to, copy.count, {disk_blocks * 512}));
            static_cast<void>(routed.unit->finish(*work, what, {}));
        }
    }
}

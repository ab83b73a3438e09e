#include <catch2/catch.hpp>

#include "base/bytes.hpp"
#include "base/units.hpp"

using namespace obd;

TEST_CASE("a reader yields integers of either order and stops at the end") {
    const auto bytes = from_hex("0102030405060708090a").value();
    byte_reader reader(bytes);
    CHECK(reader.big<std::uint16_t>() == 0x0102);
    CHECK(reader.little<std::uint32_t>() == 0x06050403);
    CHECK(reader.remaining() == 4);
    CHECK(reader.big<std::uint64_t>() == 0);  // four bytes are left
    CHECK_FALSE(reader.ok());
    CHECK(reader.take(1).empty());  // a reader that failed stays failed
}

TEST_CASE("what a writer wrote is what a reader reads") {
    byte_writer writer;
    writer.big(std::uint32_t{0xdeadbeef}).little(std::uint16_t{0x1234}).zeros(2).put(as_bytes("ab"));
    CHECK(to_hex(writer.written()) == "deadbeef341200006162");
}

TEST_CASE("hex text") {
    CHECK(to_hex(from_hex("00ff10Ab").value()) == "00ff10ab");
    CHECK_FALSE(from_hex("0").has_value());
    CHECK_FALSE(from_hex("0g").has_value());
    CHECK(from_hex("").value().empty());
}

TEST_CASE("ranges are compared without overflow") {
    CHECK(within({0}, {0}, {0}));
    CHECK(within({10}, {5}, {15}));
    CHECK_FALSE(within({10}, {6}, {15}));
    CHECK_FALSE(within({16}, {0}, {15}));
    CHECK_FALSE(within({1}, {~std::uint64_t{0}}, {15}));
    CHECK_FALSE(within({~std::uint64_t{0}}, {2}, {15}));
}

TEST_CASE("alignment") {
    CHECK(align_up(4097, 4096) == 8192);
    CHECK(align_up(4096, 4096) == 4096);
    CHECK(align_down(4097, 4096) == 4096);
    CHECK(is_power_of_two(4096));
    CHECK_FALSE(is_power_of_two(0));
    CHECK_FALSE(is_power_of_two(4097));
}

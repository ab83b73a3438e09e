#include <catch2/catch.hpp>
#include <random>

#include "base/crc32c.hpp"

using namespace obd;

TEST_CASE("both forms of CRC-32C give the published values") {
    CHECK(crc32c(as_bytes("123456789")) == 0xe3069283);
    CHECK(crc32c_raw(as_bytes("123456789"), 0) == 0x58e3fa20);
    CHECK(crc32c_raw_portable(as_bytes("123456789"), 0) == 0x58e3fa20);
    // RFC 7143 appendix A.4
    CHECK(crc32c(std::vector<std::byte>(32, std::byte{0})) == 0x8a9136aa);
    CHECK(crc32c(std::vector<std::byte>(32, std::byte{0xff})) == 0x62a8ab43);
}

TEST_CASE("the CPU's instruction and the table agree at every length and alignment") {
    std::mt19937_64 random(1);
    std::vector<std::byte> bytes(20000);
    for (auto& byte : bytes) byte = static_cast<std::byte>(random());
    for (std::size_t length = 0; length < bytes.size() - 16; length += length < 100 ? 1 : 911) {
        const auto start = length % 16;
        const auto part = const_bytes(bytes).subspan(start, length);
        const auto seed = static_cast<std::uint32_t>(random());
        INFO("length " << length << " start " << start);
        REQUIRE(crc32c_raw(part, seed) == crc32c_raw_portable(part, seed));
    }
}

TEST_CASE("a value continues over parts") {
    const auto whole = as_bytes("the quick brown fox");
    CHECK(crc32c(whole.subspan(7), crc32c(whole.first(7))) == crc32c(whole));
    CHECK(crc32c_raw(whole.subspan(7), crc32c_raw(whole.first(7), 100007)) == crc32c_raw(whole, 100007));
}

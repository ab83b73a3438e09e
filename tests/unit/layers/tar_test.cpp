#include <catch2/catch.hpp>
#include <string>

#include "layers/tar/wrapper.hpp"
#include "layers/window_source.hpp"
#include "tests/support/await.hpp"
#include "tests/support/fault_blob.hpp"
#include "tests/support/layer_writer.hpp"

namespace obd::test {
namespace {

using layers::tar::find_payload;

result<std::optional<layers::tar::payload>> find(byte_vector file) {
    fault_blob blob(std::move(file), fault_blob::place::far);
    return await(find_payload(blob));
}

void poke_byte(byte_vector& file, std::size_t offset, char value) {
    file.at(offset) = static_cast<std::byte>(value);
}

}  // namespace

TEST_CASE("the payload of a tar wrapper is found behind its headers") {
    const byte_vector payload = sample_bytes(3000, 1);
    SECTION("one header") {
        const auto found = find(tar_with_one_header(payload)).value();
        REQUIRE(found.has_value());
        CHECK(found->offset.value == 512);
        CHECK(found->size.value == 3000);
    }
    SECTION("a pax header of one block") {
        const auto found = find(tar_with_pax(payload, 0)).value();
        REQUIRE(found.has_value());
        CHECK(found->offset.value == 1536);
        CHECK(found->size.value == 3000);
    }
    SECTION("a pax header of several blocks") {
        const auto found = find(tar_with_pax(payload, 5000)).value();
        REQUIRE(found.has_value());
        CHECK(found->offset.value == 512 * (1 + 10 + 1));
        CHECK(found->size.value == 3000);
    }
    SECTION("a base-256 size") {
        byte_vector tar = tar_with_one_header(payload);
        for (std::size_t i = 124; i < 136; ++i) poke_byte(tar, i, 0);
        poke_byte(tar, 124, static_cast<char>(0x80));
        poke_byte(tar, 134, 3000 >> 8);
        poke_byte(tar, 135, static_cast<char>(3000 & 0xff));
        repair_tar_checksum(tar, 0);
        CHECK(find(tar).value()->size.value == 3000);
    }
    SECTION("a zero-padded size") {
        byte_vector tar = tar_with_one_header(payload);
        const std::string zero_padded("00000005670\0", 12);
        for (std::size_t i = 0; i < 12; ++i) poke_byte(tar, 124 + i, zero_padded[i]);
        repair_tar_checksum(tar, 0);
        CHECK(find(tar).value()->size.value == 3000);
    }
}

TEST_CASE("what is no tar is left as it is") {
    CHECK(!find({}).value().has_value());
    CHECK(!find(byte_vector(511)).value().has_value());
    CHECK(!find(sample_bytes(4096, 2)).value().has_value());
    byte_vector gnu = tar_with_one_header(sample_bytes(100, 3));
    poke_byte(gnu, 262, ' ');
    poke_byte(gnu, 263, ' ');
    poke_byte(gnu, 264, 0);
    repair_tar_checksum(gnu, 0);
    CHECK(!find(gnu).value().has_value());
    byte_vector checksum = tar_with_one_header(sample_bytes(100, 3));
    poke_byte(checksum, 0, 'X');
    CHECK(!find(checksum).value().has_value());
}

TEST_CASE("damaged and unsuitable tars are refused with the reason") {
    const byte_vector payload = sample_bytes(3000, 4);
    struct damage {
        std::string name;
        byte_vector file;
        std::string expected;
    };
    std::vector<damage> table;
    table.push_back({"unfinished", tar_unfinished(payload), "byte 1024: the tar is unfinished"});
    table.push_back({"cut off payload", tar_with_one_header(payload), "cut off"});
    table.back().file.resize(2000);
    table.push_back({"cut off pax", tar_with_pax(payload, 5000), "pax header is cut off"});
    table.back().file.resize(1024);
    table.push_back({"cut off second header", tar_with_pax(payload, 0), "byte 1024: it is cut off"});
    table.back().file.resize(1100);
    table.push_back({"second header is noise", tar_with_pax(payload, 0), "byte 1024: not a valid header"});
    poke_byte(table.back().file, 1024, 'Z');
    table.push_back({"directory", tar_with_one_header(payload), "not a regular file"});
    poke_byte(table.back().file, 156, '5');
    repair_tar_checksum(table.back().file, 0);
    table.push_back({"bad size", tar_with_one_header(payload), "bad size field"});
    poke_byte(table.back().file, 130, 'x');
    repair_tar_checksum(table.back().file, 0);
    table.push_back({"pax record without end", tar_with_pax(payload, 0), "malformed pax record"});
    poke_byte(table.back().file, 512, '9');
    table.push_back({"endless pax headers", {}, "no file behind 4 pax headers"});
    for (int i = 0; i < 5; ++i) {
        const auto one = tar_with_pax(payload, 0);
        table.back().file.insert(table.back().file.end(), one.begin(), one.begin() + 1024);
    }
    table.push_back({"absurd pax size", tar_with_pax(payload, 0), "longer than 1 MiB"});
    const std::string huge = "77777777770 ";
    for (std::size_t i = 0; i < 12; ++i) poke_byte(table.back().file, 124 + i, huge[i]);
    repair_tar_checksum(table.back().file, 0);

    for (auto& row : table) {
        INFO(row.name);
        const auto found = find(std::move(row.file));
        REQUIRE(!found.has_value());
        INFO(found.error().message());
        CHECK(found.error().message().find(row.expected) != std::string::npos);
    }
}

TEST_CASE("a window does not reach beyond itself") {
    const byte_vector content = sample_bytes(1000, 5);
    auto blob = std::make_shared<fault_blob>(content);
    layers::window_source window(blob, {100}, {200});
    byte_vector out(50);
    REQUIRE(window.try_read({150}, out) == attempt::complete);
    CHECK(std::equal(out.begin(), out.end(), content.begin() + 250));
    CHECK(window.try_read({151}, out) == attempt::would_block);
    const auto past = await(window.read({151}, out));
    REQUIRE(!past.has_value());
    CHECK(past.error().is(errc::out_of_range));
    CHECK(!window.discard_cached({200}, {10}));
    CHECK(window.discard_cached({190}, {100}));
}

}  // namespace obd::test

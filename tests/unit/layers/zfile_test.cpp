#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <catch2/catch.hpp>
#include <functional>
#include <random>
#include <string>

#include "layers/zfile/reader.hpp"
#include "tests/support/await.hpp"
#include "tests/support/fault_blob.hpp"
#include "tests/support/layer_fixtures.hpp"
#include "tests/support/layer_writer.hpp"

namespace obd::test {
namespace {

using layers::zfile::reader;

struct opened_zfile {
    std::shared_ptr<fault_blob> blob;
    std::shared_ptr<reader> content;
};

result<std::shared_ptr<reader>> open(std::shared_ptr<fault_blob> blob, worker_pool& workers) {
    return await(reader::open(std::move(blob), workers));
}

opened_zfile open_near(byte_vector file, worker_pool& workers) {
    auto blob = std::make_shared<fault_blob>(std::move(file));
    auto content = open(blob, workers).value();
    return {std::move(blob), std::move(content)};
}

void check_random_reads(blob_source& seen, const byte_vector& expected, std::uint64_t seed) {
    std::mt19937_64 random(seed);
    byte_vector out;
    for (int i = 0; i < 120; ++i) {
        const std::uint64_t longest = i % 8 == 0 ? expected.size() : 9000;
        const std::uint64_t offset = random() % expected.size();
        out.assign(std::min(1 + random() % longest, expected.size() - offset), std::byte{0xa5});
        INFO("offset " << offset << " length " << out.size());
        const bool in_place = seen.try_read({offset}, out) == attempt::complete;
        if (i % 3 == 0 || !in_place) REQUIRE(await(seen.read({offset}, out)).has_value());
        REQUIRE(first_difference(const_bytes(expected).subspan(offset, out.size()), out).empty());
    }
}

struct zfile_damage {
    std::string name;
    zfile_index_place index;
    std::function<void(byte_vector&, std::size_t trailer)> apply;
    std::string expected;
};

constexpr auto header = zfile_index_place::header;
constexpr auto trailer = zfile_index_place::trailer;

/// Sets a field of the header, and makes the digest right.
auto at_header(std::size_t field, std::uint32_t value) {
    return [=](byte_vector& f, std::size_t) {
        poke32(f, field, value);
        repair_zfile_digest(f, 0);
    };
}

/// Sets the flags of the trailer, and makes the digest right.
auto trailer_flags(std::uint32_t value) {
    return [=](byte_vector& f, std::size_t t) {
        poke32(f, t + 32, value);
        repair_zfile_digest(f, t);
    };
}

void check_refused(const zfile_damage& row) {
    worker_pool workers(1);
    INFO(row.name);
    byte_vector file = zfile(sample_bytes(50'000, 11), {.index = row.index});
    row.apply(file, file.size() - 512);
    const auto opened = open(std::make_shared<fault_blob>(std::move(file)), workers);
    REQUIRE(!opened.has_value());
    INFO(opened.error().message());
    CHECK(opened.error().message().find(row.expected) != std::string::npos);
}

}  // namespace

TEST_CASE("zfiles of every kind read back at any offset and length") {
    worker_pool workers(2);
    const auto seed = std::random_device{}();
    const std::uint32_t block = GENERATE(512u, 1024u, 4096u, 8192u, 16384u, 32768u, 65536u);
    const auto coding = GENERATE(zfile_coding::lz4, zfile_coding::zstd);
    const unsigned entropy = GENERATE(3u, 8u);  // 8: incompressible, blocks grow
    INFO("seed " << seed << " block " << block << " entropy " << entropy);
    const byte_vector content = sample_bytes(300'000 + seed % 70'000, seed, entropy);
    zfile_options options{.coding = coding, .block_bytes = block};
    options.verify = seed % 2 == 0;
    options.index = seed % 3 == 0 ? zfile_index_place::header : zfile_index_place::trailer;
    const auto place = seed % 5 < 3 ? fault_blob::place::near : fault_blob::place::far;
    const auto opened = open(std::make_shared<fault_blob>(zfile(content, options), place), workers).value();
    REQUIRE(opened->size().value == content.size());
    check_random_reads(*opened, content, seed);
}

TEST_CASE("noise that old writers left in zfile headers is not looked at") {
    worker_pool workers(1);
    const byte_vector content = sample_bytes(50'000, 3);
    zfile_options options{.index = zfile_index_place::trailer, .old_garbage = true};
    const auto opened = open_near(zfile(content, options), workers);
    check_random_reads(*opened.content, content, 3);
}

TEST_CASE("empty and one-byte zfiles") {
    worker_pool workers(1);
    CHECK(open_near(zfile({}, {}), workers).content->size().value == 0);
    const byte_vector one = sample_bytes(1, 9);
    const auto opened = open_near(zfile(one, {}), workers);
    byte_vector out(1);
    REQUIRE(opened.content->try_read({0}, out) == attempt::complete);
    CHECK(out == one);
    CHECK(opened.content->try_read({1}, out) == attempt::would_block);
    CHECK(await(opened.content->read({1}, out)).error().is(errc::out_of_range));
    CHECK(await(opened.content->read({1}, mutable_bytes())).has_value());
}

TEST_CASE("blocks side by side are read with one request, and parts of a block decode once") {
    worker_pool workers(1);
    const byte_vector content = sample_bytes(1 << 18, 5);
    const auto opened = open_near(zfile(content, {}), workers);
    const int before = opened.blob->reads_in_place();
    byte_vector out(40'000);
    REQUIRE(opened.content->try_read({1000}, out) == attempt::complete);
    CHECK(opened.blob->reads_in_place() == before + 1);
    // The rest of the last block is at hand now.
    byte_vector rest(100);
    REQUIRE(opened.content->try_read({41'000}, rest) == attempt::complete);
    CHECK(opened.blob->reads_in_place() == before + 1);
    CHECK(first_difference(const_bytes(content).subspan(41'000, 100), rest).empty());
}

TEST_CASE("decoded blocks of one zfile are never served for another") {
    worker_pool workers(1);
    byte_vector out(100);
    for (std::uint64_t seed = 0; seed < 50; ++seed) {
        const byte_vector content = sample_bytes(10'000, seed);
        const auto opened = open_near(zfile(content, {}), workers);
        REQUIRE(opened.content->try_read({4200}, out) == attempt::complete);
        REQUIRE(first_difference(const_bytes(content).subspan(4200, 100), out).empty());
    }
}

TEST_CASE("big reads go to the workers and come back right") {
    worker_pool workers(2);
    const byte_vector content = sample_bytes(3 << 20, 6);
    const auto place = GENERATE(fault_blob::place::near, fault_blob::place::far);
    auto blob = std::make_shared<fault_blob>(zfile(content, {}), place);
    const auto opened = open(blob, workers).value();
    byte_vector out((2 << 20) + 777);
    CHECK(opened->try_read({12345}, out) == attempt::would_block);
    REQUIRE(await(opened->read({12345}, out)).has_value());
    CHECK(first_difference(const_bytes(content).subspan(12345, out.size()), out).empty());
}

TEST_CASE("a bad block is fetched anew, as long as there is hope") {
    worker_pool workers(2);
    const byte_vector content = sample_bytes(1 << 20, 7);
    const byte_vector file = zfile(content, {});
    const auto where = GENERATE(fault_blob::place::near, fault_blob::place::far);
    const std::size_t length = GENERATE(std::size_t{4096}, std::size_t{500'000});
    auto blob = std::make_shared<fault_blob>(file, where, "sha256:abc");
    const auto opened = open(blob, workers).value();
    const std::uint64_t spoiled = opened->table().offset_of(10) + 5;
    byte_vector out(length);
    const byte_offset offset{10 * 4096};
    SECTION("the second copy is good") {
        blob->spoil_at(spoiled, 1);
        REQUIRE(await(opened->read(offset, out)).has_value());
        CHECK(first_difference(const_bytes(content).subspan(offset.value, length), out).empty());
        CHECK(blob->discards() == 1);
    }
    SECTION("every copy is bad") {
        blob->spoil_at(spoiled, 1 << 30);
        CHECK(opened->try_read(offset, out) == attempt::would_block);
        const auto read = await(opened->read(offset, out));
        REQUIRE(!read.has_value());
        CHECK(read.error().is(errc::corrupt));
        CHECK(read.error().message().find("zfile block 10 at byte " + std::to_string(spoiled - 5) +
                                          ": checksum mismatch") != std::string::npos);
        CHECK(blob->discards() == 3);
    }
    SECTION("there is no other copy") {
        blob->spoil_at(spoiled, 1 << 30);
        blob->set_refetchable(false);
        CHECK(await(opened->read(offset, out)).error().is(errc::corrupt));
        CHECK(blob->discards() == 1);
    }
    SECTION("the source fails") {
        blob->fail_at(spoiled, errc::unavailable);
        CHECK(await(opened->read(offset, out)).error().is(errc::unavailable));
    }
}

TEST_CASE("damage within a block is found without checksums too, where decoding can tell") {
    worker_pool workers(1);
    const auto coding = GENERATE(zfile_coding::lz4, zfile_coding::zstd);
    const byte_vector content = sample_bytes(10'000, 8);
    byte_vector file = zfile(content, {.coding = coding, .verify = false});
    poke64(file, 512, ~std::uint64_t{0});
    const auto opened = open_near(std::move(file), workers);
    byte_vector out(100);
    CHECK(opened.content->try_read({0}, out) == attempt::would_block);
    CHECK(await(opened.content->read({0}, out)).error().is(errc::corrupt));
}

TEST_CASE("damaged zfile headers are refused with the reason") {
    const zfile_damage table[] = {
        {"flipped bit in the header", header, [](auto& f, auto) { f[300] ^= std::byte{1}; },
         "its digest does not match"},
        {"flipped bit in the trailer", trailer, [](auto& f, auto t) { f[t + 300] ^= std::byte{1}; },
         "digest does not match"},
        {"trailer gone", trailer, [](auto& f, auto t) { f.resize(t); }, "magic is missing"},
        {"only a header", trailer, [](auto& f, auto) { f.resize(512); }, "too short for a trailer"},
        {"half a trailer", trailer, [](auto& f, auto t) { f.resize(t + 100); }, "magic is missing"},
        {"block size 0", header, at_header(72, 0), "block size 0"},
        {"block size 3000", header, at_header(72, 3000), "block size 3000"},
        {"block size 256", header, at_header(72, 256), "block size 256"},
        {"block size 128 KiB", header, at_header(72, 131072), "block size 131072"},
        {"another block size", header, at_header(72, 8192), "a jump table of"},
        {"algorithm 0", header, at_header(76, 0), "compression algorithm 0"},
        {"algorithm 3", header, at_header(76, 3), "compression algorithm 3"},
        {"dictionary", header, at_header(84, 4096), "compression with a dictionary"},
        {"compressed jump table", header, at_header(32, 0x3b), "compressed jump table"},
        {"first block is a trailer", header, at_header(32, 0x1a), "its flags say trailer"},
        {"absurd block count", header, at_header(48 + 4, 1), "the limit is"},
        {"fewer blocks than content", header, at_header(48, 2), "a jump table of 2 blocks"},
        {"more content than blocks", header, at_header(56, 1 << 30), "a jump table of"},
    };
    for (const auto& row : table) check_refused(row);
}

TEST_CASE("damaged zfile trailers and jump tables are refused with the reason") {
    const zfile_damage table[] = {
        {"jump table outside", header, at_header(40 + 4, 1), "lies outside the file"},
        {"jump table in the header", header, at_header(40, 100), "lies outside the file"},
        {"jump table moved", header,
         [](auto& f, auto) {
             poke32(f, 40, peek32(f, 40) - 4);
             repair_zfile_digest(f, 0);
         },
         "jump table"},
        {"length 0", header, [](auto& f, auto) { poke32(f, peek64(f, 40), 0); }, "block 0 has 0 bytes"},
        {"length of a bare crc", header, [](auto& f, auto) { poke32(f, peek64(f, 40), 4); }, "block 0 has 4 bytes"},
        {"length huge", header, [](auto& f, auto) { poke32(f, peek64(f, 40) + 4, 1 << 20); }, "block 1 has 1048576"},
        {"lengths shifted", header,
         [](auto& f, auto) {
             const auto at = peek64(f, 40);
             poke32(f, at, peek32(f, at) + 1);
             poke32(f, at + 4, peek32(f, at + 4) - 1);
         },
         "its crc does not match"},
        {"trailer says header", trailer, trailer_flags(0x17), "its flags say header"},
        {"trailer unsealed", trailer, trailer_flags(0x12), "its flags say unsealed"},
        {"trailer says index", trailer, trailer_flags(0x14), "its flags say index file"},
    };
    for (const auto& row : table) check_refused(row);
}

TEST_CASE("a trailer is not looked at where the header has the index") {
    worker_pool workers(1);
    const byte_vector content = sample_bytes(50'000, 12);
    byte_vector file = zfile(content, {});
    file.resize(file.size() - 512);
    const auto opened = open_near(std::move(file), workers);
    check_random_reads(*opened.content, content, 12);
}

TEST_CASE("prefetch and discard reach the stored blocks") {
    worker_pool workers(1);
    const auto opened = open_near(zfile(sample_bytes(50'000, 13), {}), workers);
    opened.content->prefetch({10'000}, {~std::uint64_t{0}});
    CHECK(opened.blob->prefetches() == 1);
    opened.content->prefetch({50'000}, {1});
    CHECK(opened.blob->prefetches() == 1);
    CHECK(opened.content->discard_cached({49'999}, {1}));
    CHECK(!opened.content->discard_cached({50'000}, {1}));
}

}  // namespace obd::test

#include <catch2/catch.hpp>
#include <functional>
#include <string>

#include "layers/lsmt/reader.hpp"
#include "tests/support/await.hpp"
#include "tests/support/fault_blob.hpp"
#include "tests/support/layer_writer.hpp"

namespace obd::test {
namespace {

using layers::lsmt::layer;

result<std::shared_ptr<const layer>> open(byte_vector file) {
    return await(layer::open(std::make_shared<fault_blob>(std::move(file), fault_blob::place::far)));
}

lsmt_builder three_runs() {
    lsmt_builder builder;
    builder.write(0, sample_bytes(4 * 512, 1)).write(100, sample_bytes(512, 2)).discard(50, 10);
    return builder;
}

}  // namespace

TEST_CASE("a committed layer opens with what it says of itself") {
    lsmt_options options;
    options.parent_uuid = "FEDCBA98-7654-3210-FEDC-BA9876543210";
    options.user_tag = std::string(300, 'm');
    options.entry_tag = 99;
    options.scatter_padding = true;
    const auto opened = open(three_runs().committed(options)).value();
    CHECK(opened->virtual_size().value == 1 << 20);
    CHECK(opened->trailer().uuid == options.uuid);
    CHECK(opened->header().parent_uuid == options.parent_uuid);
    CHECK(opened->trailer().user_tag == std::string(256, 'm'));
    REQUIRE(opened->mappings().size() == 3);
    CHECK(opened->mappings()[0].tag() == 0);
    CHECK(opened->mappings()[1].zeroed());
    CHECK(opened->mappings()[2].start() == sector{100});
    CHECK(opened->mappings()[2].moffset() == sector{12});
}

TEST_CASE("an absent uuid is empty") {
    lsmt_options options;
    options.uuid.clear();
    CHECK(open(three_runs().committed(options)).value()->trailer().uuid.empty());
}

TEST_CASE("layers sealed in place open, append-only and sparse") {
    const auto appended = open(three_runs().sealed({})).value();
    CHECK(appended->mappings().size() == 3);
    CHECK(!appended->header().has(layers::lsmt::flag::sealed));
    const auto sparse = open(three_runs().sealed_sparse({})).value();
    REQUIRE(sparse->mappings().size() == 3);
    CHECK(sparse->mappings()[2].moffset() == sector{8 + 100});
    CHECK(sparse->trailer().has(layers::lsmt::flag::sparse));
}

TEST_CASE("an index without entries is a layer without content") {
    CHECK(open(lsmt_builder().committed({})).value()->mappings().empty());
    CHECK(open(lsmt_with_entries({}, 0, {})).value()->mappings().empty());
}

TEST_CASE("entries beyond the virtual size are no damage") {
    lsmt_options options;
    options.virtual_bytes = 4096;
    CHECK(open(three_runs().committed(options)).value()->mappings().size() == 3);
}

TEST_CASE("damaged lsmt layers are refused with the place and the reason") {
    struct damage {
        std::string name;
        std::function<void(byte_vector&, std::size_t trailer)> apply;
        std::string expected;
    };
    const damage table[] = {
        {"header magic", [](auto& f, auto) { f[3] ^= std::byte{1}; }, "header at byte 0: the lsmt magic is missing"},
        {"header magic 1", [](auto& f, auto) { f[20] ^= std::byte{1}; }, "header at byte 0: the lsmt magic"},
        {"header says trailer", [](auto& f, auto) { poke32(f, 28, 6); }, "header at byte 0: its flags say trailer"},
        {"header says index", [](auto& f, auto) { poke32(f, 28, 5); }, "header at byte 0: its flags say index file"},
        {"trailer magic", [](auto& f, auto t) { f[t] ^= std::byte{1}; }, "the lsmt magic is missing"},
        {"trailer says header", [](auto& f, auto t) { poke32(f, t + 28, 7); }, "its flags say header"},
        {"trailer says index", [](auto& f, auto t) { poke32(f, t + 28, 4); }, "its flags say index file"},
        {"trailer unsealed", [](auto& f, auto t) { poke32(f, t + 28, 2); }, "its flags say unsealed"},
        {"too many entries", [](auto& f, auto t) { poke64(f, t + 40, 1'000'001); }, "the limit is 1000000"},
        {"entries overflow", [](auto& f, auto t) { poke64(f, t + 40, ~std::uint64_t{0} / 16 + 2); }, "the limit is"},
        {"index longer than the file", [](auto& f, auto t) { poke64(f, t + 40, 1000); }, "between header and trailer"},
        {"index past the trailer", [](auto& f, auto t) { poke64(f, t + 32, f.size()); }, "between header and trailer"},
        {"index offset overflows", [](auto& f, auto t) { poke64(f, t + 32, ~std::uint64_t{511}); }, "between header"},
        {"index in the header", [](auto& f, auto t) { poke64(f, t + 32, 512); }, "between header and trailer"},
        {"index unaligned", [](auto& f, auto t) { poke64(f, t + 32, peek64(f, t + 32) - 16); }, "between header"},
        {"absurd size", [](auto& f, auto t) { poke64(f, t + 48, ~std::uint64_t{0}); }, "absurd virtual size"},
        {"cut off", [](auto& f, auto) { f.resize(f.size() - 512); }, "the lsmt magic is missing"},
        {"shorter than a header", [](auto& f, auto) { f.resize(100); }, "too short for a header and a trailer"},
        {"empty", [](auto& f, auto) { f.clear(); }, "too short for a header and a trailer"},
    };
    for (const auto& row : table) {
        INFO(row.name);
        byte_vector file = three_runs().committed({});
        row.apply(file, file.size() - 4096);
        const auto opened = open(std::move(file));
        REQUIRE(!opened.has_value());
        INFO(opened.error().message());
        CHECK(opened.error().message().find(row.expected) != std::string::npos);
    }
}

TEST_CASE("hostile lsmt indexes are refused with the entry") {
    using entries = std::vector<std::array<std::uint64_t, 2>>;
    struct damage {
        std::string name;
        entries index;
        std::string expected;
    };
    constexpr std::uint64_t data = 100;  // sectors: they end at sector 108
    const damage table[] = {
        {"length 0", {lsmt_entry(5, 0, 8, false)}, "entry 0 (sector 5): its length is 0"},
        {"unsorted",
         {lsmt_entry(50, 1, 8, false), lsmt_entry(5, 1, 9, false)},
         "entry 1 (sector 5): it is out of order"},
        {"overlap", {lsmt_entry(5, 4, 8, false), lsmt_entry(8, 4, 12, false)}, "entry 1 (sector 8): it overlaps"},
        {"twice", {lsmt_entry(5, 4, 8, false), lsmt_entry(5, 4, 8, false)}, "it overlaps"},
        {"in the header", {lsmt_entry(5, 4, 7, false)}, "outside the data (8..108)"},
        {"in the index", {lsmt_entry(5, 4, 105, false)}, "outside the data (8..108)"},
        {"far away", {lsmt_entry(5, 4, (std::uint64_t{1} << 55) - 1, false)}, "outside the data"},
        {"zeroed past the end", {lsmt_entry(5, 4, 109, true)}, "outside the data"},
    };
    for (const auto& row : table) {
        INFO(row.name);
        const auto opened = open(lsmt_with_entries(row.index, data, {}));
        REQUIRE(!opened.has_value());
        INFO(opened.error().message());
        CHECK(opened.error().is(errc::corrupt));
        CHECK(opened.error().message().find(row.expected) != std::string::npos);
    }
    // The very end is allowed to both kinds.
    const entries at_the_end{lsmt_entry(5, 4, 104, false), lsmt_entry(20, 4, 108, true)};
    CHECK(open(lsmt_with_entries(at_the_end, data, {})).has_value());
}

TEST_CASE("a source's failure is the failure of the open") {
    auto blob = std::make_shared<fault_blob>(three_runs().committed({}), fault_blob::place::far);
    blob->fail_at(blob->size().value - 1, errc::timed_out);
    const auto opened = await(layer::open(blob));
    REQUIRE(!opened.has_value());
    CHECK(opened.error().is(errc::timed_out));
}

TEST_CASE("a TurboOCI index maps the layer file and the target") {
    const layers::lsmt::turbo_layout layout{.data_end = {10}, .target_start = {100}, .target_end = {120}};
    const auto tag = [](std::uint64_t number) { return number << 56; };
    const auto decode = [&](const std::vector<std::array<std::uint64_t, 2>>& entries) {
        return layers::lsmt::decode_turbo_index(std::as_bytes(std::span(entries)), layout);
    };

    auto own = test::lsmt_entry(0, 2, 8, false);
    auto far = test::lsmt_entry(4, 20, 0, false);
    far[1] |= tag(1);
    const std::uint64_t base = GENERATE(std::uint64_t{0}, std::uint64_t{3});
    INFO("smallest tag " << base);
    own[1] += tag(base);
    far[1] += tag(base);
    const auto good = decode({own, far});
    REQUIRE(good.has_value());
    REQUIRE(good->size() == 2);
    CHECK(good->at(0).moffset().value == 8);
    CHECK(good->at(1).moffset().value == 100);
    CHECK(good->at(1).tag() == 0);

    auto past = test::lsmt_entry(30, 1, 20, false);
    past[1] |= tag(base + 1);
    const auto outside = decode({own, past});
    REQUIRE(!outside.has_value());
    CHECK(outside.error().message().find("entry 1 (sector 30): it points at sectors 20+1") != std::string::npos);

    auto odd = test::lsmt_entry(30, 1, 8, false);
    odd[1] |= tag(base + 2);
    const auto strange = decode({own, odd});
    REQUIRE(!strange.has_value());
    CHECK(strange.error().message().find("its tag is 2") != std::string::npos);
}

}  // namespace obd::test

// One writable layer: what it refuses, what it repairs, and what happens when the disk is full or fails.
#include "layers/write/upper.hpp"

#include <catch2/catch.hpp>
#include <string>

#include "layers/write/discard_map.hpp"
#include "layers/write/pending_log.hpp"
#include "layers/write/upper_files.hpp"
#include "tests/support/layer_writer.hpp"
#include "tests/unit/layers/write/disk_model.hpp"
#include "tests/unit/layers/write/torn_disk.hpp"

using namespace obd;
using namespace obd::test;
using namespace obd::layers;

namespace {

constexpr std::uint64_t disk_sectors = 2048;
const upper_paths paths{.data = "/data", .index = "/index"};

std::vector<std::byte> sectors_of(std::uint64_t count, stamp value) {
    std::vector<std::byte> bytes(count * sector_bytes);
    for (std::uint64_t i = 0; i < count; ++i) fill(mutable_bytes(bytes).subspan(i * sector_bytes, sector_bytes), value);
    return bytes;
}

struct layer_rig {
    explicit layer_rig(upper_kind kind) {
        REQUIRE(create_upper_in(*disk, {.paths = paths,
                                        .kind = kind,
                                        .virtual_size = {disk_sectors * sector_bytes},
                                        .uuid = {},
                                        .parent_uuid = {}})
                    .has_value());
    }
    result<std::shared_ptr<upper>> try_open(upper_opening::access mode = upper_opening::access::read_write) {
        return open_upper({.files = disk, .paths = paths, .inherited_size = {0}, .mode = mode});
    }
    std::shared_ptr<upper> open(upper_opening::access mode = upper_opening::access::read_write) {
        auto opened = try_open(mode);
        INFO((opened ? "" : opened.error().message()));
        REQUIRE(opened.has_value());
        return *opened;
    }
    std::shared_ptr<torn_disk> disk = std::make_shared<torn_disk>();
};

/// The stamp of a sector that must be data of the layer.
stamp at(const upper& layer, std::uint64_t where) {
    const auto parts = layer.index().lookup({.start = {where}, .length = 1});
    REQUIRE(parts.size() == 1);
    if (parts[0].state == segment::kind::zeroed) return 0;
    REQUIRE(parts[0].state == segment::kind::data);
    std::vector<std::byte> bytes(sector_bytes);
    REQUIRE(layer.data().read(to_bytes(parts[0].moffset), bytes).has_value());
    return stamp_of(bytes).value_or(~stamp{0});
}

bool is_hole(const upper& layer, std::uint64_t where) {
    return layer.index().lookup({.start = {where}, .length = 1})[0].state == segment::kind::hole;
}

void put_entry(torn_disk& disk, std::size_t position, const lsmt::packed_mapping& entry) {
    auto bytes = disk.read(paths.index);
    bytes.resize(std::max(bytes.size(), 4096 + (position + 1) * 16));
    store(mutable_bytes(bytes), lsmt::to_disk(entry), 4096 + position * 16);
    disk.write(paths.index, bytes);
}

}  // namespace

TEST_CASE("a torn journal is repaired, never refused") {
    layer_rig rig(upper_kind::append_only);
    {
        const auto layer = rig.open();
        REQUIRE(layer->write({8}, sectors_of(8, 1000)).has_value());
        REQUIRE(layer->write({16}, sectors_of(8, 2000)).has_value());
        REQUIRE(layer->close().has_value());
    }
    rig.disk->settle();
    struct row {
        const char* name;
        lsmt::packed_mapping entry;
    };
    const auto bad = GENERATE(values<row>({
        {"blank", {0, 0}},
        {"empty", lsmt::pack({.start = {8}, .moffset = {8}, .length = 0, .zeroed = false, .tag = 0})},
        {"data behind the end", lsmt::pack({.start = {8}, .moffset = {1000}, .length = 8, .zeroed = false, .tag = 0})},
        {"data in the header", lsmt::pack({.start = {8}, .moffset = {7}, .length = 8, .zeroed = false, .tag = 0})},
        {"behind the last sector",
         lsmt::pack({.start = {lsmt::offset_mask - 4}, .moffset = {8}, .length = 8, .zeroed = false, .tag = 0})},
    }));
    const auto position =
        GENERATE(std::size_t{1}, std::size_t{2}, std::size_t{5});  // instead of the second entry, behind it, far behind
    CAPTURE(bad.name, position);
    put_entry(*rig.disk, position, bad.entry);
    {
        const auto looked_at = rig.open(upper_opening::access::read_only);
        CHECK_FALSE(looked_at->repairs().clean());
        CHECK(at(*looked_at, 8) == 1000);
    }
    for (const bool first : {true, false}) {
        const auto layer = rig.open();
        CHECK(layer->repairs().clean() != first);
        CHECK(at(*layer, 8) == 1000);
        CHECK((position == 1 ? is_hole(*layer, 16) : at(*layer, 16) == 2000));
        REQUIRE(layer->write({100}, sectors_of(1, 3000)).has_value());
        CHECK(at(*layer, 100) == 3000);
        REQUIRE(layer->close().has_value());
    }
    // overlaybd opens it too: every entry left is sound or padding.
    const auto journal = rig.disk->read(paths.index);
    REQUIRE((journal.size() - 4096) % 16 == 0);
    const auto data_sectors = rig.disk->read(paths.data).size() / sector_bytes;
    for (std::size_t i = 4096; i < journal.size(); i += 16) {
        const auto entry = lsmt::from_disk(load<lsmt::index_entry>(journal, i));
        if (entry.is_padding()) continue;
        CHECK(entry.length() > 0);
        CHECK(entry.moffset().value >= 8);
        CHECK(lsmt::unpack(entry).moffset_end().value <= data_sectors);
    }
}

TEST_CASE("an odd journal length and data tail are cut off") {
    layer_rig rig(upper_kind::append_only);
    {
        const auto layer = rig.open();
        REQUIRE(layer->write({8}, sectors_of(8, 1000)).has_value());
        REQUIRE(layer->close().has_value());
    }
    auto journal = rig.disk->read(paths.index);
    journal.resize(journal.size() + 7);
    rig.disk->write(paths.index, journal);
    auto data = rig.disk->read(paths.data);
    data.resize(data.size() + 1000);
    rig.disk->write(paths.data, data);
    const auto layer = rig.open();
    CHECK(layer->repairs().truncated_bytes == 1007);
    CHECK(at(*layer, 8) == 1000);
}

TEST_CASE("padding inside a journal maps nothing") {
    layer_rig rig(upper_kind::append_only);
    {
        const auto layer = rig.open();
        REQUIRE(layer->write({8}, sectors_of(8, 1000)).has_value());
        REQUIRE(layer->close().has_value());
    }
    const auto entry = lsmt::from_disk(load<lsmt::index_entry>(rig.disk->read(paths.index), 4096));
    put_entry(*rig.disk, 0, lsmt::padding_mapping);
    put_entry(*rig.disk, 1, entry);
    const auto layer = rig.open();
    CHECK(layer->repairs().clean());
    CHECK(at(*layer, 8) == 1000);
}

TEST_CASE("unflushed writes are void when another program wrote the journal since") {
    layer_rig rig(upper_kind::append_only);
    {
        const auto layer = rig.open();
        REQUIRE(layer->write({8}, sectors_of(1, 1000)).has_value());
        REQUIRE(layer->flush().has_value());
        REQUIRE(layer->write({8}, sectors_of(1, 2000)).has_value());
    }
    // The other one appends to the data file and the journal.
    auto data = rig.disk->read(paths.data);
    const auto place = data.size() / sector_bytes;
    const auto theirs = sectors_of(1, 3000);
    data.insert(data.end(), theirs.begin(), theirs.end());
    rig.disk->write(paths.data, data);
    put_entry(*rig.disk, 1, lsmt::pack({.start = {8}, .moffset = {place}, .length = 1, .zeroed = false, .tag = 0}));
    const auto layer = rig.open();
    CHECK(at(*layer, 8) == 3000);
    CHECK(layer->repairs().dropped_entries == 1);
}

TEST_CASE("a log of another layer is ignored") {
    layer_rig rig(upper_kind::append_only);
    {
        const auto layer = rig.open();
        REQUIRE(layer->write({8}, sectors_of(1, 1000)).has_value());
    }
    auto log = rig.disk->read(pending_log::path_for(paths.index));
    log[10] ^= std::byte{1};
    rig.disk->write(pending_log::path_for(paths.index), log);
    const auto layer = rig.open();
    CHECK(is_hole(*layer, 8));
}

TEST_CASE("headers that are none are refused with the file and the reason") {
    struct row {
        const char* file;
        std::size_t offset;
        std::byte value;
        const char* reason;
    };
    const auto damage = GENERATE(values<row>({{"/data", 0, std::byte{0}, "/data"},
                                              {"/data", 28, std::byte{2}, "begins with a trailer"},
                                              {"/data", 28, std::byte{1}, "is no data file"},
                                              {"/data", 28, std::byte{7}, "committed layer"},
                                              {"/index", 8, std::byte{0}, "/index"},
                                              {"/index", 28, std::byte{3}, "is a data file"},
                                              {"/index", 28, std::byte{5}, "is sealed"},
                                              {"/index", 33, std::byte{0}, "index offset"}}));
    layer_rig rig(upper_kind::append_only);
    auto bytes = rig.disk->read(damage.file);
    bytes[damage.offset] = damage.value;
    rig.disk->write(damage.file, bytes);
    const auto opened = rig.try_open();
    REQUIRE_FALSE(opened.has_value());
    CHECK_THAT(opened.error().message(), Catch::Contains(damage.reason));
    CHECK_THAT(opened.error().message(), Catch::Contains(damage.file));
}

TEST_CASE("a full disk fails the write and nothing else") {
    const auto kind = GENERATE(upper_kind::append_only, upper_kind::sparse);
    layer_rig rig(kind);
    const auto layer = rig.open();
    REQUIRE(layer->write({0}, sectors_of(8, 1000)).has_value());
    rig.disk->set_capacity(rig.disk->allocated_blocks() + 2);
    const auto refused = layer->write({512}, sectors_of(64, 2000));
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().is(errc::out_of_space));
    CHECK(layer->try_write({512}, sectors_of(64, 2000)) == attempt::would_block);
    CHECK(at(*layer, 0) == 1000);
    CHECK(is_hole(*layer, 512));
    rig.disk->set_capacity(0);
    REQUIRE(layer->write({512}, sectors_of(64, 3000)).has_value());
    REQUIRE(layer->flush().has_value());
    CHECK(at(*layer, 512) == 3000);
}

TEST_CASE("a quota bounds the files, and can be lifted") {
    const auto kind = GENERATE(upper_kind::append_only, upper_kind::sparse);
    layer_rig rig(kind);
    const auto layer = rig.open();
    layer->set_quota({4096 + 4096 + 64 * 512 + 160});
    std::uint64_t written = 0;
    result<void> last;
    while ((last = layer->write({written * 8}, sectors_of(8, 1000))).has_value()) REQUIRE(++written < 100);
    CHECK(last.error().is(errc::out_of_space));
    CHECK(written >= 7);
    CHECK(written <= 9);
    layer->set_quota({0});
    CHECK(layer->write({written * 8}, sectors_of(8, 1000)).has_value());
}

TEST_CASE("after a failed sync nothing is promised any more") {
    const auto kind = GENERATE(upper_kind::append_only, upper_kind::sparse);
    layer_rig rig(kind);
    const auto layer = rig.open();
    REQUIRE(layer->write({0}, sectors_of(8, 1000)).has_value());
    rig.disk->fail_next_sync();
    CHECK_FALSE(layer->flush().has_value());
    CHECK_FALSE(layer->flush().has_value());
    CHECK_FALSE(layer->write({0}, sectors_of(8, 2000)).has_value());
    CHECK(layer->try_write({0}, sectors_of(8, 2000)) == attempt::would_block);
}

TEST_CASE("more writes than the pending log holds are flushed on the way") {
    layer_rig rig(upper_kind::append_only);
    const auto layer = rig.open();
    for (std::uint64_t i = 0; i < pending_log::default_capacity + 100; ++i) {
        REQUIRE(layer->write({i % disk_sectors}, sectors_of(1, 1000 + i)).has_value());
    }
    CHECK(layer->usage().flushes == 1);
    CHECK(at(*layer, 5) >= 1000);
}

TEST_CASE("discards of a sparse layer are few records, and written anew when they are many") {
    layer_rig rig(upper_kind::sparse);
    const auto map_path = discard_map::path_for(paths.data);
    {
        const auto layer = rig.open();
        CHECK_FALSE(*rig.disk->exists(map_path));
        for (int i = 0; i < 100; ++i) REQUIRE(layer->zero({.start = {64}, .length = 64}).has_value());
        CHECK(rig.disk->read(map_path).size() == 512 + 32);
        REQUIRE(layer->close().has_value());
    }
    auto map = rig.disk->read(map_path);
    const std::vector<std::byte> record(map.end() - 32, map.end());
    for (int i = 0; i < 5000; ++i) map.insert(map.end(), record.begin(), record.end());
    map[600] ^= std::byte{1};  // one of them is damaged
    rig.disk->write(map_path, map);
    const auto layer = rig.open();
    CHECK(at(*layer, 64) == 0);
    CHECK(at(*layer, 127) == 0);
    CHECK(is_hole(*layer, 128));
    CHECK(layer->repairs().dropped_entries == 1);
    CHECK(rig.disk->read(map_path).size() == 512 + 32);
}

TEST_CASE("a sealed layer has overlaybd's trailer, and can be unsealed") {
    const auto kind = GENERATE(upper_kind::append_only, upper_kind::sparse);
    layer_rig rig(kind);
    const auto layer = rig.open();
    REQUIRE(layer->write({16}, sectors_of(8, 1000)).has_value());
    REQUIRE(layer->zero({.start = {64}, .length = 64}).has_value());
    REQUIRE(layer->seal().has_value());
    const auto file = rig.disk->read(paths.data);
    const auto trailer = file.size() - 4096;
    CHECK(peek32(file, trailer + 28) == (kind == upper_kind::sparse ? 0x16u : 0x06u));
    CHECK(peek64(file, trailer + 40) == 2);
    CHECK((trailer - peek64(file, trailer + 32)) % 512 == 0);
    for (std::size_t i = peek64(file, trailer + 32) + 32; i < trailer; ++i) REQUIRE(file[i] == std::byte{0});
    REQUIRE(layer->unseal().has_value());
    REQUIRE(layer->write({16}, sectors_of(8, 2000)).has_value());
    CHECK(at(*layer, 16) == 2000);
}

TEST_CASE("a layer is made with what was asked for, or not at all") {
    torn_disk disk;
    create_upper_options options{.paths = paths, .kind = {}, .virtual_size = {1000}, .uuid = {}, .parent_uuid = {}};
    CHECK_THAT(create_upper_in(disk, options).error().message(), Catch::Contains("multiple of 512"));
    options.virtual_size = {1 << 20};
    options.parent_uuid = "nonsense";
    CHECK_THAT(create_upper_in(disk, options).error().message(), Catch::Contains("parent uuid"));
    options.parent_uuid.clear();
    disk.write("/index", std::vector<std::byte>(1));
    CHECK(create_upper_in(disk, options).error().is(errc::already_exists));
    CHECK_FALSE(*disk.exists("/data"));
    CHECK(disk.remove("/index").has_value());
    CHECK(create_upper_in(disk, options).has_value());
    CHECK(disk.read("/data").size() == 4096);
    CHECK(disk.read("/index").size() == 4096);
}

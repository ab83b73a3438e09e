// A scratch disk against a plain copy of the disk in memory.
#include <algorithm>
#include <catch2/catch.hpp>
#include <random>

#include "layers/fs/scratch_disk.hpp"
#include "tests/unit/layers/fs/image_fixture.hpp"

using namespace obd;
using namespace obd::fs;
using namespace obd::fs::test;

namespace {

constexpr std::uint64_t disk_bytes = 1 << 20;
using bytes = std::vector<std::byte>;

bytes noise(std::size_t count, std::mt19937& random) {
    bytes made(count);
    for (auto& value : made) value = static_cast<std::byte>(random());
    return made;
}

bytes all_of(sync_disk& disk) {
    bytes whole(disk.size().value);
    disk.read({0}, whole).value();
    return whole;
}

/// What a layer made of the changes would show over the disk below.
bytes replayed(scratch_disk& disk, bytes below, std::size_t* visited = nullptr) {
    below.resize(disk.size().value);
    std::uint64_t reached = 0;
    scratch_disk::change_visitor visitor;
    visitor.data = [&](byte_offset at, const_bytes data) -> result<void> {
        REQUIRE(at.value >= reached);
        std::ranges::copy(data, below.begin() + static_cast<std::ptrdiff_t>(at.value));
        reached = at.value + data.size();
        if (visited != nullptr) *visited += data.size();
        return {};
    };
    visitor.zeroed = [&](byte_offset at, byte_count count) -> result<void> {
        REQUIRE(at.value >= reached);
        std::fill_n(below.begin() + static_cast<std::ptrdiff_t>(at.value), count.value, std::byte{0});
        reached = at.value + count.value;
        return {};
    };
    disk.visit_changes(visitor).value();
    return below;
}

}  // namespace

TEST_CASE("random writes and discards over another disk") {
    const auto seed = GENERATE(21u, 22u, 23u);
    INFO("seed " << seed);
    std::mt19937 random(seed);
    scratch_directory work;
    // The disk grows by half, and does not end at a block.
    const auto below = make_memory_disk({disk_bytes});
    below->write({disk_bytes / 4}, noise(disk_bytes / 2, random)).value();
    const auto disk = scratch_disk::create(below.get(), {disk_bytes * 3 / 2 + 512}, work.path()).value();
    auto model = all_of(*below);
    model.resize(disk->size().value);
    for (int step = 0; step < 400; ++step) {
        const auto sectors = model.size() / 512;
        const auto start = random() % sectors;
        const auto count = std::min<std::uint64_t>(1 + random() % 40, sectors - start);
        const byte_offset at{start * 512};
        if (random() % 3 == 0) {
            disk->discard(at, {count * 512}).value();
            std::fill_n(model.begin() + static_cast<std::ptrdiff_t>(at.value), count * 512, std::byte{0});
        } else {
            const auto data = noise(count * 512, random);
            disk->write(at, data).value();
            std::ranges::copy(data, model.begin() + static_cast<std::ptrdiff_t>(at.value));
        }
    }
    CHECK(all_of(*disk) == model);
    CHECK(replayed(*disk, all_of(*below)) == model);
}

TEST_CASE("what is the same as below is no change, what is forgotten neither") {
    std::mt19937 random(1);
    scratch_directory work;
    const auto below = make_memory_disk({disk_bytes});
    const auto same = noise(16384, random);
    below->write({0}, same).value();
    const auto disk = scratch_disk::create(below.get(), {disk_bytes}, work.path()).value();
    std::size_t visited = 0;
    disk->write({0}, same).value();
    disk->discard({65536}, {65536}).value();
    CHECK(replayed(*disk, all_of(*below), &visited) == all_of(*below));
    CHECK(visited == 0);
    disk->write({32768}, noise(8192, random)).value();
    disk->write({40960}, noise(4096, random)).value();
    disk->forget({32768}, {8192});
    replayed(*disk, all_of(*below), &visited);
    CHECK(visited == 4096);
}

TEST_CASE("ranges outside are refused") {
    scratch_directory work;
    const auto disk = scratch_disk::create(nullptr, {disk_bytes}, work.path()).value();
    bytes block(4096);
    CHECK(disk->read({disk_bytes - 2048}, block).error().is(errc::out_of_range));
    CHECK(disk->write({disk_bytes}, block).error().is(errc::out_of_range));
    CHECK(disk->discard({~std::uint64_t{0} - 511}, {1024}).error().is(errc::out_of_range));
    CHECK(scratch_disk::create(nullptr, {disk_bytes}, work / "missing").has_error());
}

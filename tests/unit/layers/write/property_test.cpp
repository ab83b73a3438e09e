// Thousands of random operations on a writable disk against a plain model, with re-opens, snapshots, commits and
// merges.
#include <catch2/catch.hpp>
#include <string>

#include "layers/write/commit.hpp"
#include "tests/support/await.hpp"
#include "tests/unit/layers/write/device_rig.hpp"
#include "tests/unit/layers/write/memory_sink.hpp"

using namespace obd;
using namespace obd::test;
using namespace obd::layers;

namespace {

/// The disk that a layer alone makes.
std::vector<std::byte> disk_of(device_rig& rig, const std::vector<std::byte>& file) {
    scratch_directory scratch;
    const auto path = scratch.write("layer", file);
    auto opened = await(rig.services().pool.open_file(path, std::string()));
    INFO((opened ? "" : opened.error().message()));
    REQUIRE(opened.has_value());
    auto stack = *read_stack::build({*opened});
    std::vector<std::byte> disk(stack->size().value);
    REQUIRE(await(stack->read({0}, disk)).has_value());
    return disk;
}

layer_wrapping random_wrapping(device_rig& rig) {
    layer_wrapping wrapping;
    if (rig.pick(3) != 0) {
        zfile_options zfile;
        zfile.algo = rig.pick(2) == 0 ? zfile::algorithm::lz4 : zfile::algorithm::zstd;
        zfile.block_bytes = 4096u << rig.pick(5);
        zfile.checksums = rig.pick(4) != 0;
        zfile.threads = static_cast<unsigned>(rig.pick(4));
        wrapping.zfile = zfile;
        if (rig.pick(2) == 0) wrapping.index_at = zfile_index_at::trailer;
    }
    wrapping.tar = rig.pick(2) == 0;
    return wrapping;
}

/// Everything flattened into one layer reads as the disk does.
void check_merge(device_rig& rig) {
    const upper_opening how{.files = std::shared_ptr<file_system>(&rig.disk(), [](file_system*) {}),
                            .paths = rig.paths(),
                            .inherited_size = {0},
                            .mode = upper_opening::access::read_only};
    auto top = open_upper(how);
    REQUIRE(top.has_value());
    const layer_description description{
        .virtual_size = (*top)->identity().virtual_size, .uuid = {}, .parent_uuid = {}, .user_tag = "merged"};
    const auto source = source_of(rig.stack(), *top);
    memory_sink out;
    const auto totals = commit_layer(*source, description, random_wrapping(rig), out);
    REQUIRE(totals.has_value());
    REQUIRE(rig.model().differs(disk_of(rig, out.bytes)) == "");
}

void run(upper_kind kind, std::uint64_t seed) {
    CAPTURE(seed);
    device_rig rig(kind, seed);
    REQUIRE(rig.open() == "");
    for (int step = 0; step < 400; ++step) {
        CAPTURE(step);
        rig.step();
        const auto dice = rig.pick(100);
        if (dice == 0) rig.snapshot();
        if (dice == 1) {
            REQUIRE(await(rig.device().close()).has_value());
            rig.abandon();
            REQUIRE(rig.open() == "");
            REQUIRE(rig.model().differs(rig.content()) == "");
        }
    }
    REQUIRE(rig.model().differs(rig.content()) == "");
    REQUIRE(await(rig.device().close()).has_value());
    rig.abandon();
    REQUIRE(rig.open() == "");
    rig.abandon();
    check_merge(rig);
}

}  // namespace

TEST_CASE("random work on an append-only layer is what the model says", "[property]") {
    run(upper_kind::append_only, GENERATE(range(1u, 9u)));
}

TEST_CASE("random work on a sparse layer is what the model says", "[property]") {
    run(upper_kind::sparse, GENERATE(range(101u, 109u)));
}

TEST_CASE("extents tell what is there", "[extents]") {
    device_rig rig(GENERATE(upper_kind::append_only, upper_kind::sparse), 7);
    REQUIRE(rig.open() == "");
    for (int step = 0; step < 100; ++step) rig.step();
    const byte_count size = rig.device().geometry().size;
    const auto all = await(rig.device().extents({0}, size, 1'000'000));
    REQUIRE(all.has_value());
    std::uint64_t at = 0;
    const auto disk = rig.content();
    for (const auto& extent : *all) {
        REQUIRE(extent.offset.value == at);
        if (extent.state == device_extent::kind::deallocated) {
            const auto part = const_bytes(disk).subspan(at, extent.length.value);
            REQUIRE(std::all_of(part.begin(), part.end(), [](std::byte b) { return b == std::byte{0}; }));
        }
        at += extent.length.value;
    }
    REQUIRE(at == size.value);
    const auto few = await(rig.device().extents({0}, size, 3));
    REQUIRE(few->size() == std::min<std::size_t>(3, all->size()));
}

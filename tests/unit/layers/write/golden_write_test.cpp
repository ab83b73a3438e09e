// What we write against what overlaybd wrote: the golden layers are committed again, its writable layers opened,
// written, sealed and committed.
#include <algorithm>
#include <catch2/catch.hpp>
#include <memory>
#include <string>

#include "layers/write/commit.hpp"
#include "layers/write/host_file.hpp"
#include "layers/write/writable_image.hpp"
#include "tests/golden/golden_case.hpp"
#include "tests/support/await.hpp"
#include "tests/unit/layers/write/memory_sink.hpp"

using namespace obd;
using namespace obd::test;
using namespace obd::layers;

namespace {

bool absent() {
    if (golden_dir()) return false;
    WARN("skipped: no golden data (OBD_GOLDEN_DIR)");
    return true;
}

std::shared_ptr<const opened_layer> open_layer_file(layer_services& services, const std::filesystem::path& path) {
    auto opened = await(services.pool.open_file(path, std::string()));
    INFO((opened ? "" : opened.error().message()));
    REQUIRE(opened.has_value());
    return *opened;
}

layer_description description_of(const opened_layer& layer) {
    const auto& header = layer.lsmt->header();
    return {.virtual_size = header.virtual_size,
            .uuid = header.uuid,
            .parent_uuid = header.parent_uuid,
            .user_tag = header.user_tag};
}

std::vector<std::byte> commit_again(std::shared_ptr<const opened_layer> layer, const layer_wrapping& wrapping) {
    const auto description = description_of(*layer);
    const auto source = source_of(std::move(layer));
    memory_sink out;
    const auto totals = commit_layer(*source, description, wrapping, out);
    REQUIRE(totals.has_value());
    return out.bytes;
}

/// The bytes of an LSMT layer with those cleared that overlaybd leaves uninitialised.
std::vector<std::byte> without_garbage(std::vector<std::byte> layer) {
    for (const std::size_t at : {std::size_t{130}, layer.size() - 4096 + 130}) {
        layer[at] = layer[at + 1] = std::byte{0};
    }
    return layer;
}

void check_layer_file(layer_services& services, const std::vector<std::byte>& bytes,
                      const golden_expectation& expected) {
    const scratch_directory scratch;
    const auto path = scratch.write("layer", bytes);
    image_config config;
    config.lowers.push_back({});
    config.lowers.back().file = path.string();
    auto image = await(open_image(std::move(config), services.get()));
    INFO((image ? "" : image.error().message()));
    REQUIRE(image.has_value());
    check_disk(**image, expected, 1);
}

std::shared_ptr<writable_image> open_writable(layer_services& services, const std::filesystem::path& config_path) {
    auto config = load_image_config(config_path);
    REQUIRE(config.has_value());
    auto image = await(open_image(std::move(*config), services.get()));
    INFO((image ? "" : image.error().message()));
    REQUIRE(image.has_value());
    auto writable = as_writable(*image);
    REQUIRE(writable != nullptr);
    return writable;
}

}  // namespace

TEST_CASE("a plain layer committed again is the same file", "[golden]") {
    if (absent()) return;
    const golden_case golden("01_raw");
    layer_services services;
    const auto layer = open_layer_file(services, golden.path("layer0.lsmt"));
    const auto again = commit_again(layer, {});
    const auto original = without_garbage(read_file(golden.path("layer0.lsmt")));
    CHECK(first_difference(original, without_garbage(again)) == "");
}

TEST_CASE("zstd layers committed again are the same files", "[golden]") {
    if (absent()) return;
    const auto name = GENERATE(as<std::string>{}, "04_zstd_4k", "12_longruns");
    CAPTURE(name);
    const golden_case golden(name);
    layer_services services;
    const auto layer = open_layer_file(services, golden.path("layer0.zf"));
    layer_wrapping wrapping;
    wrapping.zfile = zfile_options{.algo = zfile::algorithm::zstd};
    wrapping.zfile->threads = GENERATE(1u, 3u);
    const auto again = commit_again(layer, wrapping);
    const auto original = read_file(golden.path("layer0.zf"));
    // The original's LSMT header holds two bytes of garbage, which change its first and last blocks.
    CHECK(again.size() <= original.size() + 64);
    CHECK(original.size() <= again.size() + 64);
    check_layer_file(services, again, golden.expected());
}

TEST_CASE("every wrapping reads back", "[golden]") {
    if (absent()) return;
    const golden_case golden("02_lz4_4k");
    layer_services services;
    const auto layer = open_layer_file(services, golden.path("layer0.zf"));
    const auto algo = GENERATE(zfile::algorithm::lz4, zfile::algorithm::zstd);
    const auto block = GENERATE(4096u, 16384u, 65536u);
    const bool tar = GENERATE(false, true);
    const auto index = GENERATE(zfile_index_at::trailer, zfile_index_at::header_and_trailer);
    layer_wrapping wrapping;
    wrapping.zfile = zfile_options{.algo = algo, .block_bytes = block, .checksums = !tar, .threads = tar ? 2u : 1u};
    wrapping.index_at = index;
    wrapping.tar = tar;
    check_layer_file(services, commit_again(layer, wrapping), golden.expected());
}

TEST_CASE("the tar wrapper is overlaybd's", "[golden]") {
    if (absent()) return;
    const golden_case golden("03_lz4_4k_tar");
    const auto original = read_file(golden.path("layer0.tar"));
    memory_sink out;
    auto copy = [&](byte_sink& to) { return to.write(const_bytes(original).subspan(1536, 357990)); };
    layer_wrapping wrapping;
    wrapping.tar = true;
    REQUIRE(write_wrapped(wrapping, out, copy).has_value());
    CHECK(first_difference(original, out.bytes) == "");
}

TEST_CASE("writable layers of overlaybd open, read right, and commit", "[golden]") {
    if (absent()) return;
    const auto name =
        GENERATE(as<std::string>{}, "30_upper_append", "31_upper_append_only", "32_upper_sparse", "33_upper_vsize0");
    CAPTURE(name);
    const golden_case golden(name);
    layer_services services;
    writable_layers uppers;
    services.uppers = &uppers;
    const auto image = open_writable(services, golden.path("config.v1.json"));
    CHECK(image->statistics().repaired_entries == 0);
    check_disk(*image, golden.expected(), 2);
    // A discarded range and a small write survive a re-open, whatever the format.
    const std::vector<std::byte> data(512, std::byte{0xab});
    REQUIRE(await(image->discard({8192}, {16384})).has_value());
    REQUIRE(await(image->write({512}, data, durability::write_back)).has_value());
    const auto changed = *read_all(*image);
    REQUIRE(await(image->close()).has_value());
    const auto again = open_writable(services, golden.path("config.v1.json"));
    CHECK(first_difference(changed, *read_all(*again)) == "");
}

TEST_CASE("a live snapshot leaves layers that read the same", "[golden]") {
    if (absent()) return;
    const auto name = GENERATE(as<std::string>{}, "30_upper_append", "32_upper_sparse");
    const golden_case golden(name);
    layer_services services;
    writable_layers uppers;
    services.uppers = &uppers;
    const auto image = open_writable(services, golden.path("config.v1.json"));
    snapshot_request request{
        .upper = {.data = golden.path("next.data"), .index = golden.path("next.index")}, .kind = {}, .publish = {}};
    const auto taken = await(image->snapshot(std::move(request)));
    INFO((taken ? "" : taken.error().message()));
    REQUIRE(taken.has_value());
    CHECK(taken->layers.sealed == golden.path("upper.data"));
    check_disk(*image, golden.expected(), 3);
    CHECK(image->layers().size() == 4);
    CHECK(image->statistics().mappings == 0);
}

TEST_CASE("a merge of five layers reads as overlaybd's", "[golden]") {
    if (absent()) return;
    const golden_case stack_case("21_stack5_mixed");
    const golden_case golden("41_merge");
    layer_services services;
    auto config = load_image_config(stack_case.path("config.v1.json"));
    REQUIRE(config.has_value());
    std::vector<std::shared_ptr<const opened_layer>> all;
    for (const auto& lower : config->lowers) all.push_back(open_layer_file(services, lower.file));
    const auto stack = *read_stack::build(std::move(all));
    const auto source = source_of(stack, nullptr);
    memory_sink out;
    const layer_description description{.virtual_size = stack->size(), .uuid = {}, .parent_uuid = {}, .user_tag = {}};
    REQUIRE(commit_layer(*source, description, {}, out).has_value());
    check_layer_file(services, out.bytes, golden.expected());
    const auto theirs = read_file(golden.path("merged.lsmt"));
    CHECK(out.bytes.size() <= theirs.size());
}

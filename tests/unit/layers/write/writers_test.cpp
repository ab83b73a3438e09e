// ZFile, tar and output files, read back by the read half and by hand.
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "layers/local_blob.hpp"
#include "layers/opened_layer.hpp"
#include "layers/write/commit.hpp"
#include "layers/write/tar_writer.hpp"
#include "layers/write/uuid.hpp"
#include "tests/support/await.hpp"
#include "tests/support/layer_fixtures.hpp"
#include "tests/support/layer_writer.hpp"
#include "tests/unit/layers/write/memory_sink.hpp"

using namespace obd;
using namespace obd::test;
using namespace obd::layers;

namespace {

std::vector<std::byte> wrap(const std::vector<std::byte>& content, const layer_wrapping& wrapping) {
    memory_sink out;
    auto write = [&](byte_sink& to) -> result<void> {
        // In pieces of odd sizes, as a stream comes.
        for (std::size_t at = 0, piece = 1; at < content.size(); piece = piece * 7 % 100'003) {
            const auto part = const_bytes(content).subspan(at, std::min(piece, content.size() - at));
            TRYV(to.write(part));
            at += part.size();
        }
        return {};
    };
    REQUIRE(write_wrapped(wrapping, out, write).has_value());
    return out.bytes;
}

std::vector<std::byte> unwrapped(const std::vector<std::byte>& file) {
    const scratch_directory scratch;
    worker_pool workers(1);
    auto blob = local_blob::open(scratch.write("file", file), workers);
    auto content = await(unwrap(*blob, workers));
    INFO((content ? "" : content.error().message()));
    REQUIRE(content.has_value());
    std::vector<std::byte> bytes(content->content->size().value);
    REQUIRE(await(content->content->read({0}, bytes)).has_value());
    return bytes;
}

}  // namespace

TEST_CASE("what is compressed is what is read") {
    const auto algo = GENERATE(zfile::algorithm::lz4, zfile::algorithm::zstd);
    const auto block = GENERATE(4096u, 8192u, 32768u, 65536u);
    const auto entropy = GENERATE(4u, 8u);  // 8: cannot be compressed
    const auto size = GENERATE(std::size_t{1}, std::size_t{4096}, std::size_t{1'000'001});
    CAPTURE(static_cast<int>(algo), block, entropy, size);
    const auto content = sample_bytes(size, 1, entropy);
    layer_wrapping wrapping;
    wrapping.zfile = layers::zfile_options{.algo = algo, .block_bytes = block};
    CHECK(first_difference(content, unwrapped(wrap(content, wrapping))) == "");
}

TEST_CASE("the number of threads does not change a byte") {
    const auto algo = GENERATE(zfile::algorithm::lz4, zfile::algorithm::zstd);
    const auto content = sample_bytes(3'000'000, 2, 4);
    layer_wrapping wrapping;
    wrapping.tar = true;
    wrapping.zfile = layers::zfile_options{.algo = algo, .threads = 1};
    const auto alone = wrap(content, wrapping);
    for (const unsigned threads : {2u, 5u}) {
        wrapping.zfile->threads = threads;
        CHECK(first_difference(alone, wrap(content, wrapping)) == "");
    }
}

TEST_CASE("an empty ZFile has no blocks") {
    memory_sink out;
    auto zfile = zfile_writer::begin(out, {}, zfile_index_at::header_and_trailer);
    const auto totals = (*zfile)->finish();
    REQUIRE(totals.has_value());
    CHECK(totals->blocks == 0);
    CHECK(out.bytes.size() == 1024);
}

TEST_CASE("incompressible 64 KiB blocks are counted, since overlaybd cannot read them") {
    const auto content = sample_bytes(200'000, 3, 8);
    memory_sink out;
    auto zfile = zfile_writer::begin(out, {.block_bytes = 65536}, zfile_index_at::trailer);
    REQUIRE((*zfile)->write(content).has_value());
    CHECK((*zfile)->finish()->oversized_blocks == 3);
}

TEST_CASE("options that are impossible are refused") {
    memory_sink out;
    for (const std::uint32_t bytes : {0u, 1000u, 2048u, 131072u}) {
        const auto begun = zfile_writer::begin(out, {.block_bytes = bytes}, zfile_index_at::trailer);
        REQUIRE_FALSE(begun.has_value());
        CHECK_THAT(begun.error().message(), Catch::Contains("block size"));
    }
}

TEST_CASE("an unfinished tar is recognised") {
    memory_sink out;
    auto tar = tar_writer::begin(out);
    REQUIRE((*tar)->write(sample_bytes(1000, 4)).has_value());
    CHECK(as_text(const_bytes(out.bytes).subspan(1024, 13)) == std::string_view("overlaybd.new", 13));
    CHECK(as_text(const_bytes(out.bytes).subspan(1024 + 257, 5)) == "xxtar");
    REQUIRE((*tar)->finish().has_value());
    CHECK(out.bytes.size() == 1536 + 1024 + 1024);
    CHECK(as_text(const_bytes(out.bytes).subspan(512, 13)) == "13 size=1000\n");
}

TEST_CASE("an output file appears when it is whole") {
    const scratch_directory scratch;
    const auto path = scratch.path() / "out";
    const auto bytes = sample_bytes(5000, 5);
    {
        auto file = file_sink::create(path, file_sink::existing::keep);
        REQUIRE(file->write(bytes).has_value());
        CHECK_FALSE(std::filesystem::exists(path));
    }
    CHECK(std::filesystem::is_empty(scratch.path()));
    for (const auto what : {file_sink::existing::keep, file_sink::existing::replace}) {
        auto file = file_sink::create(path, what);
        REQUIRE(file.has_value());
        REQUIRE(file->write(bytes).has_value());
        REQUIRE(file->overwrite({0}, const_bytes(bytes).first(1)).has_value());
        REQUIRE(file->finish().has_value());
        CHECK(read_file(path) == bytes);
    }
    CHECK(file_sink::create(path, file_sink::existing::keep).error().is(errc::already_exists));
    CHECK(file_sink::create(scratch.path() / "no" / "out", file_sink::existing::keep).error().is(errc::not_found));
}

TEST_CASE("uuids") {
    const auto one = random_uuid();
    CHECK(is_uuid(one));
    CHECK(one[14] == '4');
    CHECK(one != random_uuid());
    CHECK(is_uuid(null_uuid));
    for (const char* text : {"", "x", "00000000-0000-0000-0000-00000000000", "00000000-0000-0000-0000-00000000000g",
                             "000000000000-0000-0000-0000-00000000"}) {
        CHECK_FALSE(is_uuid(text));
    }
}

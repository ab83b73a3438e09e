// Gzip files and their index: what is read at random is what is read from the beginning.
#include <zlib.h>

#include <catch2/catch.hpp>
#include <random>
#include <string>

#include "base/crc32c.hpp"
#include "layers/gzip/source.hpp"
#include "layers/write/gzip_index_writer.hpp"
#include "tests/support/await.hpp"
#include "tests/support/fault_blob.hpp"
#include "tests/unit/layers/write/memory_sink.hpp"

using namespace obd;
using layers::gzip_index_writer;

namespace {

std::vector<std::byte> gzipped(const_bytes plain, int level) {
    z_stream stream{};
    REQUIRE(::deflateInit2(&stream, level, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    std::vector<std::byte> packed(::deflateBound(&stream, plain.size()) + 64);
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(plain.data()));
    stream.avail_in = static_cast<uInt>(plain.size());
    stream.next_out = reinterpret_cast<Bytef*>(packed.data());
    stream.avail_out = static_cast<uInt>(packed.size());
    REQUIRE(::deflate(&stream, Z_FINISH) == Z_STREAM_END);
    packed.resize(packed.size() - stream.avail_out);
    ::deflateEnd(&stream);
    return packed;
}

/// Noise, words and runs, so that blocks of all kinds come.
std::vector<std::byte> mixture(std::size_t bytes, std::mt19937_64& random) {
    std::vector<std::byte> made;
    while (made.size() < bytes) {
        const auto count = random() % 40'000;
        const auto kind = random() % 3;
        for (std::size_t i = 0; i < count; ++i)
            made.push_back(static_cast<std::byte>(kind == 0 ? random() : kind == 1 ? random() % 7 + 'a' : 'x'));
    }
    made.resize(bytes);
    return made;
}

struct indexed {
    std::vector<std::byte> packed;
    std::vector<std::byte> index;
    gzip_index_writer::totals totals;
};

indexed index_of(std::vector<std::byte> packed, std::uint64_t span, std::mt19937_64& random) {
    test::memory_sink sink;
    const auto writer = gzip_index_writer::begin(sink, span).value();
    for (std::size_t at = 0; at < packed.size();) {
        const auto count = std::min<std::size_t>(packed.size() - at, 1 + random() % 10'000);
        writer->packed(const_bytes(packed).subspan(at, count)).value();
        at += count;
    }
    auto totals = writer->finish().value();
    return {std::move(packed), std::move(sink.bytes), totals};
}

result<std::shared_ptr<blob_source>> open(const indexed& what, worker_pool& workers) {
    return test::await(layers::gzip::source::open(std::make_shared<test::fault_blob>(what.packed),
                                                  std::make_shared<test::fault_blob>(what.index), workers));
}

}  // namespace

TEST_CASE("reads at random are the content's bytes, for every level, span and number of members") {
    const auto seed = std::random_device{}();
    INFO("seed " << seed);
    std::mt19937_64 random(seed);
    worker_pool workers(1);
    for (const int level : {0, 1, 6, 9}) {
        const auto plain = mixture(300'000 + random() % 300'000, random);
        auto packed = gzipped(plain, level);
        auto whole = plain;
        for (std::size_t members = random() % 3; members > 0; --members) {
            const auto more = mixture(random() % 100'000, random);
            const auto next = gzipped(more, level);
            whole.insert(whole.end(), more.begin(), more.end());
            packed.insert(packed.end(), next.begin(), next.end());
        }
        packed.resize(packed.size() + random() % 2 * 512);  // a tape block's padding
        const auto made = index_of(std::move(packed), 1 + random() % 100'000, random);
        CAPTURE(level, made.totals.places, whole.size());
        CHECK(made.totals.plain_size.value == whole.size());
        CHECK(made.totals.gzip_size.value == made.packed.size());
        const auto content = open(made, workers).value();
        REQUIRE(content->size().value == whole.size());
        for (int i = 0; i < 60; ++i) {
            const auto at = random() % whole.size();
            std::vector<std::byte> out(std::min<std::size_t>(whole.size() - at, 1 + random() % 70'000));
            if (content->try_read({at}, out) != attempt::complete) test::await(content->read({at}, out)).value();
            REQUIRE(std::equal(out.begin(), out.end(), whole.begin() + static_cast<std::ptrdiff_t>(at)));
        }
        std::vector<std::byte> out(2);
        CHECK_FALSE(test::await(content->read({whole.size() - 1}, out)).has_value());
    }
}

TEST_CASE("an index that is damaged or another file's is refused, damaged data too") {
    std::mt19937_64 random(1);
    worker_pool workers(1);
    const auto made = index_of(gzipped(mixture(500'000, random), 6), 50'000, random);
    for (const std::size_t at : {std::size_t{0}, std::size_t{8}, std::size_t{20}, std::size_t{60}, std::size_t{313},
                                 std::size_t{330}, made.index.size() - 3}) {
        auto damaged = made;
        damaged.index[at] ^= std::byte{0x11};
        CAPTURE(at);
        CHECK_FALSE(open(damaged, workers).has_value());
    }
    auto shorter = made;
    shorter.index.pop_back();
    CHECK_FALSE(open(shorter, workers).has_value());
    auto other = made;
    other.packed.push_back(std::byte{0});
    CHECK_FALSE(open(other, workers).has_value());
    auto window = made;
    window.index[350] ^= std::byte{0xff};  // of the first window: zlib's own sum tells
    std::vector<std::byte> out(100);
    const auto opened = open(window, workers).value();
    const auto bad = test::await(opened->read({0}, out));
    REQUIRE_FALSE(bad.has_value());
    CHECK(bad.error().is(errc::corrupt));
}

TEST_CASE("what is no gzip, or not all of it, gets no index") {
    std::mt19937_64 random(2);
    const auto packed = gzipped(mixture(50'000, random), 6);
    for (const std::size_t count : {std::size_t{0}, std::size_t{5}, packed.size() / 2, packed.size() - 1}) {
        test::memory_sink sink;
        const auto writer = gzip_index_writer::begin(sink).value();
        const auto fed = writer->packed(const_bytes(packed).first(count));
        CHECK((!fed.has_value() || !writer->finish().has_value()));
    }
    test::memory_sink sink;
    const auto writer = gzip_index_writer::begin(sink).value();
    CHECK_FALSE(writer->packed(as_bytes("no gzip at all, but long enough to be looked at")).has_value());
}

// The extent cache on its own: what it keeps, over restarts, damage, pressure and a full or forbidden disk.
#include <catch2/catch.hpp>

#include <fcntl.h>
#include <unistd.h>
#include <algorithm>
#include <atomic>
#include <thread>

#include "base/digest.hpp"
#include "registry/extent_file.hpp"
#include "tests/support/client_rig.hpp"

using namespace obd;
using namespace obd::registry;
using namespace obd::test;
using presence = cached_blob::presence;

namespace {

constexpr std::uint32_t extent = 4096;

struct fixture {
    scratch_directory dir;
    std::ostringstream log_text;
    spdlog::logger log{"cache", std::make_shared<spdlog::sinks::ostream_sink_mt>(log_text)};
    std::string bytes = random_bytes(10 * extent + 100, 6);
    std::string digest = sha256_digest(as_bytes(bytes));
    std::filesystem::path stem = dir.path() / "extents-v1" / digest.substr(7);

    std::unique_ptr<blob_cache> make(std::uint64_t capacity = 1 << 20) {
        return make_extent_cache({dir.path(), {capacity}, extent}, log);
    }
    const_bytes part(std::uint64_t which) const {
        return as_bytes(bytes).subspan(which * extent, std::min<std::size_t>(extent, bytes.size() - which * extent));
    }
    static std::string read(cached_blob& blob, std::uint64_t offset, std::size_t count) {
        std::string out(count, '?');
        const auto done = blob.read({offset}, std::as_writable_bytes(std::span(out)));
        return done == attempt::complete ? out : "would block";
    }
    bool load(cached_blob& blob, std::uint64_t which) const {
        std::vector<std::byte> out(part(which).size());
        return blob.load(which, out) && std::equal(out.begin(), out.end(), part(which).begin());
    }
    static void flip(const std::filesystem::path& file, std::uint64_t offset) {
        const owned_fd fd(::open(file.c_str(), O_RDWR));
        char byte = 0;
        REQUIRE(::pread(fd.get(), &byte, 1, static_cast<off_t>(offset)) == 1);
        byte = static_cast<char>(byte ^ 0x10);
        REQUIRE(::pwrite(fd.get(), &byte, 1, static_cast<off_t>(offset)) == 1);
    }
};

}  // namespace

TEST_CASE_METHOD(fixture, "what is stored is read, what is not blocks") {
    const auto cache = make();
    CHECK(cache->open(digest, {0}) == nullptr);
    const auto blob = cache->open(digest, {bytes.size()});
    REQUIRE(blob != nullptr);
    CHECK(blob->size().value == bytes.size());
    CHECK(read(*blob, 0, 10) == "would block");
    blob->store(1, part(1));
    blob->store(2, part(2));
    blob->store(10, part(10));
    CHECK(read(*blob, extent, 2 * extent) == bytes.substr(extent, 2 * extent));
    CHECK(read(*blob, extent + 7, extent) == bytes.substr(extent + 7, extent));
    CHECK(read(*blob, 10 * extent + 5, 95) == bytes.substr(10 * extent + 5, 95));
    CHECK(read(*blob, 2 * extent, extent + 1) == "would block");
    CHECK(read(*blob, 10 * extent, 101) == "would block");
    CHECK(cache->used().value == 2 * extent + 100);
    std::string out(10, '?');
    CHECK(blob->try_read({extent}, std::as_writable_bytes(std::span(out))) == attempt::complete);
    CHECK(out == bytes.substr(extent, 10));
    blob->drop(1);
    CHECK(read(*blob, extent, 1) == "would block");
    CHECK(cache->used().value == extent + 100);
}

TEST_CASE_METHOD(fixture, "a restart finds what was there, and checks it before its first use") {
    {
        const auto cache = make();
        const auto blob = cache->open(digest, {bytes.size()});
        for (const std::uint64_t which : {0u, 3u, 10u}) blob->store(which, part(which));
    }
    const auto cache = make();
    CHECK(cache->used().value >= 2 * extent + 100);
    const auto blob = cache->open(digest, {0});  // its size comes from the map
    REQUIRE(blob != nullptr);
    CHECK(blob->size().value == bytes.size());
    CHECK(cache->used().value == 2 * extent + 100);
    CHECK(blob->state(0) == presence::unverified);
    CHECK(blob->state(1) == presence::absent);
    CHECK(read(*blob, 0, 10) == "would block");
    CHECK(load(*blob, 0));
    CHECK(load(*blob, 10));
    CHECK_FALSE(load(*blob, 1));
    CHECK(blob->state(0) == presence::ready);
    CHECK(read(*blob, 0, 10) == bytes.substr(0, 10));
}

TEST_CASE_METHOD(fixture, "damage on disk costs the extent, or the map, never wrong bytes") {
    {
        const auto cache = make();
        const auto blob = cache->open(digest, {bytes.size()});
        for (const std::uint64_t which : {0u, 1u, 2u}) blob->store(which, part(which));
    }
    SECTION("data") {
        flip(stem.string() + ".data", extent + 17);
        const auto cache = make();
        const auto blob = cache->open(digest, {0});
        CHECK(load(*blob, 0));
        CHECK_FALSE(load(*blob, 1));
        CHECK(blob->state(1) == presence::absent);
        CHECK(cache->used().value == 2 * extent);
    }
    SECTION("a record") {
        flip(stem.string() + ".map", sizeof(cache_map_header) + 8);
        const auto blob_cache = make();
        const auto blob = blob_cache->open(digest, {0});
        CHECK(blob->state(0) == presence::unverified);
        CHECK(blob->state(1) == presence::absent);
    }
    SECTION("the header") {
        const auto offset = GENERATE(range(0, 64));
        flip(stem.string() + ".map", static_cast<std::uint64_t>(offset));
        const auto cache = make();
        CHECK(cache->open(digest, {0}) == nullptr);
        CHECK(log_text.str().find("thrown away") != std::string::npos);
        const auto blob = cache->open(digest, {bytes.size()});
        CHECK(blob->state(0) == presence::absent);
    }
    SECTION("a map that ends early") {
        std::filesystem::resize_file(stem.string() + ".map", sizeof(cache_map_header) + 12);
        const auto cache = make();
        const auto blob = cache->open(digest, {0});
        CHECK(blob->state(0) == presence::unverified);
        CHECK(blob->state(1) == presence::absent);
    }
    SECTION("a data file that ends early") {
        std::filesystem::resize_file(stem.string() + ".data", extent + 5);
        const auto cache = make();
        const auto blob = cache->open(digest, {0});
        CHECK(load(*blob, 0));
        CHECK_FALSE(load(*blob, 1));
    }
    SECTION("files that are not ours") {
        std::filesystem::remove(stem.string() + ".data");
        const auto cache = make();
        CHECK(cache->open(digest, {0}) == nullptr);
    }
}

TEST_CASE_METHOD(fixture, "the capacity holds: idle blobs go first, then extents that nobody read") {
    const auto cache = make(8 * extent);
    const auto other = random_bytes(4 * extent, 7);
    const auto other_digest = sha256_digest(as_bytes(other));
    {
        const auto blob = cache->open(other_digest, {other.size()});
        for (std::uint64_t which = 0; which < 4; ++which)
            blob->store(which, as_bytes(other).subspan(which * extent, extent));
    }
    const auto blob = cache->open(digest, {bytes.size()});
    for (std::uint64_t which = 0; which < 4; ++which) blob->store(which, part(which));
    CHECK(cache->used().value == 8 * extent);
    blob->store(4, part(4));
    CHECK(cache->used().value == 5 * extent);
    CHECK_FALSE(std::filesystem::exists(dir.path() / "extents-v1" / (other_digest.substr(7) + ".data")));
    for (std::uint64_t which = 5; which < 10; ++which) blob->store(which, part(which));
    CHECK(cache->used().value <= 8 * extent);
    CHECK(read(*blob, 9 * extent, extent) == bytes.substr(9 * extent, extent));
    // Every extent either blocks or is right.
    for (std::uint64_t which = 0; which < 10; ++which) {
        const auto got = read(*blob, which * extent, extent);
        CHECK((got == "would block" || got == bytes.substr(which * extent, extent)));
    }
}

TEST_CASE_METHOD(fixture, "readers never see an extent that is being evicted") {
    const auto cache = make(3 * extent);
    const auto blob = cache->open(digest, {bytes.size()});
    std::atomic<bool> stop{false};
    std::atomic<int> wrong{0};
    std::thread reader([&] {
        std::string out(extent, '?');
        for (std::uint64_t which = 0; !stop; which = (which + 1) % 10) {
            const auto done = blob->try_read({which * extent}, std::as_writable_bytes(std::span(out)));
            if (done == attempt::complete && out != bytes.substr(which * extent, extent)) ++wrong;
        }
    });
    for (int round = 0; round < 2'000; ++round) {
        const auto which = static_cast<std::uint64_t>(round) % 10;
        if (blob->state(which) == presence::absent) blob->store(which, part(which));
    }
    stop = true;
    reader.join();
    CHECK(wrong == 0);
    CHECK(cache->used().value <= 3 * extent);
}

TEST_CASE_METHOD(fixture, "a directory that can't be used means no cache and a warning") {
    SECTION("another process has it") {
        const auto first = make();
        const auto second = make();
        CHECK(log_text.str().find("another process uses it") != std::string::npos);
        const auto blob = second->open(digest, {bytes.size()});
        blob->store(0, part(0));
        CHECK(blob->state(0) == presence::absent);
    }
    SECTION("it is a file") {
        const auto file = dir.write("file", "");
        const auto cache = make_extent_cache({file, {1 << 20}, extent}, log);
        CHECK(log_text.str().find("no cache in") != std::string::npos);
        const auto blob = cache->open(digest, {bytes.size()});
        blob->store(0, part(0));
        CHECK(blob->state(0) == presence::absent);
    }
}

TEST_CASE_METHOD(fixture, "a disk that takes nothing more is no error of the reader") {
    // /dev/full fails every write with ENOSPC.
    std::filesystem::create_directories(stem.parent_path());
    std::filesystem::create_symlink("/dev/full", stem.string() + ".map");
    const auto cache = make();
    std::filesystem::remove(stem.string() + ".map");
    std::filesystem::create_symlink("/dev/full", stem.string() + ".map");
    const auto blob = cache->open(digest, {bytes.size()});
    blob->store(0, part(0));
    CHECK(blob->state(0) == presence::absent);
    CHECK(cache->used().value == 0);
    CHECK(log_text.str().find("not cached") != std::string::npos);
    CHECK(log_text.str().find("no space") != std::string::npos);
}

TEST_CASE_METHOD(fixture, "a smaller capacity after a restart is kept to") {
    {
        const auto cache = make();
        const auto blob = cache->open(digest, {bytes.size()});
        for (std::uint64_t which = 0; which < 10; ++which) blob->store(which, part(which));
    }
    const auto cache = make(2 * extent);
    CHECK(cache->used().value <= 2 * extent);
}

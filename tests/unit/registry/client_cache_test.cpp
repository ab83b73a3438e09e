// The client and its cache together: restarts, a registry that is down, damage.
#include <catch2/catch.hpp>

#include <fcntl.h>
#include <unistd.h>

#include "tests/support/client_rig.hpp"
#include "tests/support/fake_registry.hpp"

using namespace obd;
using namespace obd::test;

namespace {

struct fixture {
    scratch_directory dir;
    fake_registry registry;
    std::string bytes = random_bytes(300'000, 8);
    std::string digest = registry.add_blob(bytes);
    std::string blobs = registry.base() + "/v2/team/app/blobs";

    void warm(std::uint64_t offset, std::size_t count) const {
        client_rig rig(client_rig::quick_options(dir.path()));
        const auto source = rig.open(blobs, digest).value();
        REQUIRE(client_rig::read(*source, offset, count) == bytes.substr(offset, count));
    }
};

}  // namespace

TEST_CASE_METHOD(fixture, "after a restart the cache serves, even while the registry is down") {
    warm(20'000, 50'000);
    registry.stop();
    client_rig rig(client_rig::quick_options(dir.path()));
    const auto source = rig.open(blobs, digest);  // its size is known to the cache
    REQUIRE(source.has_value());
    CHECK((*source)->size().value == bytes.size());
    CHECK(client_rig::read(**source, 20'000, 50'000) == bytes.substr(20'000, 50'000));
    CHECK((*source)->fetched().value == 0);
    CHECK(client_rig::read(**source, 200'000, 10).find("unavailable") != std::string::npos);
    CHECK(rig->cache_used().value == 4 * 16384);
}

TEST_CASE_METHOD(fixture, "a damaged extent is fetched anew, and right again after the next restart") {
    warm(0, bytes.size());
    const auto data = dir.path() / "cache" / "extents-v1" / (digest.substr(7) + ".data");
    const int fd = ::open(data.c_str(), O_WRONLY | O_CLOEXEC);
    REQUIRE(fd >= 0);
    REQUIRE(::pwrite(fd, "damage", 6, 100'000) == 6);
    ::close(fd);
    {
        client_rig rig(client_rig::quick_options(dir.path()));
        const auto source = rig.open(blobs, digest).value();
        CHECK(client_rig::read(*source, 0, bytes.size()) == bytes);
        CHECK(source->fetched().value > 0);
        CHECK(rig.log_text().find("damaged") != std::string::npos);
    }
    registry.stop();
    client_rig rig(client_rig::quick_options(dir.path()));
    const auto source = rig.open(blobs, digest).value();
    CHECK(client_rig::read(*source, 0, bytes.size()) == bytes);
}

TEST_CASE_METHOD(fixture, "a cache smaller than the blob, and none at all, still give the right bytes") {
    auto options = client_rig::quick_options(dir.path());
    options.cache_capacity = {GENERATE(std::uint64_t{0}, std::uint64_t{3 * 16384})};
    client_rig rig(options);
    const auto source = rig.open(blobs, digest).value();
    const auto seed = std::random_device{}();
    INFO("seed " << seed);
    std::mt19937 random(seed);
    for (int i = 0; i < 30; ++i) {
        const auto offset = random() % bytes.size();
        const auto count = random() % std::min<std::size_t>(bytes.size() - offset, 100'000);
        CHECK(client_rig::read(*source, offset, count) == bytes.substr(offset, count));
    }
    CHECK(rig->cache_used().value <= options.cache_capacity.value);
}

// Reads a blob through the extent cache at random, for ever or a number of times, and checks every byte: the program
// that cache_kill_test.py kills. The blob's bytes are a function of their place, so nobody has to hold them.
//
//     cache_reader CACHE_DIR BLOBS_URL DIGEST SIZE SEED READS     (READS 0: until killed)
//
// Prints a line for every tenth read. Exit status: 0 all right, 1 a read failed, 3 wrong bytes.
#include <spdlog/logger.h>
#include <spdlog/sinks/null_sink.h>

#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>

#include "base/worker_pool.hpp"
#include "registry/client.hpp"
#include "tests/support/await.hpp"
#include "tests/support/client_rig.hpp"

namespace {

using namespace obd;

/// As cache_kill_test.py has it: 8 bytes a time, little-endian, place times an odd number.
std::byte byte_at(std::uint64_t place) {
    const std::uint64_t word = (place / 8 + 1) * 0x9e3779b97f4a7c15u;
    return static_cast<std::byte>(word >> (place % 8 * 8));
}

int read_at_random(blob_source& blob, std::uint64_t seed, std::uint64_t reads) {
    std::mt19937_64 random(seed);
    std::vector<std::byte> out(1 << 17);
    for (std::uint64_t n = 0; reads == 0 || n < reads; ++n) {
        const std::uint64_t at = random() % blob.size().value;
        const auto count = std::min<std::uint64_t>(1 + random() % out.size(), blob.size().value - at);
        const auto part = mutable_bytes(out).first(count);
        if (blob.try_read({at}, part) != attempt::complete) {
            const auto got = test::await(blob.read({at}, part));
            if (!got) {
                std::fprintf(stderr, "%s\n", got.error().message().c_str());
                return 1;
            }
        }
        for (std::uint64_t i = 0; i < count; ++i) {
            if (part[i] == byte_at(at + i)) continue;
            std::fprintf(stderr, "wrong byte at %llu\n", static_cast<unsigned long long>(at + i));
            return 3;
        }
        if (n % 10 == 0) {
            std::puts("read");
            std::fflush(stdout);
        }
    }
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 7) return 2;
    worker_pool workers(2);
    test::loop_thread loop;
    spdlog::logger log("test", std::make_shared<spdlog::sinks::null_sink_mt>());
    registry::client_options options;
    options.cache_dir = argv[1];
    options.cache_capacity = {64 << 20};
    options.refill_bytes = 16384;
    options.credential_file = std::filesystem::path(argv[1]) / "no-credentials";
    options.user_agent = "obd-test/1";
    options.tries = 2;
    options.first_retry_delay = std::chrono::milliseconds(1);
    auto client = registry::client::create(std::move(options), loop.context().get_executor(), workers, log).value();
    const auto blob = test::await(
        client->open({.repo_blob_url = argv[2], .digest = argv[3], .size = {std::strtoull(argv[4], nullptr, 10)}}));
    int status = 1;
    if (blob) status = read_at_random(**blob, std::strtoull(argv[5], nullptr, 10), std::strtoull(argv[6], nullptr, 10));
    const auto end = [](registry::client& which) -> asio::awaitable<result<void>> {
        co_await which.shutdown();
        co_return result<void>();
    };
    test::await(end(*client)).value();
    return status;
}

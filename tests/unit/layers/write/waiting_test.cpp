// Range locks, gates and shared flushes.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <catch2/catch.hpp>
#include <random>
#include <vector>

#include "layers/write/gate.hpp"
#include "layers/write/group_commit.hpp"
#include "layers/write/range_lock.hpp"

using namespace obd;
using namespace obd::layers;

namespace {

void rethrow(std::exception_ptr error) {
    if (error) std::rethrow_exception(error);
}

using mode = range_lock::mode;

asio::awaitable<void> note_when_locked(range_lock& locks, sector_range range, std::vector<int>& order, int number) {
    const auto held = co_await locks.lock(range, mode::exclusive);
    order.push_back(number);
}

asio::awaitable<void> add_under_lock(range_lock& locks, std::vector<std::uint64_t>& cells, unsigned seed) {
    std::mt19937_64 random(seed);
    for (int i = 0; i < 300; ++i) {
        const auto start = random() % (cells.size() - 8);
        const sector_range range{.start = {start}, .length = 1 + random() % 8};
        const auto held = co_await locks.lock(range, mode::exclusive);
        for (std::uint64_t k = 0; k < range.length; ++k) ++cells[start + k];
    }
}

asio::awaitable<void> pass_and_count(gate& through, std::atomic<int>& passed) {
    const auto pass = co_await through.enter();
    ++passed;
}

asio::awaitable<void> flush_once(std::shared_ptr<group_commit> flushes, std::atomic<int>& done) {
    const auto flushed = co_await flushes->run();
    if (flushed) ++done;
}

}  // namespace

TEST_CASE("ranges that overlap wait, others do not") {
    range_lock locks;
    auto first = locks.try_lock({.start = {10}, .length = 10}, mode::exclusive);
    REQUIRE(first.has_value());
    CHECK_FALSE(locks.try_lock({.start = {19}, .length = 1}, mode::exclusive).has_value());
    CHECK_FALSE(locks.try_lock({.start = {0}, .length = 11}, mode::shared).has_value());
    CHECK(locks.try_lock({.start = {20}, .length = 5}, mode::exclusive).has_value());
    first.reset();
    const auto one = locks.try_lock({.start = {10}, .length = 10}, mode::shared);
    const auto two = locks.try_lock({.start = {15}, .length = 10}, mode::shared);
    CHECK(one.has_value());
    CHECK(two.has_value());
    CHECK_FALSE(locks.try_lock({.start = {16}, .length = 1}, mode::exclusive).has_value());
}

TEST_CASE("waiters get a range in the order in which they came") {
    asio::io_context loop;
    range_lock locks;
    std::vector<int> order;
    auto held = locks.try_lock({.start = {0}, .length = 100}, mode::exclusive);
    for (int i = 0; i < 5; ++i) {
        const sector_range range{.start = {0}, .length = 50};
        asio::co_spawn(loop, note_when_locked(locks, range, order, i), rethrow);
    }
    loop.poll();
    CHECK(order.empty());
    held.reset();
    loop.restart();
    loop.run();
    CHECK(order == std::vector<int>{0, 1, 2, 3, 4});
}

TEST_CASE("many threads under range locks lose no update") {
    asio::thread_pool threads(4);
    range_lock locks;
    std::vector<std::uint64_t> cells(64);
    std::uint64_t expected = 0;
    for (unsigned seed = 0; seed < 8; ++seed) {
        std::mt19937_64 random(seed);
        for (int i = 0; i < 300; ++i) {
            random();
            expected += 1 + random() % 8;
        }
        asio::co_spawn(threads, add_under_lock(locks, cells, seed), rethrow);
    }
    threads.join();
    std::uint64_t sum = 0;
    for (const auto cell : cells) sum += cell;
    CHECK(sum == expected);
}

TEST_CASE("a closed gate lets the ones inside out and the others wait") {
    asio::io_context loop;
    gate through;
    std::atomic<int> passed{0};
    bool closed = false;
    auto inside = through.try_enter();
    REQUIRE(inside.has_value());
    asio::co_spawn(loop, through.close(), [&](std::exception_ptr error) {
        rethrow(error);
        closed = true;
    });
    loop.poll();
    CHECK_FALSE(closed);
    CHECK_FALSE(through.try_enter().has_value());
    asio::co_spawn(loop, pass_and_count(through, passed), rethrow);
    loop.restart();
    loop.poll();
    inside.reset();
    loop.restart();
    loop.poll();
    CHECK(closed);
    CHECK(passed == 0);
    through.open();
    loop.restart();
    loop.run();
    CHECK(passed == 1);
}

TEST_CASE("many who ask for a flush share a few") {
    worker_pool workers(2);
    std::atomic<int> runs{0};
    std::atomic<int> done{0};
    auto flushes = std::make_shared<group_commit>(workers, [&] {
        ++runs;
        return result<void>{};
    });
    asio::io_context loop;
    for (int i = 0; i < 200; ++i) asio::co_spawn(loop, flush_once(flushes, done), rethrow);
    loop.run();
    CHECK(done == 200);
    CHECK(runs >= 1);
    CHECK(runs <= 200);
}

TEST_CASE("a flush that fails fails for all who wait for it, and the next one is tried") {
    worker_pool workers(1);
    std::atomic<int> runs{0};
    std::atomic<int> done{0};
    auto flushes = std::make_shared<group_commit>(workers, [&]() -> result<void> {
        if (++runs == 1) return fail(errc::io_error, "once");
        return {};
    });
    for (int i = 0; i < 2; ++i) {
        asio::io_context loop;
        asio::co_spawn(loop, flush_once(flushes, done), rethrow);
        loop.run();
    }
    CHECK(runs == 2);
    CHECK(done == 1);
}

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <catch2/catch.hpp>
#include <thread>

#include "base/worker_pool.hpp"

using namespace obd;

namespace {

struct threads_seen {
    std::thread::id before, inside, after;
    int value = 0;
};

asio::awaitable<void> visit(worker_pool& pool, threads_seen& seen) {
    seen.before = std::this_thread::get_id();
    auto work = [&seen] {
        seen.inside = std::this_thread::get_id();
        return 42;
    };
    const int value = co_await pool.run(std::move(work));
    seen.value = value;
    seen.after = std::this_thread::get_id();
}

}  // namespace

TEST_CASE("work runs on a worker and its caller goes on where it was") {
    asio::io_context context;
    worker_pool pool(2);
    threads_seen seen;
    auto rethrow = [](std::exception_ptr error) {
        if (error) std::rethrow_exception(error);
    };
    asio::co_spawn(context, visit(pool, seen), rethrow);
    context.run();
    CHECK(seen.value == 42);
    CHECK(seen.before == seen.after);
    CHECK(seen.before != seen.inside);
}

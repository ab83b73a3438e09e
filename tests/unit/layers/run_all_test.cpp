#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <catch2/catch.hpp>
#include <stdexcept>

#include "layers/concurrent.hpp"
#include "tests/support/await.hpp"

namespace obd::test {
namespace {

using job = asio::awaitable<result<void>>;

job yield_then(int& count, int steps, result<void> outcome) {
    auto executor = co_await asio::this_coro::executor;
    for (int i = 0; i < steps; ++i) co_await asio::post(executor, asio::use_awaitable);
    ++count;
    co_return outcome;
}

job throws() {
    auto executor = co_await asio::this_coro::executor;
    co_await asio::post(executor, asio::use_awaitable);
    throw std::runtime_error("thrown");
}

job wait_for_ever(int& started) {
    auto executor = co_await asio::this_coro::executor;
    asio::steady_timer timer(executor, asio::steady_timer::time_point::max());
    ++started;
    co_await timer.async_wait(asio::use_awaitable);
    co_return result<void>();
}

}  // namespace

TEST_CASE("all jobs end before the whole does, and the first failure is its outcome") {
    int ended = 0;
    std::vector<job> jobs;
    jobs.push_back(yield_then(ended, 7, {}));
    jobs.push_back(yield_then(ended, 1, fail(errc::corrupt, "first")));
    jobs.push_back(yield_then(ended, 3, fail(errc::io_error, "second")));
    const auto outcome = await(layers::run_all(std::move(jobs)));
    CHECK(ended == 3);
    REQUIRE(!outcome.has_value());
    CHECK(outcome.error().context == "first");
}

TEST_CASE("no jobs, and jobs that succeed, succeed") {
    CHECK(await(layers::run_all({})).has_value());
    int ended = 0;
    std::vector<job> jobs;
    for (int i = 0; i < 100; ++i) jobs.push_back(yield_then(ended, i % 4, {}));
    CHECK(await(layers::run_all(std::move(jobs))).has_value());
    CHECK(ended == 100);
}

TEST_CASE("a job that throws is a failure") {
    std::vector<job> jobs;
    jobs.push_back(throws());
    const auto outcome = await(layers::run_all(std::move(jobs)));
    REQUIRE(!outcome.has_value());
    CHECK(outcome.error().context == "thrown");
}

TEST_CASE("cancelling the caller cancels the jobs") {
    asio::io_context context;
    asio::cancellation_signal signal;
    int started = 0;
    bool ended = false;
    std::vector<job> jobs;
    jobs.push_back(wait_for_ever(started));
    jobs.push_back(wait_for_ever(started));
    auto on_end = [&](const std::exception_ptr&, result<void>) { ended = true; };
    asio::co_spawn(context, layers::run_all(std::move(jobs)), asio::bind_cancellation_slot(signal.slot(), on_end));
    while (started < 2) context.run_one();
    CHECK(!ended);
    signal.emit(asio::cancellation_type::terminal);
    context.run();
    CHECK(ended);
}

}  // namespace obd::test

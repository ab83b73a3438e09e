// Threads for what would block an event loop: file reads that miss the page cache, fsync, big decompressions.
#pragma once

#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/execution/outstanding_work.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/prefer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstddef>
#include <type_traits>
#include <utility>

namespace obd {

namespace asio = boost::asio;

class worker_pool {
public:
    explicit worker_pool(std::size_t threads) : pool_(threads) {}
    ~worker_pool() { pool_.join(); }

    worker_pool(const worker_pool&) = delete;
    worker_pool& operator=(const worker_pool&) = delete;

    /// Runs `function` on a worker and resumes the caller, on the caller's executor, with what it returned. The
    /// function must not throw. Not cancellable: what it borrows must stay until it ends. Name the lambda before the
    /// call and move it in (docs/HACKING.md: g++ 12 destroys capturing temporaries of awaited calls twice).
    template <typename Function>
    asio::awaitable<std::invoke_result_t<Function&>> run(Function function) {
        using value_type = std::invoke_result_t<Function&>;
        auto start = [this](auto handler, Function work) {
            // Not a work guard: that keeps a second copy of the executor a moment longer than it keeps the context
            // busy.
            auto executor = asio::prefer(asio::get_associated_executor(handler, pool_.get_executor()),
                                         asio::execution::outstanding_work.tracked);
            auto job = [handler = std::move(handler), work = std::move(work),
                        executor = std::move(executor)]() mutable {
                auto value = work();
                auto deliver = [handler = std::move(handler), value = std::move(value)]() mutable {
                    std::move(handler)(std::move(value));
                };
                asio::post(executor, std::move(deliver));
            };
            asio::post(pool_, std::move(job));
        };
        co_return co_await asio::async_initiate<const asio::use_awaitable_t<>, void(value_type)>(
            start, asio::use_awaitable, std::move(function));
    }

    /// For work that nobody awaits.
    template <typename Function>
    void post(Function function) {
        asio::post(pool_, std::move(function));
    }

    /// Waits for what was posted before.
    void join() { pool_.join(); }

private:
    asio::thread_pool pool_;
};

}  // namespace obd

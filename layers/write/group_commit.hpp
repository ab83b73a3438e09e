// Many callers that want a flush share one: those that ask while one is under way wait for the next.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "base/result.hpp"
#include "base/worker_pool.hpp"
#include "layers/write/suspension.hpp"

namespace obd::layers {

/// Thread-safe. Held by shared_ptr: rounds that are under way keep it.
class group_commit : public std::enable_shared_from_this<group_commit> {
public:
    /// `work` blocks and is run on `workers`, one run at a time.
    group_commit(worker_pool& workers, std::function<result<void>()> work)
        : workers_(workers), work_(std::move(work)) {}

    /// The outcome of a run of `work` that began after this call.
    asio::awaitable<result<void>> run();

private:
    struct round {
        result<void> outcome{};
        std::vector<std::unique_ptr<suspended>> members;
    };
    void start_rounds();
    void run_round();

    worker_pool& workers_;
    std::function<result<void>()> work_;
    std::mutex mutex_;
    std::shared_ptr<round> next_;  ///< has not begun
    bool running_ = false;
};

}  // namespace obd::layers

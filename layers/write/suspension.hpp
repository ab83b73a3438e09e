// Coroutines that wait for one another: for a range of the disk, for a flush that is under way, for a snapshot.
#pragma once

#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/system_executor.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <memory>
#include <utility>
#include <vector>

namespace obd::layers {

namespace asio = boost::asio;

/// A coroutine that waits. Resuming it takes no time: it is posted to its own executor.
class suspended {
public:
    virtual ~suspended() = default;
    /// Once. From any thread.
    virtual void resume() = 0;
};

namespace detail {

template <typename Handler>
class suspended_handler final : public suspended {
public:
    explicit suspended_handler(Handler handler)
        : guard_(asio::make_work_guard(asio::get_associated_executor(handler, asio::system_executor()))),
          handler_(std::move(handler)) {}
    void resume() override { asio::post(guard_.get_executor(), std::move(handler_)); }

private:
    using executor_type = asio::associated_executor_t<Handler, asio::system_executor>;
    asio::executor_work_guard<executor_type> guard_;
    Handler handler_;
};

}  // namespace detail

/// Suspends the caller and hands it to `enlist(std::unique_ptr<suspended>)`, which either keeps it to be resumed later
/// or resumes it at once. Not cancellable. `enlist` outlives the wait.
template <typename Enlist>
asio::awaitable<void> suspend(Enlist& enlist) {
    auto start = [&enlist](auto handler) {
        using handler_type = decltype(handler);
        enlist(
            std::unique_ptr<suspended>(std::make_unique<detail::suspended_handler<handler_type>>(std::move(handler))));
    };
    co_await asio::async_initiate<const asio::use_awaitable_t<>, void()>(start, asio::use_awaitable);
}

/// Resumes all of them.
inline void resume_all(std::vector<std::unique_ptr<suspended>> waiting) {
    for (auto& one : waiting) one->resume();
}

}  // namespace obd::layers

#include "layers/concurrent.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

namespace obd::layers {
namespace {

failure failure_of(const std::exception_ptr& thrown) {
    try {
        std::rethrow_exception(thrown);
    } catch (const boost::system::system_error& error) {
        if (error.code() == asio::error::operation_aborted) return fail(errc::cancelled, "read");
        return failure{error.code(), "read"};
    } catch (const std::exception& error) {
        return fail(errc::io_error, error.what());
    }
}

/// Lives until its last job has ended. The executor may have several threads.
template <typename Handler>
class job_group : public std::enable_shared_from_this<job_group<Handler>> {
public:
    job_group(Handler handler, asio::any_io_executor home)
        : handler_(std::move(handler)), home_(asio::make_work_guard(home)) {}

    void start(std::vector<asio::awaitable<result<void>>> jobs) {
        left_ = jobs.size();
        signals_.resize(jobs.size());
        forward_cancellation();
        for (std::size_t i = 0; i < jobs.size(); ++i) spawn(std::move(jobs[i]), signals_[i]);
    }

private:
    void spawn(asio::awaitable<result<void>> job, asio::cancellation_signal& signal) {
        auto ended = [self = this->shared_from_this()](const std::exception_ptr& thrown, result<void> outcome) {
            self->on_end(thrown, std::move(outcome));
        };
        asio::co_spawn(home_.get_executor(), std::move(job),
                       asio::bind_cancellation_slot(signal.slot(), std::move(ended)));
    }

    void on_end(const std::exception_ptr& thrown, result<void> outcome) {
        {
            const std::lock_guard lock(mutex_);
            if (!first_ && thrown) first_ = failure_of(thrown);
            if (!first_ && !outcome) first_ = std::move(outcome).error();
            if (--left_ > 0) return;
        }
        auto deliver = [self = this->shared_from_this()] {
            auto slot = asio::get_associated_cancellation_slot(self->handler_);
            if (slot.is_connected()) slot.clear();
            auto handler = std::move(self->handler_);
            if (self->first_) return std::move(handler)(result<void>(*std::move(self->first_)));
            return std::move(handler)(result<void>());
        };
        asio::post(home_.get_executor(), std::move(deliver));
    }

    /// As everywhere in Asio, the caller's signal is emitted where its handlers run.
    void forward_cancellation() {
        auto slot = asio::get_associated_cancellation_slot(handler_);
        if (!slot.is_connected()) return;
        // Weak: the slot belongs to the caller, whose frame this group owns through the handler.
        slot.assign([weak = this->weak_from_this()](asio::cancellation_type kind) {
            auto self = weak.lock();
            if (!self) return;
            for (auto& signal : self->signals_) signal.emit(kind);
        });
    }

    Handler handler_;
    asio::executor_work_guard<asio::any_io_executor> home_;
    std::deque<asio::cancellation_signal> signals_;
    std::mutex mutex_;  ///< guards left_ and first_
    std::size_t left_ = 0;
    std::optional<failure> first_;
};

}  // namespace

asio::awaitable<result<void>> run_all(std::vector<asio::awaitable<result<void>>> jobs) {
    if (jobs.empty()) co_return result<void>();
    auto home = co_await asio::this_coro::executor;
    auto start = [home](auto handler, std::vector<asio::awaitable<result<void>>> work) {
        auto group = std::make_shared<job_group<decltype(handler)>>(std::move(handler), home);
        group->start(std::move(work));
    };
    co_return co_await asio::async_initiate<const asio::use_awaitable_t<>, void(result<void>)>(
        start, asio::use_awaitable, std::move(jobs));
}

}  // namespace obd::layers

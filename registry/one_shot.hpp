// An event that happens once and that any number of coroutines, on any executors, wait for.
#pragma once

#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>

#include "registry/resumption.hpp"

namespace obd::registry {

/// Thread-safe. Held by shared_ptr, since waiters and the one that fires may go in any order.
class one_shot : public std::enable_shared_from_this<one_shot> {
public:
    enum class wake { fired, cancelled };

    void fire() {
        std::map<std::uint64_t, resumption<wake>> waiters;
        {
            const std::scoped_lock lock(mutex_);
            fired_ = true;
            waiters.swap(waiters_);
        }
        for (auto& [id, waiter] : waiters) waiter.resume(wake::fired);
    }

    bool fired() const {
        const std::scoped_lock lock(mutex_);
        return fired_;
    }

    /// Obeys the caller's cancellation: then the waiter goes and the event stays what it is.
    asio::awaitable<wake> wait() {
        const auto state = co_await asio::this_coro::cancellation_state;
        if (state.cancelled() != asio::cancellation_type::none) co_return wake::cancelled;
        const auto fallback = co_await asio::this_coro::executor;
        auto begin = [self = shared_from_this(), fallback](auto handler) { self->add(std::move(handler), fallback); };
        co_return co_await asio::async_initiate<const asio::use_awaitable_t<>, void(wake)>(begin, asio::use_awaitable);
    }

private:
    template <typename Handler>
    void add(Handler handler, const asio::any_io_executor& fallback) {
        resumption<wake> waiter(std::move(handler), fallback);
        auto slot = waiter.slot();
        std::unique_lock lock(mutex_);
        if (fired_) {
            lock.unlock();
            waiter.resume(wake::fired);
            return;
        }
        const auto id = next_id_++;
        if (slot.is_connected()) {
            slot.assign([weak = weak_from_this(), id](asio::cancellation_type) {
                if (const auto self = weak.lock()) self->cancel(id);
            });
        }
        waiters_.emplace(id, std::move(waiter));
    }

    void cancel(std::uint64_t id) {
        std::unique_lock lock(mutex_);
        const auto found = waiters_.find(id);
        if (found == waiters_.end()) return;
        auto waiter = std::move(found->second);
        waiters_.erase(found);
        lock.unlock();
        waiter.resume(wake::cancelled);
    }

    mutable std::mutex mutex_;
    std::map<std::uint64_t, resumption<wake>> waiters_;
    std::uint64_t next_id_ = 0;
    bool fired_ = false;
};

}  // namespace obd::registry

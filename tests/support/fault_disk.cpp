#include "tests/support/fault_disk.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace obd::testing {

void fault_disk::hold(bool heed_cancellation) {
    const std::lock_guard lock(script_);
    holding_ = true;
    heed_cancellation_ = heed_cancellation;
}

void fault_disk::release() {
    const std::lock_guard lock(script_);
    holding_ = false;
    // A timer is used by its own loop alone.
    for (const auto& timer : waiting_) {
        asio::post(timer->get_executor(), [timer] { timer->expires_at(std::chrono::steady_clock::time_point::min()); });
    }
    waiting_.clear();
}

void fault_disk::fail_next(failure with) {
    const std::lock_guard lock(script_);
    failures_.push_back(std::move(with));
}

void fault_disk::wait_until_held(std::size_t count) {
    std::unique_lock lock(script_);
    held_changed_.wait(lock, [&] { return held_ >= count; });
}

asio::awaitable<result<void>> fault_disk::pass() {
    const auto executor = co_await asio::this_coro::executor;
    co_await asio::this_coro::throw_if_cancelled(false);
    bool waits = false;
    bool heeds = true;
    auto timer = std::make_shared<asio::steady_timer>(executor);
    timer->expires_at(std::chrono::steady_clock::time_point::max());
    {
        const std::lock_guard lock(script_);
        waits = holding_;
        heeds = heed_cancellation_;
        if (waits) {
            waiting_.push_back(timer);
            ++held_;
            held_changed_.notify_all();
        }
    }
    bool cancelled = false;
    while (waits) {
        if (!heeds) co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
        constexpr auto token = asio::as_tuple(asio::use_awaitable);
        co_await timer->async_wait(token);
        const auto state = co_await asio::this_coro::cancellation_state;
        cancelled = heeds && state.cancelled() != asio::cancellation_type::none;
        waits = !cancelled && timer->expiry() == std::chrono::steady_clock::time_point::max();
    }
    const std::lock_guard lock(script_);
    if (cancelled) co_return fail(errc::cancelled, "held operation");
    if (failures_.empty()) co_return result<void>{};
    auto next = std::move(failures_.front());
    failures_.pop_front();
    co_return next;
}

asio::awaitable<result<void>> fault_disk::read(byte_offset offset, mutable_bytes out) {
    CO_TRYV(co_await pass());
    co_return co_await memory_disk::read(offset, out);
}

asio::awaitable<result<void>> fault_disk::write(byte_offset offset, const_bytes data, durability when) {
    CO_TRYV(co_await pass());
    co_return co_await memory_disk::write(offset, data, when);
}

asio::awaitable<result<void>> fault_disk::discard(byte_offset offset, byte_count count) {
    CO_TRYV(co_await pass());
    co_return co_await memory_disk::discard(offset, count);
}

asio::awaitable<result<void>> fault_disk::flush() {
    CO_TRYV(co_await pass());
    co_return co_await memory_disk::flush();
}

}  // namespace obd::testing

// A counting semaphore and a gate for coroutines of one thread.
#pragma once

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstddef>
#include <utility>

namespace obd::server {

namespace asio = boost::asio;

/// At most `count` holders at a time; the others wait their turn. REQUIRES: used on one thread; outlives its holders.
class async_slots {
public:
    async_slots(asio::any_io_executor executor, std::size_t count) : free_(count), turn_(std::move(executor)) {
        turn_.expires_at(asio::steady_timer::time_point::max());
    }

    class holder {
    public:
        explicit holder(async_slots& slots) : slots_(&slots) {}
        holder(holder&& other) noexcept : slots_(std::exchange(other.slots_, nullptr)) {}
        holder& operator=(holder&&) = delete;
        ~holder() {
            if (slots_ != nullptr) slots_->leave();
        }

    private:
        async_slots* slots_;
    };

    asio::awaitable<holder> enter() {
        while (free_ == 0) {
            [[maybe_unused]] const auto [ignored] = co_await turn_.async_wait(asio::as_tuple(asio::use_awaitable));
        }
        --free_;
        co_return holder(*this);
    }

private:
    void leave() {
        ++free_;
        turn_.cancel_one();
    }

    std::size_t free_;
    asio::steady_timer turn_;
};

/// Counts what is under way, so that an owner can wait for its end. REQUIRES: used on one thread; outlives its holders.
class async_gate {
public:
    explicit async_gate(asio::any_io_executor executor) : empty_(std::move(executor)) {
        empty_.expires_at(asio::steady_timer::time_point::max());
    }

    class holder {
    public:
        explicit holder(async_gate& gate) : gate_(&gate) { ++gate.inside_; }
        holder(holder&& other) noexcept : gate_(std::exchange(other.gate_, nullptr)) {}
        holder& operator=(holder&&) = delete;
        ~holder() {
            if (gate_ != nullptr && --gate_->inside_ == 0) gate_->empty_.cancel();
        }

    private:
        async_gate* gate_;
    };

    holder enter() { return holder(*this); }
    std::size_t inside() const noexcept { return inside_; }

    asio::awaitable<void> wait_empty() {
        while (inside_ != 0) {
            [[maybe_unused]] const auto [ignored] = co_await empty_.async_wait(asio::as_tuple(asio::use_awaitable));
        }
    }

private:
    std::size_t inside_ = 0;
    asio::steady_timer empty_;
};

}  // namespace obd::server

#include "layers/write/gate.hpp"

#include <algorithm>

#include "base/result.hpp"

namespace obd::layers {
namespace {

std::size_t lane_of_this_thread(std::size_t lanes) noexcept {
    static std::atomic<std::size_t> threads{0};
    thread_local const std::size_t number = threads.fetch_add(1, std::memory_order_relaxed);
    return number % lanes;
}

}  // namespace

std::optional<gate::pass> gate::try_enter() noexcept {
    const auto mine = lane_of_this_thread(lanes_.size());
    // Enter first, look second; close() does the reverse. One of the two sees the other.
    lanes_[mine].inside.fetch_add(1);
    if (closed_.load()) {
        leave(mine);
        return std::nullopt;
    }
    return pass(this, mine);
}

asio::awaitable<gate::pass> gate::enter() {
    for (;;) {
        auto entered = try_enter();
        if (entered) co_return std::move(*entered);
        auto enlist = [this](std::unique_ptr<suspended> who) {
            const std::lock_guard lock(mutex_);
            if (closed_.load()) {
                outside_.push_back(std::move(who));
            } else {
                who->resume();
            }
        };
        co_await suspend(enlist);
    }
}

asio::awaitable<void> gate::close() {
    ASSERT(!closed_.exchange(true));
    auto enlist = [this](std::unique_ptr<suspended> who) {
        const std::lock_guard lock(mutex_);
        if (empty()) {
            who->resume();
        } else {
            closer_ = std::move(who);
        }
    };
    co_await suspend(enlist);
}

void gate::open() {
    std::vector<std::unique_ptr<suspended>> ready;
    {
        const std::lock_guard lock(mutex_);
        closed_.store(false);
        ready.swap(outside_);
    }
    resume_all(std::move(ready));
}

void gate::leave(std::size_t number) noexcept {
    lanes_[number].inside.fetch_sub(1);
    if (!closed_.load()) return;
    std::unique_ptr<suspended> closer;
    {
        const std::lock_guard lock(mutex_);
        if (!empty()) return;
        closer = std::move(closer_);
    }
    if (closer) closer->resume();
}

bool gate::empty() const noexcept {
    std::int64_t inside = 0;
    for (const auto& each : lanes_) inside += each.inside.load();
    return inside == 0;
}

}  // namespace obd::layers

#include "layers/write/range_lock.hpp"

#include <algorithm>

#include "base/result.hpp"

namespace obd::layers {
namespace {

constexpr int tries_in_place = 64;  // the mutex is held for tens of nanoseconds

bool lock_soon(std::mutex& mutex) noexcept {
    for (int i = 0; i < tries_in_place; ++i) {
        if (mutex.try_lock()) return true;
    }
    return false;
}

}  // namespace

bool range_lock::is_free(const request& what) const noexcept {
    return std::none_of(held_.begin(), held_.end(), [&](const request& other) { return other.conflicts(what); });
}

std::optional<range_lock::guard> range_lock::try_lock(sector_range range, mode how) noexcept {
    if (!lock_soon(mutex_)) return std::nullopt;
    const std::lock_guard lock(mutex_, std::adopt_lock);
    const request what{.range = range, .how = how, .id = last_id_ + 1};
    if (!waiting_.empty() || held_.size() == held_.capacity() || !is_free(what)) return std::nullopt;
    held_.push_back(what);
    return guard(this, ++last_id_);
}

asio::awaitable<range_lock::guard> range_lock::lock(sector_range range, mode how) {
    std::uint64_t id = 0;
    auto enlist = [&](std::unique_ptr<suspended> who) {
        const std::lock_guard lock(mutex_);
        id = ++last_id_;
        const request what{.range = range, .how = how, .id = id};
        const bool others_first = std::any_of(waiting_.begin(), waiting_.end(),
                                              [&](const waiter& other) { return other.what.conflicts(what); });
        if (others_first || !is_free(what)) {
            waiting_.push_back({what, std::move(who)});
            return;
        }
        held_.push_back(what);
        who->resume();
    };
    co_await suspend(enlist);
    co_return guard(this, id);
}

void range_lock::unlock(std::uint64_t id) noexcept {
    std::vector<std::unique_ptr<suspended>> ready;
    {
        const std::lock_guard lock(mutex_);
        const auto mine = std::find_if(held_.begin(), held_.end(), [&](const request& r) { return r.id == id; });
        ASSERT(mine != held_.end());
        *mine = held_.back();
        held_.pop_back();
        for (auto next = waiting_.begin(); next != waiting_.end();) {
            const bool behind_another =
                std::any_of(waiting_.begin(), next, [&](const waiter& w) { return w.what.conflicts(next->what); });
            if (behind_another || !is_free(next->what)) {
                ++next;
                continue;
            }
            held_.push_back(next->what);
            ready.push_back(std::move(next->who));
            next = waiting_.erase(next);
        }
    }
    resume_all(std::move(ready));
}

}  // namespace obd::layers

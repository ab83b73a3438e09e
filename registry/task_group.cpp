#include "registry/task_group.hpp"

#include <algorithm>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>

namespace obd::registry {

void task_group::spawn(asio::awaitable<void> task) {
    auto job = [self = shared_from_this(), task = std::move(task)]() mutable { self->start(std::move(task)); };
    asio::post(strand_, std::move(job));
}

void task_group::start(asio::awaitable<void> task) {
    const auto mine = running_.emplace(running_.end());
    auto ended = [self = shared_from_this(), mine](const std::exception_ptr& thrown) {
        if (thrown) self->report_(thrown);
        // Not at once: this runs inside the coroutine's last step, which still looks at the signal.
        asio::post(self->strand_, [self, mine] { self->forget(mine); });
    };
    asio::co_spawn(strand_, std::move(task), asio::bind_cancellation_slot(mine->slot(), std::move(ended)));
    if (closing_) mine->emit(asio::cancellation_type::terminal);
}

void task_group::forget(std::list<asio::cancellation_signal>::iterator task) {
    running_.erase(task);
    if (running_.empty() && idle_) idle_->fire();
}

asio::awaitable<void> task_group::close() {
    closing_ = true;
    for (auto& signal : running_) signal.emit(asio::cancellation_type::terminal);
    if (running_.empty()) co_return;
    if (!idle_) idle_ = std::make_shared<one_shot>();
    co_await idle_->wait();
}

asio::awaitable<bool> ticket_office::acquire() {
    if (free_ > 0) {
        --free_;
        co_return true;
    }
    const auto turn = std::make_shared<one_shot>();
    queue_.push_back(turn);
    const auto woken = co_await turn->wait();
    if (woken == one_shot::wake::fired) co_return true;
    const auto place = std::find(queue_.begin(), queue_.end(), turn);
    if (place != queue_.end()) {
        queue_.erase(place);
    } else {
        release();  // our turn came together with the cancellation
    }
    co_return false;
}

void ticket_office::release() {
    if (queue_.empty()) {
        ++free_;
        return;
    }
    const auto next = queue_.front();
    queue_.pop_front();
    next->fire();
}

}  // namespace obd::registry

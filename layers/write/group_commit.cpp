#include "layers/write/group_commit.hpp"

#include <utility>

namespace obd::layers {

asio::awaitable<result<void>> group_commit::run() {
    std::shared_ptr<round> mine;
    auto enlist = [&](std::unique_ptr<suspended> who) {
        const std::lock_guard lock(mutex_);
        if (!next_) next_ = std::make_shared<round>();
        mine = next_;
        mine->members.push_back(std::move(who));
        if (!std::exchange(running_, true)) start_rounds();
    };
    co_await suspend(enlist);
    co_return mine->outcome;
}

void group_commit::start_rounds() {
    workers_.post([self = shared_from_this()] { self->run_round(); });
}

void group_commit::run_round() {
    std::shared_ptr<round> now;
    {
        const std::lock_guard lock(mutex_);
        now = std::exchange(next_, nullptr);
    }
    now->outcome = work_();
    {
        const std::lock_guard lock(mutex_);
        running_ = next_ != nullptr;
        if (running_) start_rounds();
    }
    resume_all(std::move(now->members));
}

}  // namespace obd::layers

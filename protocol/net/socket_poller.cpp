#include "protocol/net/socket_poller.hpp"

#include <unistd.h>

#include <algorithm>
#include <system_error>

namespace obd {

socket_poller::socket_poller() : epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
    if (epoll_ < 0) throw std::system_error(errno, std::generic_category(), "epoll_create1");
}

socket_poller::~socket_poller() {
    ::close(epoll_);
}

bool socket_poller::add(int descriptor, std::uint32_t events, pollable& who) {
    epoll_event event{};
    event.events = events;
    event.data.ptr = &who;
    return ::epoll_ctl(epoll_, EPOLL_CTL_ADD, descriptor, &event) == 0;
}

void socket_poller::modify(int descriptor, std::uint32_t events, pollable& who) {
    epoll_event event{};
    event.events = events;
    event.data.ptr = &who;
    ::epoll_ctl(epoll_, EPOLL_CTL_MOD, descriptor, &event);
}

void socket_poller::remove(int descriptor, pollable& who) {
    ::epoll_ctl(epoll_, EPOLL_CTL_DEL, descriptor, nullptr);
    for (std::size_t i = 0; i < ready_count_; ++i) {
        if (ready_[i].data.ptr == &who) ready_[i].data.ptr = nullptr;
    }
    undefer(who);
}

void socket_poller::undefer(pollable& who) {
    std::replace(deferred_.begin(), deferred_.end(), &who, static_cast<pollable*>(nullptr));
    std::replace(ending_.begin(), ending_.end(), &who, static_cast<pollable*>(nullptr));
    who.deferred_ = false;
}

void socket_poller::defer(pollable& who) {
    if (who.deferred_) return;
    who.deferred_ = true;
    deferred_.push_back(&who);
}

bool socket_poller::poll() {
    const int count = ::epoll_wait(epoll_, ready_.data(), static_cast<int>(ready_.size()), 0);
    if (count <= 0) return false;
    ready_count_ = static_cast<std::size_t>(count);
    for (std::size_t i = 0; i < ready_count_; ++i) {
        auto* who = static_cast<pollable*>(ready_[i].data.ptr);
        if (who != nullptr) who->on_events(ready_[i].events);
    }
    ready_count_ = 0;
    return true;
}

bool socket_poller::end_turn() {
    if (deferred_.empty()) return false;
    ending_.swap(deferred_);
    for (std::size_t i = 0; i < ending_.size(); ++i) {
        pollable* who = ending_[i];
        if (who == nullptr) continue;
        who->deferred_ = false;
        who->on_turn_end();
    }
    ending_.clear();
    return true;
}

}  // namespace obd

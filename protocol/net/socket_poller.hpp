// Readiness of sockets for one event loop, by an epoll set of its own beside Asio's: a descriptor is registered once
// and costs no further system call a turn, which Asio's async_wait (epoll_ctl) and async_read (a futile recv) do.
// Level-triggered: a reader need not drain its socket. Used by one thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <sys/epoll.h>

namespace obd {

/// Something with a descriptor. It outlives its registration.
class pollable {
public:
    virtual ~pollable() = default;
    /// `events` as epoll has them (EPOLLIN, EPOLLOUT, EPOLLHUP …). May remove itself or others.
    virtual void on_events(std::uint32_t events) = 0;
    /// What was asked for by defer().
    virtual void on_turn_end() {}

private:
    friend class socket_poller;
    bool deferred_ = false;
};

class socket_poller {
public:
    socket_poller();
    ~socket_poller();
    socket_poller(const socket_poller&) = delete;
    socket_poller& operator=(const socket_poller&) = delete;

    /// REQUIRES: the descriptor is not registered yet. False when the system refuses.
    bool add(int descriptor, std::uint32_t events, pollable& who);
    void modify(int descriptor, std::uint32_t events, pollable& who);
    /// No call of on_events() or on_turn_end() follows.
    void remove(int descriptor, pollable& who);
    /// Takes back defer().
    void undefer(pollable& who);
    /// Calls on_turn_end() once when the loop has run everything that is ready, so that answers leave together.
    void defer(pollable& who);

    /// One look, without waiting. True when something was ready.
    bool poll();
    /// True when something was deferred.
    bool end_turn();
    /// For the loop to wait on: readable when poll() would find something.
    int descriptor() const { return epoll_; }

private:
    int epoll_ = -1;
    std::array<epoll_event, 64> ready_{};
    std::size_t ready_count_ = 0;
    std::vector<pollable*> deferred_;
    std::vector<pollable*> ending_;
};

}  // namespace obd

#include "protocol/net/event_loops.hpp"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <optional>
#include <thread>
#include <vector>

#include "protocol/net/socket_poller.hpp"

namespace obd {
namespace {

using steady = std::chrono::steady_clock;

// While it spins a loop looks at its sockets every time and at Asio (timers, posted work) every so often.
constexpr unsigned spins_per_asio_poll = 8;

thread_local const void* current_owner = nullptr;
thread_local std::size_t current_index = 0;

void relax() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

}  // namespace

/// One thread's loop.
class event_loop {
public:
    explicit event_loop(std::chrono::microseconds spin)
        : spin_(spin), guard_(context.get_executor()), wakeup_(context, ::dup(poller.descriptor())) {}

    void run() {
        auto spin_until = steady::now();
        unsigned spins = 0;
        while (!context.stopped()) {
            bool worked = poller.poll();
            if (worked || spins++ % spins_per_asio_poll == 0) worked |= context.poll() != 0;
            worked |= poller.end_turn();
            if (spin_.count() == 0) {
                if (!worked) block();
            } else if (worked) {
                spins = 1;
                spin_until = steady::now() + spin_;
            } else if (steady::now() < spin_until) {
                relax();
            } else {
                block();
                spins = 0;
            }
        }
    }

    socket_poller poller;  // outlives the context: what the context's handlers own may be registered
    asio::io_context context{1};

private:
    // Asio waits, for its own work and for our epoll set in one.
    void block() {
        if (!armed_) {
            armed_ = true;
            wakeup_.async_wait(asio::posix::stream_descriptor::wait_read,
                               [this](boost::system::error_code) { armed_ = false; });
        }
        context.run_one();
    }

    std::chrono::microseconds spin_;
    asio::executor_work_guard<asio::io_context::executor_type> guard_;
    asio::posix::stream_descriptor wakeup_;
    bool armed_ = false;
};

struct event_loops::state {
    std::vector<std::unique_ptr<event_loop>> loops;
    std::vector<std::thread> threads;
    std::atomic<std::size_t> next{0};
    std::atomic<bool> running{false};
};

event_loops::event_loops(event_loops_options options) : state_(std::make_unique<state>()) {
    std::size_t count = options.threads;
    if (count == 0) count = std::max(1u, std::thread::hardware_concurrency());
    for (std::size_t i = 0; i < count; ++i) state_->loops.push_back(std::make_unique<event_loop>(options.spin));
}

event_loops::~event_loops() {
    stop();
}

std::size_t event_loops::size() const noexcept {
    return state_->loops.size();
}

asio::io_context& event_loops::context(std::size_t index) noexcept {
    return state_->loops[index]->context;
}

socket_poller& event_loops::poller(std::size_t index) noexcept {
    return state_->loops[index]->poller;
}

std::size_t event_loops::next_index() noexcept {
    return state_->next.fetch_add(1, std::memory_order_relaxed) % size();
}

asio::io_context& event_loops::next() noexcept {
    return context(next_index());
}

bool event_loops::running() const noexcept {
    return state_->running.load();
}

std::size_t event_loops::current() const noexcept {
    return current_owner == state_.get() ? current_index : size();
}

void event_loops::start() {
    if (state_->running.exchange(true)) return;
    for (std::size_t i = 0; i < size(); ++i) {
        state_->threads.emplace_back([owner = state_.get(), i] {
            current_owner = owner;
            current_index = i;
            owner->loops[i]->run();
        });
    }
}

void event_loops::stop() {
    for (auto& loop : state_->loops) loop->context.stop();
    for (auto& thread : state_->threads) {
        if (thread.joinable()) thread.join();
    }
    state_->threads.clear();
    state_->running = false;
}

}  // namespace obd

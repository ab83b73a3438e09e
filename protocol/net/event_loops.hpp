// One io_context a core, one thread each. Connections, the registry client and the admin API live on them.
#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstddef>
#include <memory>

namespace obd {

namespace asio = boost::asio;

struct event_loops_options {
    std::size_t threads = 0;  ///< 0: one a core
    /// How long a loop that had work keeps polling before it blocks; 0 turns polling off. An idle loop always blocks.
    std::chrono::microseconds spin{50};
};

class socket_poller;

class event_loops {
public:
    explicit event_loops(event_loops_options options);
    /// Stops and joins.
    ~event_loops();

    std::size_t size() const noexcept;
    asio::io_context& context(std::size_t index) noexcept;
    /// Round robin, for new connections. Thread-safe.
    asio::io_context& next() noexcept;
    /// The same as an index. Thread-safe.
    std::size_t next_index() noexcept;
    /// For sockets that do their own reads and writes (socket_poller.hpp); to be used on that loop's thread.
    socket_poller& poller(std::size_t index) noexcept;
    /// Between start() and stop().
    bool running() const noexcept;
    /// Called on one of the loops' own threads: that loop's index; otherwise size().
    std::size_t current() const noexcept;

    /// Starts the threads.
    void start();
    /// Ends every loop as soon as its current handler returns, joins the threads. Idempotent.
    void stop();

private:
    struct state;
    std::unique_ptr<state> state_;
};

}  // namespace obd

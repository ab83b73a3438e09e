// What the connections of one event loop share: payload memory, the receive buffer, the clock tick. Used by that loop's
// thread.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <memory>
#include <unordered_set>

#include "protocol/iscsi/io_buffer.hpp"
#include "protocol/net/socket_poller.hpp"

namespace obd::iscsi {

namespace asio = boost::asio;

using steady_time = std::chrono::steady_clock::time_point;

class connection;

class net_loop : public std::enable_shared_from_this<net_loop> {
public:
    /// `tick` is how often connections look at their deadlines; there is no tick without connections.
    net_loop(asio::io_context& context, socket_poller& poller, std::chrono::milliseconds tick);

    asio::io_context& context() { return context_; }
    socket_poller& poller() { return poller_; }
    buffer_pool& buffers() { return buffers_; }
    /// Where connections receive; what is left over at the end of a turn they copy away.
    mutable_bytes scratch() { return scratch_.bytes(); }

    void add(std::shared_ptr<connection> one);
    void remove(const std::shared_ptr<connection>& one);
    /// Closes every connection at once.
    void close_all();

private:
    void arm();

    asio::io_context& context_;
    socket_poller& poller_;
    buffer_pool buffers_;
    io_buffer scratch_;
    std::chrono::milliseconds tick_;
    asio::steady_timer timer_;
    bool ticking_ = false;
    std::unordered_set<std::shared_ptr<connection>> connections_;
};

}  // namespace obd::iscsi

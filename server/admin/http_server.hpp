// HTTP/1.1 on a listening socket. Bounded in everything: connections, header and body size, time.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <chrono>
#include <cstddef>
#include <memory>

#include "base/result.hpp"
#include "server/admin/api.hpp"
#include "server/admin/listening_socket.hpp"

namespace spdlog {
class logger;
}

namespace obd::server {

struct http_server_options {
    std::size_t connections = 64;
    std::size_t header_bytes = 16 << 10;
    std::size_t body_bytes = 1 << 20;
    std::chrono::milliseconds read_timeout{30'000};  ///< for a whole request, and between requests
    std::chrono::milliseconds write_timeout{30'000};
};

/// Lives on one thread, that of `control`; so does the handler.
class http_server {
public:
    static std::unique_ptr<http_server> start(listening_socket socket, http_server_options options,
                                              asio::any_io_executor control, api_handler& handler, spdlog::logger& log);
    ~http_server();

    /// Stops accepting, ends the connections that wait for a request, removes a Unix socket's file. Requests under way
    /// go on.
    void stop();

private:
    class state;
    explicit http_server(std::shared_ptr<state> from);
    std::shared_ptr<state> state_;
};

}  // namespace obd::server

#include "server/admin/http_server.hpp"

#include <spdlog/logger.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <list>

namespace obd::server {
namespace {

namespace beast = boost::beast;
namespace http = beast::http;
using protocol = asio::generic::stream_protocol;
using stream_type = beast::basic_stream<protocol>;
constexpr auto tuple_awaitable = asio::as_tuple(asio::use_awaitable);

int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/// RFC 3986 §2.1. A '%' that begins no escape stands for itself.
std::string percent_decoded(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const bool escape =
            text[i] == '%' && i + 2 < text.size() && hex_digit(text[i + 1]) >= 0 && hex_digit(text[i + 2]) >= 0;
        if (!escape) {
            out.push_back(text[i]);
            continue;
        }
        out.push_back(static_cast<char>(hex_digit(text[i + 1]) * 16 + hex_digit(text[i + 2])));
        i += 2;
    }
    return out;
}

void split_target(std::string_view target, api_request& request) {
    const auto mark = target.find('?');
    request.path = percent_decoded(target.substr(0, mark));
    if (mark == std::string_view::npos) return;
    auto query = target.substr(mark + 1);
    while (!query.empty()) {
        const auto end = query.find('&');
        const auto pair = query.substr(0, end);
        const auto equals = pair.find('=');
        const auto value = equals == std::string_view::npos ? std::string_view{} : pair.substr(equals + 1);
        request.query[percent_decoded(pair.substr(0, equals))] = percent_decoded(value);
        query = end == std::string_view::npos ? std::string_view{} : query.substr(end + 1);
    }
}

std::string describe_peer(protocol::socket& socket) {
    ucred who{};
    socklen_t size = sizeof who;
    const int failed = ::getsockopt(socket.native_handle(), SOL_SOCKET, SO_PEERCRED, &who, &size);
    if (failed != 0 || who.pid == 0) return "tcp";
    return "uid=" + std::to_string(who.uid) + " pid=" + std::to_string(who.pid);
}

}  // namespace

class http_server::state : public std::enable_shared_from_this<http_server::state> {
public:
    state(http_server_options options, listening_socket socket, asio::any_io_executor control, api_handler& handler,
          spdlog::logger& log)
        : options_(std::move(options)),
          handler_(handler),
          log_(log),
          path_(socket.path),
          acceptor_(control, protocol(socket.family, 0), socket.descriptor),
          room_(control) {
        room_.expires_at(asio::steady_timer::time_point::max());
    }

    void run() { asio::co_spawn(acceptor_.get_executor(), accept_loop(shared_from_this()), report("accept")); }

    void stop() {
        if (stopping_) return;
        stopping_ = true;
        boost::system::error_code ignored;
        acceptor_.close(ignored);
        room_.cancel();
        if (!path_.empty()) ::unlink(path_.c_str());
        for (auto* stream : idle_) stream->cancel();
    }

private:
    /// Keeps a connection counted, and known while it waits for a request.
    struct visit {
        explicit visit(state& server) : owner(server) { ++owner.open_; }
        visit(const visit&) = delete;
        visit& operator=(const visit&) = delete;
        ~visit() {
            --owner.open_;
            owner.room_.cancel();
        }
        state& owner;
    };

    std::function<void(std::exception_ptr)> report(std::string what) {
        return [self = shared_from_this(), what](std::exception_ptr error) {
            try {
                if (error) std::rethrow_exception(error);
            } catch (const std::exception& problem) {
                self->log_.error("admin {}: {}", what, problem.what());
            }
        };
    }

    static asio::awaitable<void> accept_loop(std::shared_ptr<state> self) {
        while (!self->stopping_) {
            if (self->open_ >= self->options_.connections) {
                [[maybe_unused]] const auto [full] = co_await self->room_.async_wait(tuple_awaitable);
                continue;
            }
            auto [error, socket] = co_await self->acceptor_.async_accept(tuple_awaitable);
            if (self->stopping_) co_return;
            if (error) {
                // Out of descriptors, most likely: breathe, then go on.
                asio::steady_timer pause(self->acceptor_.get_executor(), std::chrono::milliseconds(100));
                [[maybe_unused]] const auto [ignored] = co_await pause.async_wait(tuple_awaitable);
                continue;
            }
            asio::co_spawn(self->acceptor_.get_executor(), serve(self, std::move(socket)), self->report("connection"));
        }
    }

    static asio::awaitable<void> serve(std::shared_ptr<state> self, protocol::socket socket) {
        const visit counted(*self);
        const auto peer = describe_peer(socket);
        stream_type stream(std::move(socket));
        beast::flat_buffer buffer;
        while (!self->stopping_) {
            http::request_parser<http::string_body> parser;
            parser.header_limit(static_cast<std::uint32_t>(self->options_.header_bytes));
            parser.body_limit(self->options_.body_bytes);
            stream.expires_after(self->options_.read_timeout);
            const auto place = self->idle_.insert(self->idle_.end(), &stream);
            const auto [error, count] = co_await http::async_read(stream, buffer, parser, tuple_awaitable);
            self->idle_.erase(place);
            const bool too_long = error == http::error::body_limit || error == http::error::header_limit;
            if (error && !too_long) co_return;
            stream.expires_never();  // attaching takes as long as it takes

            auto answer = co_await answer_to(self, parser.get(), peer, too_long ? verdict::too_long : verdict::good);
            auto message = compose(parser.get(), std::move(answer), too_long || self->stopping_);
            stream.expires_after(self->options_.write_timeout);
            const auto [broken, written] = co_await http::async_write(stream, message, tuple_awaitable);
            if (broken || !message.keep_alive()) co_return;
        }
    }

    enum class verdict { good, too_long };
    static asio::awaitable<api_response> answer_to(std::shared_ptr<state> self,
                                                   const http::request<http::string_body>& message,
                                                   const std::string& peer, verdict length) {
        if (length == verdict::too_long) co_return error_response(413, "limit_exceeded", "the request is too long");
        auto request = translate(message, peer);
        co_return co_await self->handler_.handle(std::move(request));
    }

    static api_request translate(const http::request<http::string_body>& message, const std::string& peer) {
        api_request request;
        request.method = std::string(message.method_string());
        request.body = message.body();
        request.peer = peer;
        const auto target = message.target();
        split_target({target.data(), target.size()}, request);
        return request;
    }

    static http::response<http::string_body> compose(const http::request<http::string_body>& request,
                                                     api_response answer, bool last) {
        http::response<http::string_body> message(static_cast<http::status>(answer.status), request.version());
        message.set(http::field::server, "overlaybd-iscsid");
        message.set(http::field::content_type, "application/json");
        message.keep_alive(request.keep_alive() && !last);
        message.body() = std::move(answer.body);
        message.prepare_payload();
        return message;
    }

    const http_server_options options_;
    api_handler& handler_;
    spdlog::logger& log_;
    const std::filesystem::path path_;  ///< of a Unix socket, to remove at the end
    asio::basic_socket_acceptor<protocol> acceptor_;
    asio::steady_timer room_;  ///< cancelled whenever a connection ends
    std::size_t open_ = 0;
    bool stopping_ = false;
    std::list<stream_type*> idle_;  ///< connections that wait for a request
};

http_server::http_server(std::shared_ptr<state> from) : state_(std::move(from)) {}

http_server::~http_server() {
    stop();
}

void http_server::stop() {
    state_->stop();
}

std::unique_ptr<http_server> http_server::start(listening_socket socket, http_server_options options,
                                                asio::any_io_executor control, api_handler& handler,
                                                spdlog::logger& log) {
    auto made = std::make_shared<state>(std::move(options), std::move(socket), std::move(control), handler, log);
    made->run();
    return std::unique_ptr<http_server>(new http_server(std::move(made)));
}

}  // namespace obd::server

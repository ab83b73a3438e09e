#include "tools/ctl/api_client.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

namespace obd::ctl {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using local = asio::local::stream_protocol;

result<api_answer> call_daemon(const std::filesystem::path& socket, const api_call& call) {
    const auto failed = [&](const boost::system::error_code& error) {
        return failure{error, "admin socket " + socket.string()};
    };
    if (socket.native().size() >= sizeof(sockaddr_un::sun_path)) {
        return fail(errc::invalid_argument,
                    "admin socket " + socket.string() + ": the path is longer than 107 characters");
    }
    asio::io_context context(1);
    local::socket stream(context);
    boost::system::error_code error;
    stream.connect(local::endpoint(socket.native()), error);
    if (error) return failed(error);

    http::request<http::string_body> request(http::string_to_verb(call.method), call.target, 11);
    request.set(http::field::host, "localhost");
    request.set(http::field::user_agent, "overlaybdctl");
    if (!call.body.empty()) request.set(http::field::content_type, "application/json");
    request.body() = call.body;
    request.keep_alive(false);
    request.prepare_payload();
    http::write(stream, request, error);
    if (error) return failed(error);

    boost::beast::flat_buffer buffer;
    http::response_parser<http::string_body> parser;
    parser.body_limit(std::uint64_t{1} << 30);
    http::read(stream, buffer, parser, error);
    if (error) return failed(error);
    return api_answer{parser.get().result_int(), std::move(parser.get().body())};
}

std::string percent_encoded(std::string_view text) {
    constexpr std::string_view digits = "0123456789ABCDEF";
    std::string out;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                           std::string_view("-._~").find(c) != std::string_view::npos;
        if (plain) {
            out.push_back(c);
        } else {
            out.append({'%', digits[byte >> 4], digits[byte & 15]});
        }
    }
    return out;
}

}  // namespace obd::ctl

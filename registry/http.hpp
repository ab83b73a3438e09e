// What the registry client asks of an HTTP library. curl_http implements it; tests may put something else there.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "registry/tls.hpp"

namespace obd::registry {

namespace asio = boost::asio;
using deadline = std::chrono::steady_clock::time_point;

struct http_request {
    std::string method = "GET";
    std::string url;                                           ///< absolute; its query is never shown
    std::vector<std::pair<std::string, std::string>> headers;  ///< without Host and lengths
    transport_security security = transport_security::verified;
    const_bytes body;  ///< sent with PUT, POST and PATCH; borrowed until the call returns
    /// Where the body of a 206 goes, and of a 200 that says it has exactly this length; borrowed until the call
    /// returns. Other bodies go to http_response::body.
    mutable_bytes into;
    std::size_t body_limit = 64 << 10;  ///< of http_response::body
    deadline until;                     ///< REQUIRED
    std::filesystem::path unix_socket;  ///< connect there instead of to the URL's host
    std::optional<tls_files> tls;       ///< instead of the transport's own
};

struct http_response {
    int status = 0;
    std::vector<std::pair<std::string, std::string>> headers;  ///< names in lower case, in order of arrival
    std::string body;
    std::size_t into_bytes = 0;  ///< how much of http_request::into was filled
    bool truncated = false;      ///< the body went on past its limit, and reading it was ended there

    /// The first header of that (lower-case) name.
    std::optional<std::string_view> header(std::string_view name) const {
        for (const auto& [key, value] : headers) {
            if (key == name) return value;
        }
        return std::nullopt;
    }
};

/// Thread-safe: called from any executor, completes on the caller's.
class http_transport {
public:
    virtual ~http_transport() = default;

    /// Any status is a response; redirects are not followed. Fails with
    ///   unavailable        no connection, or it broke
    ///   io_error           the TLS handshake failed: perhaps the far side speaks plain HTTP
    ///   permission_denied  the certificate is not trusted
    ///   timed_out, cancelled, invalid_argument (the request itself)
    /// When it completes, nothing writes to `into` any more.
    virtual asio::awaitable<result<http_response>> send(http_request request) = 0;

    /// Ends what is under way with errc::cancelled; so ends what comes later.
    virtual void shut_down() noexcept = 0;
};

}  // namespace obd::registry

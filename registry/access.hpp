// One request to a registry as the rest of the client sees it: authenticated, redirects followed, tried again when the
// failure may go away.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <random>
#include <string>

#include "registry/authenticator.hpp"
#include "registry/http.hpp"

namespace spdlog {
class logger;
}

namespace obd::registry {

struct retry_policy {
    int tries = 6;
    std::chrono::milliseconds first_delay{100};  ///< doubles each time, with up to half of it taken off at random
    std::chrono::milliseconds longest_delay{5'000};
    /// One try's share of the deadline, so that a stalled connection leaves time for another.
    std::chrono::milliseconds try_timeout{8'000};
};

/// Not thread-safe: everything on one strand.
class access {
public:
    /// Looks at a response of status 2xx; a failure of a transient kind (is_transient) causes another try.
    using response_check = std::function<result<void>(const http_response&)>;

    /// `http`, `credentials` and `log` are borrowed.
    access(http_transport& http, credential_source& credentials, retry_policy policy, spdlog::logger& log);

    /// Gives a response of status 2xx that passed `check` (may be empty), or fails as status_failure() and
    /// http_transport say, at the latest at request.until. Permanent errors end it at once.
    asio::awaitable<result<http_response>> send(http_request request, repository_scope scope, response_check check);

    /// A single try, any status. GET and HEAD follow up to 8 redirects; Authorization stays at the first origin.
    asio::awaitable<result<http_response>> send_once(http_request request, repository_scope scope);

    const retry_policy& policy() const { return policy_; }

private:
    struct remembered_target {
        std::string url;
        deadline until;
    };

    asio::awaitable<result<http_response>> follow(http_request request, repository_scope scope);
    result<url> next_hop(const url& from, const http_response& response, const repository_scope& scope) const;
    void remember(const std::string& from, const std::string& target);
    std::chrono::milliseconds backoff(int failed_tries);
    /// Empty: not before the deadline.
    std::optional<std::chrono::milliseconds> delay_before_next(int failed_tries, const result<http_response>& last,
                                                               deadline until);

    http_transport& http_;
    authenticator authenticator_;
    const retry_policy policy_;
    spdlog::logger& log_;
    std::minstd_rand random_{std::random_device{}()};
    std::map<std::string, remembered_target> targets_;  ///< where a blob's URL redirected to last
};

}  // namespace obd::registry

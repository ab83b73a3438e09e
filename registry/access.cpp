#include "registry/access.hpp"

#include <spdlog/logger.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>

#include "registry/http_status.hpp"

namespace obd::registry {
namespace {

using namespace std::chrono_literals;

constexpr int redirect_limit = 8;
constexpr std::size_t remembered_limit = 16384;
/// Signed URLs usually live 5 to 20 minutes; one that ran out earlier answers 4xx, and we ask again.
constexpr auto redirect_life = 2min;
constexpr auto tuple_awaitable = asio::as_tuple(asio::use_awaitable);

bool target_is_stale(const result<http_response>& response) {
    if (!response) return !response.error().is(errc::cancelled);
    const int status = response->status;
    return status == 400 || status == 401 || status == 403 || status == 404 || status == 410;
}

asio::awaitable<bool> is_cancelled() {
    const auto state = co_await asio::this_coro::cancellation_state;
    co_return state.cancelled() != asio::cancellation_type::none;
}

}  // namespace

access::access(http_transport& http, credential_source& credentials, retry_policy policy, spdlog::logger& log)
    : http_(http), authenticator_(http, credentials), policy_(policy), log_(log) {}

asio::awaitable<result<http_response>> access::send(http_request request, repository_scope scope,
                                                    response_check check) {
    const auto until = request.until;
    for (int tries = 1;; ++tries) {
        request.until = std::min(until, deadline::clock::now() + policy_.try_timeout);
        auto response = co_await send_once(request, scope);
        result<void> verdict;
        if (!response) {
            verdict = response.error();
        } else if (response->status / 100 != 2) {
            verdict = status_failure(request, *response);
        } else if (check) {
            verdict = check(*response);
        }
        if (verdict) co_return response;
        auto why = std::move(verdict).error();
        if (!is_transient(why)) co_return why;
        const auto delay = delay_before_next(tries, response, until);
        if (!delay) {
            why.context += " (gave up after " + std::to_string(tries) + (tries == 1 ? " try)" : " tries)");
            co_return why;
        }
        log_.debug("trying again in {} ms: {}", delay->count(), why.message());
        const auto executor = co_await asio::this_coro::executor;
        asio::steady_timer timer(executor, *delay);
        co_await timer.async_wait(tuple_awaitable);
        const bool cancelled = co_await is_cancelled();
        if (cancelled) co_return fail(errc::cancelled, why.context);
    }
}

std::optional<std::chrono::milliseconds> access::delay_before_next(int failed_tries, const result<http_response>& last,
                                                                   deadline until) {
    if (failed_tries >= policy_.tries) return std::nullopt;
    auto delay = backoff(failed_tries);
    if (last && (last->status == 429 || last->status == 503)) {
        const auto asked = retry_after(*last, std::chrono::system_clock::now());
        if (asked) delay = std::max<std::chrono::milliseconds>(delay, *asked);
    }
    if (deadline::clock::now() + delay >= until) return std::nullopt;
    return delay;
}

std::chrono::milliseconds access::backoff(int failed_tries) {
    const auto doubled = policy_.first_delay * (1LL << std::min(failed_tries - 1, 16));
    const auto full = std::min<std::chrono::milliseconds>(doubled, policy_.longest_delay);
    // A thousand readers that failed together must not come back together.
    std::uniform_int_distribution<std::int64_t> part(full.count() / 2, full.count());
    return std::chrono::milliseconds(part(random_));
}

asio::awaitable<result<http_response>> access::send_once(http_request request, repository_scope scope) {
    const auto known = targets_.find(request.url);
    if (known != targets_.end() && known->second.until > deadline::clock::now()) {
        auto direct = request;
        direct.url = known->second.url;
        auto response = co_await http_.send(std::move(direct));
        if (!target_is_stale(response)) co_return response;
        targets_.erase(request.url);
    }
    co_return co_await follow(std::move(request), std::move(scope));
}

asio::awaitable<result<http_response>> access::follow(http_request request, repository_scope scope) {
    const auto asked = request.url;
    const bool may_follow = request.method == "GET" || request.method == "HEAD";
    CO_TRY(const auto first, parse_url(asked));
    auto here = first;
    for (int hops = 0; hops <= redirect_limit; ++hops) {
        request.url = here.text();
        const bool ours = here.origin() == first.origin();
        auto call = ours ? authenticator_.send(request, scope) : http_.send(request);
        auto response = co_await std::move(call);
        if (!response || !is_redirect(response->status) || !may_follow) {
            // A target at the registry itself may need the token again, so only foreign ones are remembered.
            if (response && response->status / 100 == 2 && !ours) remember(asked, request.url);
            co_return response;
        }
        CO_TRY(here, next_hop(here, *response, scope));
    }
    co_return fail(errc::unavailable, request.method + " " + first.without_query() + ": more than 8 redirects");
}

result<url> access::next_hop(const url& from, const http_response& response, const repository_scope& scope) const {
    const auto location = response.header("location");
    if (!location) return fail(errc::corrupt, "GET " + from.without_query() + ": a redirect without Location");
    TRY(auto target, resolve_location(from, *location));
    const bool downgrade = from.scheme == "https" && target.scheme == "http";
    if (downgrade && scope.security == transport_security::verified) {
        return fail(
            errc::permission_denied,
            "GET " + from.without_query() + ": redirected from HTTPS to plain HTTP at " + target.host + "; refused");
    }
    return target;
}

void access::remember(const std::string& from, const std::string& target) {
    if (targets_.size() >= remembered_limit) targets_.clear();
    targets_[from] = {target, deadline::clock::now() + redirect_life};
}

}  // namespace obd::registry

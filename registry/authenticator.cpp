#include "registry/authenticator.hpp"

#include <algorithm>

#include "base/json/fields.hpp"
#include "base/limits.hpp"
#include "registry/http_status.hpp"

namespace obd::registry {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t remembered_limit = 4096;  // tokens of that many repositories; beyond it all are fetched anew
constexpr auto shortest_token_life = 60s;       // distribution's token specification: the default of expires_in
constexpr auto longest_token_life = 24h;
constexpr auto basic_header_life = 5min;  // then cred.json is looked at again

const challenge* find_scheme(const std::vector<challenge>& challenges, std::string_view scheme) {
    const auto found = std::find_if(challenges.begin(), challenges.end(),
                                    [&](const challenge& candidate) { return candidate.scheme == scheme; });
    return found == challenges.end() ? nullptr : &*found;
}

std::vector<challenge> challenges_of(const http_response& refusal) {
    std::vector<challenge> all;
    for (const auto& [name, value] : refusal.headers) {
        if (name != "www-authenticate") continue;
        auto some = parse_challenges(value);
        std::move(some.begin(), some.end(), std::back_inserter(all));
    }
    return all;
}

std::string basic_header(const credential& user) {
    return "Basic " + base64_encode(user.username + ":" + user.password);
}

struct issued_token {
    std::string text;
    std::chrono::seconds life;
};

result<issued_token> parse_token(const http_response& response, const std::string& where) {
    TRY(const auto document, json::parse(response.body, where));
    const json::object root(document, where);
    TRY(auto text, root.string("token", ""));
    TRY(auto access, root.string("access_token", ""));
    TRY(const auto seconds, root.integer("expires_in", 0, {INT64_MIN, INT64_MAX}));
    if (text.empty()) text = std::move(access);
    if (text.empty()) return fail(errc::corrupt, where + ": neither \"token\" nor \"access_token\" in the answer");
    auto life = std::chrono::seconds(shortest_token_life);
    if (seconds > 0)
        life = std::chrono::seconds(std::min<std::int64_t>(seconds, std::chrono::seconds(longest_token_life).count()));
    return issued_token{std::move(text), life};
}

}  // namespace

std::string authenticator::known_header(const std::string& scope_key) {
    const auto found = headers_.find(scope_key);
    if (found == headers_.end()) return {};
    if (found->second.expires > deadline::clock::now()) return found->second.header;
    headers_.erase(found);
    return {};
}

asio::awaitable<result<http_response>> authenticator::send(http_request request, repository_scope scope) {
    CO_TRY(const auto target, parse_url(request.url));
    const auto scope_key = target.origin() + " " + scope.repository + " " + scope.actions;
    auto header = known_header(scope_key);
    auto first = request;
    if (!header.empty()) first.headers.emplace_back("Authorization", header);
    auto response = co_await http_.send(std::move(first));
    if (!response || response->status != 401) co_return response;

    headers_.erase(scope_key);
    auto answered = co_await answer(request, scope, *response, std::move(header));
    if (!answered) co_return in_context(std::move(answered).error(), request.method + " " + target.without_query());
    auto second = request;
    second.headers.emplace_back("Authorization", answered->header);
    auto again = co_await http_.send(std::move(second));
    if (!again) co_return again;
    if (again->status == 401) co_return status_failure(request, *again);
    if (headers_.size() >= remembered_limit) headers_.clear();
    headers_[scope_key] = std::move(*answered);
    co_return again;
}

asio::awaitable<result<authenticator::token>> authenticator::answer(const http_request& request,
                                                                    const repository_scope& scope,
                                                                    const http_response& refusal,
                                                                    std::string rejected) {
    CO_TRY(const auto asked, parse_url(request.url));
    const auto challenges = challenges_of(refusal);
    const auto* const bearer_challenge = find_scheme(challenges, "bearer");
    const auto* const basic_challenge = find_scheme(challenges, "basic");
    if (bearer_challenge == nullptr && basic_challenge == nullptr) {
        co_return fail(errc::unsupported, "status 401 with no Basic or Bearer challenge");
    }
    const auto default_port = asked.port == (asked.scheme == "https" ? "443" : "80");
    credential_query query;
    query.host = default_port ? asked.host : asked.host + ":" + asked.port;
    query.repository = scope.repository;
    query.remote_url = asked.without_query();
    CO_TRY(auto user, co_await credentials_.find(std::move(query)));
    if (bearer_challenge != nullptr) {
        CO_TRY(auto wanted, plan_token(*bearer_challenge, scope, asked, std::move(user)));
        wanted.until = request.until;
        co_return co_await bearer(std::move(wanted), std::move(rejected));
    }
    if (!user)
        co_return fail(errc::permission_denied,
                       "the registry wants a user name and a password, and there are none for it");
    auto header = basic_header(*user);
    if (header == rejected) co_return fail(errc::permission_denied, "user name or password refused");
    co_return token{std::move(header), deadline::clock::now() + basic_header_life};
}

result<authenticator::token_request> authenticator::plan_token(const challenge& bearer, const repository_scope& scope,
                                                               const url& asked, std::optional<credential> user) const {
    TRY(auto realm, parse_url(bearer.param("realm")));
    // A token service is often another host, but must not be a less protected one.
    if (asked.scheme == "https" && realm.scheme == "http" && scope.security == transport_security::verified) {
        return fail(errc::permission_denied,
                    "token service " + realm.without_query() + " is plain HTTP, the registry is not");
    }
    auto scopes = split_scopes(bearer.param("scope"));
    if (scopes.empty() && !scope.repository.empty())
        scopes.push_back("repository:" + scope.repository + ":" + scope.actions);
    const auto add = [&realm](std::string_view name, std::string_view value) {
        if (!realm.query.empty()) realm.query += '&';
        realm.query.append(name).append("=").append(percent_encode(value));
    };
    if (const auto service = bearer.param("service"); !service.empty()) add("service", service);
    for (const auto& one : scopes) add("scope", one);
    if (user) add("account", user->username);
    auto key = realm.text();
    return token_request{std::move(realm), std::move(key), std::move(user), scope.security, {}};
}

asio::awaitable<result<authenticator::token>> authenticator::bearer(token_request wanted, std::string rejected) {
    while (true) {
        const auto kept = tokens_.find(wanted.key);
        if (kept != tokens_.end()) {
            const bool fresh = kept->second.expires > deadline::clock::now() && kept->second.header != rejected;
            if (fresh) co_return kept->second;
            tokens_.erase(kept);
        }
        const auto under_way = flights_.find(wanted.key);
        if (under_way == flights_.end()) break;
        const auto flight = under_way->second;
        const auto woken = co_await flight->done->wait();
        if (woken == one_shot::wake::cancelled) co_return fail(errc::cancelled, "token request");
        if (flight->issued || !flight->issued.error().is(errc::cancelled)) co_return flight->issued;
        // The one that asked for it went away; ask ourselves.
    }
    const auto flight = std::make_shared<token_flight>();
    flights_[wanted.key] = flight;
    // Also when this coroutine is destroyed while it waits, the others must wake up.
    struct landing {
        authenticator& self;
        const std::string& key;
        token_flight& flight;
        ~landing() {
            self.flights_.erase(key);
            flight.done->fire();
        }
    } const lands{*this, wanted.key, *flight};
    auto issued = co_await fetch_token(wanted);
    flight->issued = issued;
    co_return issued;
}

asio::awaitable<result<authenticator::token>> authenticator::fetch_token(const token_request& wanted) {
    const auto where = "token service " + wanted.realm.without_query();
    http_request request;
    request.url = wanted.realm.text();
    request.security = wanted.security;
    request.until = wanted.until;
    request.body_limit = limits::token_response_bytes;
    if (wanted.user) request.headers.emplace_back("Authorization", basic_header(*wanted.user));
    auto response = co_await http_.send(request);
    if (!response) co_return in_context(std::move(response).error(), where);
    if (response->status != 200) co_return in_context(status_failure(request, *response), where);
    if (response->truncated) co_return fail(errc::limit_exceeded, where + ": answer too long");
    CO_TRY(auto issued, parse_token(*response, where));
    // A tenth earlier: a token must not run out on its way.
    token fresh{"Bearer " + issued.text, deadline::clock::now() + issued.life - issued.life / 10};
    if (tokens_.size() >= remembered_limit) tokens_.clear();
    tokens_[wanted.key] = fresh;
    co_return fresh;
}

}  // namespace obd::registry

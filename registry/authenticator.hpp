// Answers 401: Basic, and Bearer tokens as registries hand them out (distribution's token specification).
#pragma once

#include <boost/asio/awaitable.hpp>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "registry/challenge.hpp"
#include "registry/credentials.hpp"
#include "registry/http.hpp"
#include "registry/one_shot.hpp"
#include "registry/url.hpp"

namespace obd::registry {

/// What a request is about; credentials and tokens are kept apart by all of it.
struct repository_scope {
    std::string repository;
    std::string actions = "pull";  ///< or "pull,push"
    transport_security security = transport_security::verified;
};

/// Not thread-safe: everything on one strand.
class authenticator {
public:
    /// Both are borrowed.
    authenticator(http_transport& http, credential_source& credentials) : http_(http), credentials_(credentials) {}

    /// Sends with what authenticated last time; answers one challenge, once. A 401 after that fails with
    /// permission_denied. Other statuses are the caller's to judge. Does not follow redirects.
    asio::awaitable<result<http_response>> send(http_request request, repository_scope scope);

private:
    struct token {
        std::string header;
        deadline expires;
    };
    struct token_request {
        url realm;
        std::string key;  ///< realm, service, scopes and user: what a token is good for
        std::optional<credential> user;
        transport_security security;
        deadline until;
    };
    struct token_flight {
        std::shared_ptr<one_shot> done = std::make_shared<one_shot>();
        result<token> issued = fail(errc::cancelled, "token request");
    };

    std::string known_header(const std::string& scope_key);
    asio::awaitable<result<token>> answer(const http_request& request, const repository_scope& scope,
                                          const http_response& refusal, std::string rejected);
    asio::awaitable<result<token>> bearer(token_request wanted, std::string rejected);
    asio::awaitable<result<token>> fetch_token(const token_request& wanted);
    result<token_request> plan_token(const challenge& bearer, const repository_scope& scope, const url& asked,
                                     std::optional<credential> user) const;

    http_transport& http_;
    credential_source& credentials_;
    std::map<std::string, token> tokens_;                           ///< by token_request::key
    std::map<std::string, std::shared_ptr<token_flight>> flights_;  ///< by token_request::key
    std::map<std::string, token> headers_;                          ///< by origin and scope: what worked last
};

}  // namespace obd::registry

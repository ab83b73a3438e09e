// Which user name and password to use where (docs/credentials.md).
#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "registry/tls.hpp"

namespace obd::registry {

namespace asio = boost::asio;
class http_transport;

struct credential {
    std::string username;
    std::string password;
};

/// What needs authentication.
struct credential_query {
    std::string host;  ///< host[:port] as in the URL
    std::string repository;
    std::string remote_url;  ///< the URL that asked for it, for helpers
};

/// Nothing found means anonymous access. Asked anew each time authentication is needed, so that a changed file counts.
class credential_source {
public:
    virtual ~credential_source() = default;
    virtual asio::awaitable<result<std::optional<credential>>> find(credential_query query) = 0;
};

/// The longest key of `document`'s "auths" that is the host, or the host and leading components of the repository.
/// `where` begins messages. Fails with unsupported when the entry holds an identity token, invalid_argument when it or
/// the document is malformed. Never says what the secret is.
result<std::optional<credential>> match_credential(std::string_view document, std::string_view where,
                                                   const credential_query& query);

/// cred.json; a file that is not there is an empty one.
std::unique_ptr<credential_source> make_credential_file(std::filesystem::path file);

/// A program that answers GET <url>?remote_url=… with {"success": true, "data": {"auths": {…}}}.
struct credential_helper {
    std::string url;                    ///< http(s)://host[:port]/path; without scheme: http
    std::filesystem::path unix_socket;  ///< if set, asked there
    std::chrono::milliseconds timeout{1'000};
    tls_files tls;  ///< for https: client certificate and the only authorities trusted
};

/// `http` is borrowed.
std::unique_ptr<credential_source> make_credential_helper(credential_helper helper, http_transport& http);

/// RFC 4648 §4, with padding.
std::string base64_encode(std::string_view text);
std::optional<std::string> base64_decode(std::string_view text);

}  // namespace obd::registry

// A registry inside the test, on loopback with a port of the system's choice, that misbehaves as it is told.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace obd::test {

struct fake_request {
    std::string method;
    std::string target;                          ///< path and query
    std::map<std::string, std::string> headers;  ///< names in lower case
    std::string body;

    std::string header(const std::string& name) const {
        const auto found = headers.find(name);
        return found == headers.end() ? std::string() : found->second;
    }
};

struct fake_reply {
    enum class ending {
        proper,
        short_body,  ///< half of the body, then the connection closes
        reset,       ///< nothing at all, the connection is reset
        stall,       ///< the head and half of the body, then silence until the client goes
    };

    int status = 200;
    std::vector<std::pair<std::string, std::string>> headers;
    std::string body;
    ending end = ending::proper;

    void set_header(const std::string& name, const std::string& value);
};

struct fake_registry_options {
    std::filesystem::path tls_cert;  ///< PEM; empty: plain HTTP
    std::filesystem::path tls_key;
    std::filesystem::path unix_socket;  ///< listen there instead of on loopback TCP
};

class fake_registry {
public:
    using options = fake_registry_options;
    /// May change what would be sent. Runs on the registry's thread, one call at a time.
    using fault = std::function<void(const fake_request&, fake_reply&)>;

    explicit fake_registry(options how = {});
    ~fake_registry();
    fake_registry(const fake_registry&) = delete;
    fake_registry& operator=(const fake_registry&) = delete;

    /// "127.0.0.1:port"
    std::string host() const;
    /// "http://127.0.0.1:port", or https.
    std::string base() const;

    /// Served in every repository. Returns the digest.
    std::string add_blob(std::string bytes);
    /// By tag and by digest. Returns the digest.
    std::string add_manifest(std::string tag, std::string bytes, std::string media_type);
    /// Any path, as it is.
    void add_page(std::string target, fake_reply reply);

    void require_basic(std::string user, std::string password);
    /// Tokens come from /token of this registry; with a user, only for that user.
    void require_bearer(std::string user = {}, std::string password = {}, int expires_in_s = 300);
    /// Tokens given out so far are worth nothing any more.
    void revoke_tokens();

    void set_fault(fault hook);

    std::vector<fake_request> requests() const;
    std::size_t count(std::string_view method, std::string_view target_prefix) const;
    void clear_requests();
    /// Stops listening and drops all connections: the registry is down from here on.
    void stop();

private:
    class state;
    std::shared_ptr<state> state_;
};

}  // namespace obd::test

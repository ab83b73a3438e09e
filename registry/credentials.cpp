#include "registry/credentials.hpp"

#include <openssl/evp.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <vector>

#include "base/json/fields.hpp"
#include "registry/http.hpp"
#include "registry/url.hpp"

namespace obd::registry {
namespace {

constexpr std::size_t credential_document_bytes = 1 << 20;  // cred.json of a thousand registries is below 200 KiB

std::string lower(std::string_view text) {
    std::string out(text);
    std::transform(out.begin(), out.end(), out.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
    return out;
}

/// Docker Hub goes by several names; they are one registry.
std::string canonical_host(std::string_view host) {
    auto name = lower(host);
    if (name.ends_with(":443")) name.resize(name.size() - 4);
    if (name == "index.docker.io" || name == "registry-1.docker.io") return "docker.io";
    return name;
}

/// "https://Index.docker.io/v1/" → "docker.io"; "https://host:5000/team/" → "host:5000/team".
std::string canonical_key(std::string_view key) {
    if (const auto scheme = key.find("://"); scheme != std::string_view::npos) key.remove_prefix(scheme + 3);
    while (key.ends_with('/')) key.remove_suffix(1);
    const auto slash = key.find('/');
    auto host = canonical_host(key.substr(0, slash));
    if (slash == std::string_view::npos) return host;
    const auto path = key.substr(slash);
    // Docker's own files name the API's root.
    return path == "/v1" || path == "/v2" ? host : host + std::string(path);
}

/// A whole leading part: "host/a" covers "host/a" and "host/a/b", not "host/ab".
bool covers(std::string_view key, std::string_view target) {
    return target.starts_with(key) && (target.size() == key.size() || target[key.size()] == '/');
}

result<std::optional<credential>> read_entry(const json::object& entry) {
    TRY(const auto identity, entry.string("identitytoken", ""));
    if (!identity.empty())
        return fail(errc::unsupported,
                    entry.where() + ": identity tokens are not supported, use a user name and a password");
    TRY(const auto packed, entry.string("auth", ""));
    TRY(auto username, entry.string("username", ""));
    TRY(auto password, entry.string("password", ""));
    if (!packed.empty()) {
        const auto plain = base64_decode(packed);
        if (!plain) return fail(errc::invalid_argument, entry.where() + ": \"auth\" is not base64");
        const auto colon = plain->find(':');
        if (colon != std::string::npos)
            return std::optional(credential{plain->substr(0, colon), plain->substr(colon + 1)});
        if (username.empty())
            return fail(errc::invalid_argument, entry.where() + ": \"auth\" is not base64 of user:password");
    }
    if (username.empty()) return std::optional<credential>();
    return std::optional(credential{std::move(username), std::move(password)});
}

result<std::optional<credential>> match_auths(const json::object& root, const credential_query& query) {
    TRY(const auto auths, root.child("auths"));
    const auto target = canonical_host(query.host) + "/" + query.repository;
    std::string best_name;
    std::size_t best_length = 0;
    const rapidjson::Value* best = nullptr;
    for (const auto& [name, value] : auths.members()) {
        const auto key = canonical_key(name);
        if (key.size() <= best_length || !covers(key, target)) continue;
        best_name = name;
        best_length = key.size();
        best = value;
    }
    if (best == nullptr) return std::optional<credential>();
    const auto where = auths.where() + ": \"" + best_name + "\"";
    if (!best->IsObject()) return fail(errc::invalid_argument, where + ": not an object");
    return read_entry(json::object(*best, where));
}

class credential_file final : public credential_source {
public:
    explicit credential_file(std::filesystem::path file) : file_(std::move(file)) {}

    asio::awaitable<result<std::optional<credential>>> find(credential_query query) override {
        // Small and rare: not worth a worker thread.
        std::ifstream in(file_, std::ios::binary);
        if (!in) {
            const int error = errno;
            if (error == ENOENT || file_.empty()) co_return std::optional<credential>();
            co_return fail_errno("credential file " + file_.string(), error);
        }
        const std::string text((std::istreambuf_iterator<char>(in)), {});
        co_return match_credential(text, file_.string(), query);
    }

private:
    std::filesystem::path file_;
};

class helper_source final : public credential_source {
public:
    helper_source(credential_helper helper, http_transport& http) : helper_(std::move(helper)), http_(http) {
        if (helper_.url.find("://") == std::string::npos) helper_.url.insert(0, "http://");
    }

    asio::awaitable<result<std::optional<credential>>> find(credential_query query) override {
        http_request request;
        const char* const separator = helper_.url.find('?') == std::string::npos ? "?" : "&";
        request.url = helper_.url + separator + "remote_url=" + percent_encode(query.remote_url);
        request.until = deadline::clock::now() + helper_.timeout;
        request.unix_socket = helper_.unix_socket;
        request.tls = helper_.tls;
        request.body_limit = credential_document_bytes;
        auto answer = co_await http_.send(std::move(request));
        if (!answer) co_return in_context(std::move(answer).error(), "credential helper");
        co_return understand(*answer, query);
    }

private:
    result<std::optional<credential>> understand(const http_response& answer, const credential_query& query) const {
        const auto where = "credential helper " + helper_.url.substr(0, helper_.url.find('?'));
        if (answer.status != 200) return fail(errc::unavailable, where + ": status " + std::to_string(answer.status));
        if (answer.truncated) return fail(errc::limit_exceeded, where + ": answer too long");
        TRY(const auto document, json::parse(answer.body, where));
        const json::object root(document, where);
        TRY(const bool success, root.boolean("success", false));
        if (!success) return fail(errc::permission_denied, where + ": it reports no success");
        TRY(const auto data, root.child("data"));
        return match_auths(data, query);
    }

    credential_helper helper_;
    http_transport& http_;
};

}  // namespace

result<std::optional<credential>> match_credential(std::string_view document, std::string_view where,
                                                   const credential_query& query) {
    if (document.size() > credential_document_bytes)
        return fail(errc::limit_exceeded, std::string(where) + ": too long");
    TRY(const auto parsed, json::parse(document, where));
    return match_auths(json::object(parsed, std::string(where)), query);
}

std::unique_ptr<credential_source> make_credential_file(std::filesystem::path file) {
    return std::make_unique<credential_file>(std::move(file));
}

std::unique_ptr<credential_source> make_credential_helper(credential_helper helper, http_transport& http) {
    return std::make_unique<helper_source>(std::move(helper), http);
}

std::string base64_encode(std::string_view text) {
    std::vector<unsigned char> out(4 * ((text.size() + 2) / 3) + 1);
    const auto bytes = std::vector<unsigned char>(text.begin(), text.end());
    const int length = EVP_EncodeBlock(out.data(), bytes.data(), static_cast<int>(bytes.size()));
    return {out.begin(), out.begin() + length};
}

std::optional<std::string> base64_decode(std::string_view text) {
    while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
    if (text.empty()) return std::string();
    if (text.size() % 4 != 0) return std::nullopt;
    const auto padding = text.ends_with("==") ? 2u : text.ends_with('=') ? 1u : 0u;
    const std::vector<unsigned char> in(text.begin(), text.end());
    std::vector<unsigned char> out(text.size() / 4 * 3);
    const int length = EVP_DecodeBlock(out.data(), in.data(), static_cast<int>(in.size()));
    if (length < 0) return std::nullopt;
    return std::string(out.begin(), out.begin() + length - padding);  // OpenSSL counts the padding as zero bytes
}

}  // namespace obd::registry

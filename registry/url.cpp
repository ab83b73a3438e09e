#include "registry/url.hpp"

#include <curl/curl.h>

#include <algorithm>
#include <memory>

namespace obd::registry {
namespace {

using handle = std::unique_ptr<CURLU, decltype(&curl_url_cleanup)>;

handle make_handle() {
    return {curl_url(), &curl_url_cleanup};
}

std::string part(const handle& from, CURLUPart which, unsigned flags = 0) {
    char* value = nullptr;
    if (curl_url_get(from.get(), which, &value, flags) != CURLUE_OK || value == nullptr) return {};
    std::string text(value);
    curl_free(value);
    return text;
}

/// Host and port do not matter for messages here; a query may be a secret, so it is left out.
std::string shown(std::string_view text) {
    return std::string(text.substr(0, text.find('?')));
}

result<url> take_apart(const handle& parsed, std::string_view original) {
    url out;
    out.scheme = part(parsed, CURLUPART_SCHEME);
    out.host = part(parsed, CURLUPART_HOST);
    out.port = part(parsed, CURLUPART_PORT, CURLU_DEFAULT_PORT);
    out.path = part(parsed, CURLUPART_PATH);
    out.query = part(parsed, CURLUPART_QUERY);
    std::transform(out.host.begin(), out.host.end(), out.host.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
    if (out.scheme != "http" && out.scheme != "https") {
        return fail(errc::invalid_argument, "url " + shown(original) + ": neither http nor https");
    }
    if (out.host.empty()) return fail(errc::invalid_argument, "url " + shown(original) + ": no host");
    return out;
}

}  // namespace

std::string url::text() const {
    return query.empty() ? without_query() : without_query() + "?" + query;
}

std::string url::without_query() const {
    const bool usual = port == (scheme == "https" ? "443" : "80");
    return scheme + "://" + host + (usual ? "" : ":" + port) + path;
}

std::string url::origin() const {
    return scheme + "://" + host + ":" + port;
}

result<url> parse_url(std::string_view text) {
    const auto parsed = make_handle();
    const auto code = curl_url_set(parsed.get(), CURLUPART_URL, std::string(text).c_str(),
                                   CURLU_DISALLOW_USER | CURLU_NON_SUPPORT_SCHEME);
    if (code != CURLUE_OK) {
        return fail(errc::invalid_argument, "url " + shown(text) + ": " + curl_url_strerror(code));
    }
    return take_apart(parsed, text);
}

result<url> resolve_location(const url& base, std::string_view location) {
    const auto parsed = make_handle();
    if (curl_url_set(parsed.get(), CURLUPART_URL, base.text().c_str(), 0) != CURLUE_OK) {
        return fail(errc::invalid_argument, "url " + base.without_query());
    }
    const auto code = curl_url_set(parsed.get(), CURLUPART_URL, std::string(location).c_str(),
                                   CURLU_DISALLOW_USER | CURLU_NON_SUPPORT_SCHEME);
    if (code != CURLUE_OK) {
        return fail(errc::invalid_argument, "redirect to " + shown(location) + ": " + curl_url_strerror(code));
    }
    return take_apart(parsed, location);
}

std::string percent_encode(std::string_view text) {
    constexpr std::string_view digits = "0123456789ABCDEF";
    std::string out;
    for (const char c : text) {
        const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (letter || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~') {
            out += c;
            continue;
        }
        const auto byte = static_cast<unsigned char>(c);
        out += '%';
        out += digits[byte >> 4];
        out += digits[byte & 0xf];
    }
    return out;
}

bool is_loopback_host(std::string_view host_and_port) {
    if (host_and_port.starts_with("[::1]")) return true;
    const auto host = host_and_port.substr(0, host_and_port.find(':'));
    if (host == "localhost") return true;
    // Only digits and dots: "127.evil.example" is somebody's real name.
    const bool address =
        std::all_of(host.begin(), host.end(), [](char c) { return (c >= '0' && c <= '9') || c == '.'; });
    return address && host.starts_with("127.") && std::count(host.begin(), host.end(), '.') == 3;
}

}  // namespace obd::registry

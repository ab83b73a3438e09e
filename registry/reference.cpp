#include "registry/reference.hpp"

#include <algorithm>

#include "base/digest.hpp"

namespace obd::registry {
namespace {

constexpr std::size_t longest_repository =
    255;                                  // what registries accept in practice (distribution's reference package)
constexpr std::size_t longest_tag = 128;  // distribution specification: [a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}
bool is_lower(char c) {
    return (c >= 'a' && c <= 'z') || is_digit(c);
}
bool is_letter(char c) {
    return is_lower(c) || (c >= 'A' && c <= 'Z');
}

/// [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*
bool is_component(std::string_view text) {
    if (text.empty() || !is_lower(text.front()) || !is_lower(text.back())) return false;
    std::size_t at = 0;
    while (at < text.size()) {
        if (is_lower(text[at])) {
            ++at;
            continue;
        }
        const auto start = at;
        while (at < text.size() && text[at] == text[start]) ++at;
        const auto run = at - start;
        const char separator = text[start];
        if (separator == '-') continue;
        if (separator == '.' && run == 1) continue;
        if (separator == '_' && run <= 2) continue;
        return false;
    }
    return true;
}

bool is_tag(std::string_view text) {
    if (text.empty() || text.size() > longest_tag || !(is_letter(text.front()) || text.front() == '_')) return false;
    return std::all_of(text.begin(), text.end(),
                       [](char c) { return is_letter(c) || c == '_' || c == '.' || c == '-'; });
}

bool is_port(std::string_view text) {
    if (text.empty() || text.size() > 5 || !std::all_of(text.begin(), text.end(), is_digit)) return false;
    const int value = std::stoi(std::string(text));
    return value > 0 && value <= 65535;
}

bool is_host(std::string_view text) {
    std::string_view rest;
    if (text.starts_with('[')) {  // IPv6
        const auto end = text.find(']');
        if (end == std::string_view::npos || end < 3) return false;
        const auto address = text.substr(1, end - 1);
        if (!std::all_of(address.begin(), address.end(), [](char c) {
                return std::string_view("0123456789abcdefABCDEF:.%").find(c) != std::string_view::npos;
            })) {
            return false;
        }
        rest = text.substr(end + 1);
    } else {
        const auto end = text.find(':');
        const auto name = text.substr(0, end);
        if (name.empty() || !is_letter(name.front()) || !is_letter(name.back())) return false;
        if (!std::all_of(name.begin(), name.end(), [](char c) { return is_letter(c) || c == '.' || c == '-'; }))
            return false;
        rest = end == std::string_view::npos ? std::string_view{} : text.substr(end);
    }
    return rest.empty() || (rest.front() == ':' && is_port(rest.substr(1)));
}

/// The first component names a host when it can't be a Docker Hub user.
bool looks_like_host(std::string_view component) {
    return component == "localhost" || component.find_first_of(".:[") != std::string_view::npos;
}

failure refuse(std::string_view text, std::string_view reason) {
    return fail(errc::invalid_argument, "image reference \"" + std::string(text) + "\": " + std::string(reason));
}

}  // namespace

bool is_repository_name(std::string_view name) {
    if (name.empty() || name.size() > longest_repository) return false;
    while (true) {
        const auto slash = name.find('/');
        if (!is_component(name.substr(0, slash))) return false;
        if (slash == std::string_view::npos) return true;
        name.remove_prefix(slash + 1);
    }
}

std::string image_reference::text() const {
    std::string out = host + "/" + repository;
    if (!tag.empty()) out += ":" + tag;
    if (!digest.empty()) out += "@" + digest;
    return out;
}

std::string image_reference::api_host() const {
    return host == "docker.io" ? "registry-1.docker.io" : host;
}

result<image_reference> parse_reference(std::string_view text) {
    if (text.empty()) return refuse(text, "empty");
    if (text.find("://") != std::string_view::npos) return refuse(text, "written without a scheme such as https://");
    image_reference out;
    auto rest = text;
    if (const auto at = rest.find('@'); at != std::string_view::npos) {
        out.digest = rest.substr(at + 1);
        rest = rest.substr(0, at);
        if (!is_sha256_digest(out.digest))
            return refuse(text, "the digest is not sha256: and 64 lower-case hex digits");
    }
    const auto slash = rest.find('/');
    if (slash != std::string_view::npos && looks_like_host(rest.substr(0, slash))) {
        out.host = rest.substr(0, slash);
        rest = rest.substr(slash + 1);
        if (!is_host(out.host)) return refuse(text, "\"" + out.host + "\" is not a host with an optional port");
    } else {
        out.host = "docker.io";
    }
    if (const auto colon = rest.rfind(':'); colon != std::string_view::npos) {
        out.tag = rest.substr(colon + 1);
        rest = rest.substr(0, colon);
        if (!is_tag(out.tag)) return refuse(text, "\"" + out.tag + "\" is not a tag");
    }
    out.repository = rest;
    std::transform(out.host.begin(), out.host.end(), out.host.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
    if (out.host == "index.docker.io" || out.host == "registry-1.docker.io") out.host = "docker.io";
    if (out.host == "docker.io" && out.repository.find('/') == std::string::npos) out.repository.insert(0, "library/");
    // Checked as it will be asked for: what is normalised must be a reference again.
    if (!is_repository_name(out.repository)) {
        return refuse(text, "\"" + std::string(rest) +
                                "\" is not a repository name (at most 255 lower-case letters, digits, "
                                "'.', '_', '-', '/')");
    }
    if (out.tag.empty() && out.digest.empty()) out.tag = "latest";
    return out;
}

}  // namespace obd::registry

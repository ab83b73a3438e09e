// URLs as the registry client needs them: taken apart, compared by origin, shown without secrets.
#pragma once

#include <string>
#include <string_view>

#include "base/result.hpp"

namespace obd::registry {

/// An absolute http or https URL. Parsed by libcurl, so what we check is what is sent.
struct url {
    std::string scheme;  ///< "http" or "https"
    std::string host;    ///< lower case; an IPv6 address keeps its brackets
    std::string port;    ///< always there, the scheme's own when none was written
    std::string path;    ///< begins with '/'
    std::string query;   ///< without '?'; may hold secrets (signed URLs)

    std::string text() const;
    /// For messages and logs: a signed URL's query is a secret.
    std::string without_query() const;
    /// scheme://host:port. RFC 6454 §4: credentials are for one origin.
    std::string origin() const;
};

/// Fails with invalid_argument for other schemes, user names in the URL, and what is no URL.
result<url> parse_url(std::string_view text);

/// The Location header's value, relative or absolute, seen from `base` (RFC 9110 §10.2.2).
result<url> resolve_location(const url& base, std::string_view location);

/// RFC 3986 §2.1: everything but unreserved characters as %XX.
std::string percent_encode(std::string_view text);

/// "localhost", 127.0.0.0/8, [::1]; with or without a port.
bool is_loopback_host(std::string_view host_and_port);

}  // namespace obd::registry

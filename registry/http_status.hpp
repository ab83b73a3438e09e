// What an HTTP status means for us, and the sentence that says so.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "registry/http.hpp"

namespace obd::registry {

/// not_found (404, 410), permission_denied (401, 403), out_of_range (416), unavailable (408, 425, 429, 5xx),
/// limit_exceeded (413), else invalid_argument. Names method, URL without its query, status and the registry's own
/// words.
failure status_failure(const http_request& request, const http_response& response);

/// A failure that may go away when tried again: the network's, the server's load, a damaged answer.
bool is_transient(const failure& error);

/// Retry-After in either form (RFC 9110 §10.2.3); a date is seen from `now`. Never negative.
std::optional<std::chrono::seconds> retry_after(const http_response& response,
                                                std::chrono::system_clock::time_point now);

bool is_redirect(int status);

}  // namespace obd::registry

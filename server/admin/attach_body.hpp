// The body of POST /v1/exports.
#pragma once

#include <string_view>

#include "base/result.hpp"
#include "server/catalog/export.hpp"

namespace obd::server {

/// invalid_argument names the member. Unknown members are refused: a misspelt "insecure" or "auth" must not be ignored.
result<attach_request> parse_attach_body(std::string_view body);

/// The body of POST /v1/exports/NAME/snapshot: the folder of the new writable layer, or nothing. May be empty.
result<std::filesystem::path> parse_snapshot_body(std::string_view body);

struct quota_request {
    std::string initiator;  ///< empty: the export's
    byte_count quota;       ///< 0: none
};

/// The body of POST /v1/exports/NAME/quota.
result<quota_request> parse_quota_body(std::string_view body);

/// The body of POST /v1/exports/NAME/redirect; nothing when it names no address.
result<std::optional<iscsi::redirection>> parse_redirect_body(std::string_view body);

/// The body of POST …/clones/INITIATOR/commit: the file of the layer, or nothing. May be empty.
result<std::filesystem::path> parse_commit_body(std::string_view body);

/// The body of POST /v1/exports/NAME/resize.
result<byte_count> parse_resize_body(std::string_view body);

}  // namespace obd::server

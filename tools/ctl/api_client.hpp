// Talks to the daemon's admin API: HTTP over a Unix socket, one request a connection.
#pragma once

#include <filesystem>
#include <string>

#include "base/result.hpp"

namespace obd::ctl {

struct api_answer {
    unsigned status = 0;
    std::string body;
    bool ok() const { return status / 100 == 2; }
};

struct api_call {
    std::string method;
    std::string target;  ///< path and query, encoded
    std::string body;    ///< JSON, or empty
};

/// Blocks until the daemon has answered, which for an attach may take as long as its registry does. Fails only when
/// there is no answer.
result<api_answer> call_daemon(const std::filesystem::path& socket, const api_call& call);

/// One segment of a path.
std::string percent_encoded(std::string_view text);

}  // namespace obd::ctl

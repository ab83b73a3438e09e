// The JSON that overlaybdctl sends. Paths become absolute here: the daemon has another current folder.
#pragma once

#include <string>

#include "base/result.hpp"
#include "tools/ctl/commands.hpp"

namespace obd::ctl {

result<std::string> attach_body(const attach_options& what);
result<std::string> snapshot_body(const snapshot_options& what);
std::string quota_body(const std::string& initiator, std::uint64_t bytes);
std::string redirect_body(const redirect_options& what);
std::string commit_body(const std::string& file);
std::string resize_body(std::uint64_t size_bytes);

}  // namespace obd::ctl

// The state file's records as JSON, and back. Versioned: a file of a later version is refused, not guessed at.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "protocol/scsi/ports.hpp"
#include "server/catalog/export.hpp"

namespace obd::server {

inline constexpr int state_version = 1;

std::string encode_exports(const std::vector<export_record>& records);
/// Nothing in it is trusted: names, LUNs, digests and sizes are checked as if a user had typed them.
result<std::vector<export_record>> decode_exports(std::string_view text, std::string_view where);

std::string encode_unit_state(const scsi::persistent_state& state);
result<scsi::persistent_state> decode_unit_state(std::string_view text, std::string_view where);

}  // namespace obd::server

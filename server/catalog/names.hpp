// The names of exports and targets. An export's name is the end of an iSCSI name and of file names, so it is lower-case
// letters, digits, '.', '-' and ':' (RFC 3722), at most 100 of them, beginning with a letter or digit.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "protocol/net/target_server.hpp"
#include "protocol/scsi/task.hpp"

namespace obd::server {

inline constexpr std::size_t export_name_characters = 100;

/// invalid_argument, with what is allowed.
result<void> check_export_name(std::string_view name);

/// repo[:tag|@digest] without the registry, '/' and ':' as '-': "localhost:5000/library/web:1" is "library-web-1".
std::string name_from_reference(std::string_view reference);
/// The name of the folder that holds the file; for a file that is not called config.v1.json, the file's own.
std::string name_from_config(const std::filesystem::path& config);

/// What was given if it is an iSCSI name by itself (iqn.…, eui.…, naa.…), else "<prefix>:<given>".
result<std::string> target_name(std::string_view given, std::string_view prefix);

/// "host:port", "192.0.2.7:3260" or "[2001:db8::7]:3260", as TargetAddress in a redirection has it.
result<iscsi::redirection> parse_redirect(std::string_view address, iscsi::redirection::kind how);

/// The designators of a logical unit from what it holds: the same after a restart and on every node.
scsi::identity unit_identity(std::string_view content_hex, std::string_view target);

}  // namespace obd::server

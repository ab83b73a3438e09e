// UUIDs of layers: text of 36 characters.
#pragma once

#include <string>
#include <string_view>

namespace obd::layers {

/// A random one (RFC 4122 §4.4), upper case as overlaybd writes them.
std::string random_uuid();

/// 8-4-4-4-12 hex digits, either case.
bool is_uuid(std::string_view text) noexcept;

/// Stands for "none" in headers.
inline constexpr std::string_view null_uuid = "00000000-0000-0000-0000-000000000000";

}  // namespace obd::layers

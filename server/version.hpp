// Which program this is, for users and registries.
#pragma once

#include <string_view>

namespace obd::server {

inline constexpr std::string_view program_version = OBD_VERSION;

}  // namespace obd::server

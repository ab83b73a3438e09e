// Files that are read whole: configuration and state.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "base/result.hpp"

namespace obd {

/// Nothing when there is no such file. Of a file that is longer than limits::config_file_bytes only so much that its
/// reader sees that it is. Blocks.
result<std::optional<std::string>> read_small_file(const std::filesystem::path& path);

}  // namespace obd

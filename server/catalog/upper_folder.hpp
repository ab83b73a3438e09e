// A folder with a writable layer of the daemon's making: writable_data, writable_index and a config.v1.json that names
// the whole stack, so that overlaybd's own tools can work on it, and so that the folder alone says what was attached.
#pragma once

#include <filesystem>
#include <string>

#include "base/result.hpp"
#include "layers/image_config.hpp"
#include "server/catalog/export.hpp"

namespace obd::server {

/// config.v1.json with every path absolute.
std::string encode_image_config(const layers::image_config& config);

/// The config of the stack in `folder` on top of `base`. Makes folder, layer and config where they are missing; a
/// folder whose config stands on other layers than `base` is refused with already_exists. Blocks; durable when it
/// returns. REQUIRES: kind is not none.
result<std::filesystem::path> prepare_upper(const std::filesystem::path& folder, upper_kind kind,
                                            const layers::image_config& base);

std::filesystem::path upper_config_path(const std::filesystem::path& folder);

}  // namespace obd::server

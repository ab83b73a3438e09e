// A folder with a writable layer of the daemon's making: writable_data, writable_index and a config.v1.json that names
// the whole stack, so that overlaybd's own tools can work on it, and so that the folder alone says what was attached.
#pragma once

#include <filesystem>
#include <string>

#include "base/result.hpp"
#include "layers/image_config.hpp"
#include "layers/write/writable_image.hpp"
#include "server/catalog/export.hpp"

namespace obd::server {

/// config.v1.json with every path absolute.
std::string encode_image_config(const layers::image_config& config);

/// The config of the stack in `folder` on top of `base`. Makes folder, layer and config where they are missing; a
/// folder whose config stands on other layers than `base` is refused with already_exists. Blocks; durable when it
/// returns. REQUIRES: kind is not none.
result<std::filesystem::path> prepare_upper(const std::filesystem::path& folder, upper_kind kind,
                                            const layers::image_config& base);

/// A snapshot whose new upper lies in `folder` under names that nobody has (writable_data.1, writable_data.2 …) and
/// which rewrites `config`: the sealed layer on top of the lowers, the new upper on it.
layers::snapshot_request snapshot_into(const std::filesystem::path& folder, const std::filesystem::path& config,
                                       layers::upper_kind kind);

/// Whether the lowest layers of `stack` are those of `base`; snapshots put layers of their own on top of them.
bool stands_on(const layers::image_config& stack, const layers::image_config& base);

std::filesystem::path upper_config_path(const std::filesystem::path& folder);

}  // namespace obd::server

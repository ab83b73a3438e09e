// What an initiator wrote, as one layer that can be pushed on top of the image it was written to.
#pragma once

#include <cstddef>
#include <filesystem>

#include "base/result.hpp"
#include "server/catalog/export.hpp"

namespace obd::server {

/// Merges the layers that `config` names above the lowest `base_layers` of them, all sealed, into `file`: a ZFile
/// (LZ4) in a tar, as overlaybd's tools make layers for registries. An empty `file` becomes commit.N.obd beside the
/// config. already_exists rather than overwrite. Blocks, for as long as the copying takes.
result<committed_layer> commit_own_layers(const std::filesystem::path& config, std::size_t base_layers,
                                          std::filesystem::path file);

}  // namespace obd::server

// Checking and repairing a writable layer.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "layers/write/upper.hpp"

namespace obd::tools {

enum class fsck_mode { check, repair };

struct fsck_report {
    layers::upper_identity identity;
    layers::upper_usage usage;
    std::uint64_t mappings = 0;
    std::uint64_t live_bytes = 0;       ///< of data that the disk still shows
    std::vector<std::string> problems;  ///< found, and put right in mode repair
};

/// Reads the whole layer, its side file included. Blocks. Fails where the layer cannot be opened at all.
result<fsck_report> fsck(const layers::upper_paths& paths, fsck_mode mode);

}  // namespace obd::tools

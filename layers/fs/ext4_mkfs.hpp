// Makes an empty ext4 file system, always the same bytes for the same options.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/result.hpp"
#include "base/units.hpp"
#include "layers/fs/sync_disk.hpp"

namespace obd::fs {

/// What would be the present time in a file system made by hand: 2020-01-01T00:00:00Z. Fixed, so that layers are
/// reproducible.
inline constexpr std::int64_t fixed_time_s = 1'577'836'800;

enum class journal { none, present };

struct mkfs_options {
    /// UUID and hash seed come from it: a digest of what will be in the file system, or zeros.
    std::array<std::byte, 32> seed{};
    /// Layers of containers have none, as overlaybd's own; a disk that a host writes to for long wants one.
    journal with_journal = journal::none;
};

inline constexpr byte_count smallest_ext4{1u << 20};

/// Over the whole disk, which reads as zeros (a new layer or sparse file): only blocks that are not zero are written.
/// 4096-byte blocks, 256-byte inodes, metadata checksums; the features are listed in docs/convert.md.
/// Fails with invalid_argument for a disk below smallest_ext4, and as the disk does.
result<void> make_ext4(sync_disk& disk, const mkfs_options& options);

}  // namespace obd::fs

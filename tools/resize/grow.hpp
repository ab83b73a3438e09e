// Makes the ext4 file system on a disk larger, without a mount.
#pragma once

#include <filesystem>

#include "base/block_device.hpp"
#include "base/result.hpp"
#include "base/units.hpp"

namespace obd::tools {

/// REQUIRES: the disk has its new size already. The file system is copied to a sparse file in `scratch`, e2fsck and
/// resize2fs (e2fsprogs) work there, and the blocks that they changed are written back and flushed. Blocks. When it
/// fails before the writing back the disk is as it was.
result<void> grow_ext4(block_device& disk, const std::filesystem::path& scratch);

}  // namespace obd::tools

// Fits the ext4 file system on a disk to another size, without a mount.
#pragma once

#include <filesystem>

#include "base/block_device.hpp"
#include "base/result.hpp"
#include "base/units.hpp"

namespace obd::tools {

/// REQUIRES: wanted <= the disk's size. The file system is copied to a sparse file in `scratch`, e2fsck and resize2fs
/// (e2fsprogs) work there, and the blocks that they changed are written back and flushed; nothing at or behind `wanted`
/// matters afterwards. Blocks. Fails with out_of_space when its contents need more. When it fails before the writing
/// back the disk is as it was.
result<void> resize_ext4(block_device& disk, byte_count wanted, const std::filesystem::path& scratch);

}  // namespace obd::tools

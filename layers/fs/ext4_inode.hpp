// The fixed part of an ext4 inode: how kinds, times, owners, sizes and device numbers lie in it.
#pragma once

#include <ext2fs/ext2fs.h>

#include <cstdint>

#include "base/result.hpp"
#include "layers/fs/ext4_volume.hpp"

namespace obd::fs {

/// Symlink targets below this length lie in the inode itself, in the place of the block pointers.
inline constexpr std::size_t inline_symlink_bytes = 60;

/// libext2fs takes the large inode by a pointer to the small one, which is its beginning.
inline ext2_inode* as_small(ext2_inode_large& inode) {
    return reinterpret_cast<ext2_inode*>(&inode);
}

std::uint64_t size_of(const ext2_inode_large& inode);
void set_size(ext2_inode_large& inode, std::uint64_t bytes);

/// REQUIRES: the mode is a valid one (open() trusts libext2fs's checks); unknown ones pass as files.
node_kind kind_of(const ext2_inode_large& inode);
attributes attributes_of(const ext2_inode_large& inode);
void set_attributes(ext2_inode_large& inode, const attributes& attrs);
device_number device_of(const ext2_inode_large& inode);

/// As it is when it has one name and no contents; a short symlink complete. Fails with invalid_argument.
result<ext2_inode_large> initial_inode(const new_node& node);

}  // namespace obd::fs

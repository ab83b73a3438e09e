// An ext4 file system on a sync_disk, changed without a mount: what unpacking a container layer needs. Works with inode
// numbers and names in a directory; paths are the caller's.
//
// libext2fs allocates inodes and blocks, keeps bitmaps and checksums, and writes extents and attributes. Directories
// are ours: they are edited in memory and written as a whole, so that big ones get a hash tree and cost no quadratic
// time.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "base/units.hpp"
#include "layers/fs/ext4_directory.hpp"
#include "layers/fs/sync_disk.hpp"

struct struct_ext2_filsys;
struct ext2_inode_large;

namespace obd::fs {

inline constexpr inode_number root_inode = 2;
inline constexpr std::size_t longest_name = 255;
inline constexpr std::size_t longest_symlink = 4095;

struct timestamp {
    std::int64_t seconds = 0;
    std::uint32_t nanoseconds = 0;
    auto operator<=>(const timestamp&) const = default;
};

struct device_number {
    std::uint32_t major = 0;
    std::uint32_t minor = 0;
    auto operator<=>(const device_number&) const = default;
};

/// All times of an inode are set to `modified`, so that the same layer always gives the same bytes.
struct attributes {
    std::uint16_t permissions = 0;  ///< 12 bits: rwx and set-uid, set-gid, sticky
    std::uint32_t uid = 0;
    std::uint32_t gid = 0;
    timestamp modified;
    auto operator<=>(const attributes&) const = default;
};

struct new_node {
    node_kind kind = node_kind::file;
    attributes attrs;
    device_number device;        ///< of character and block devices
    std::string symlink_target;  ///< of symlinks: 1 to longest_symlink bytes
};

struct node_status {
    node_kind kind = node_kind::file;
    attributes attrs;
    device_number device;
    std::uint32_t links = 0;
    byte_count size;
};

/// Values by their full name ("security.capability"), in the form that getxattr(2) gives.
using extended_attributes = std::map<std::string, std::string>;

/// One thread at a time. After a failure other than not_found, already_exists or invalid_argument the volume is in no
/// defined state: throw the disk away. Nothing is on the disk for sure before sync().
class ext4_volume {
public:
    /// Refuses features that it does not know (unsupported) and file systems that need a check (corrupt).
    static result<std::unique_ptr<ext4_volume>> open(sync_disk& disk);
    ~ext4_volume();

    result<std::optional<directory_entry>> find(inode_number in, std::string_view name);
    result<std::vector<directory_entry>> list(inode_number in);
    /// The directory that holds this one; the root is its own.
    result<inode_number> parent_of(inode_number directory);
    result<node_status> status(inode_number node);
    result<std::string> symlink_target(inode_number node);
    result<extended_attributes> xattrs(inode_number node);
    /// Fails with out_of_range past the end of the file.
    result<void> read(inode_number file, byte_offset offset, mutable_bytes out);

    /// An empty file, directory or whatever `node` says. Fails with already_exists, or invalid_argument for a bad name.
    result<inode_number> make(inode_number in, std::string_view name, const new_node& node);
    /// One more name for a node that is no directory.
    result<void> link(inode_number in, std::string_view name, inode_number node);
    /// Takes the name away; frees the node with its last name, a directory with all that is in it. Each directory that
    /// goes is told to `removed_directories`, if given. Fails with not_found.
    result<void> remove(inode_number in, std::string_view name,
                        std::vector<inode_number>* removed_directories = nullptr);
    result<void> set_attributes(inode_number node, const attributes& attrs);
    /// Sets these and keeps others. Fails with out_of_space when they do not fit into the inode and one block.
    result<void> set_xattrs(inode_number node, const extended_attributes& values);

    /// Writes all that is in memory to the disk and flushes it.
    result<void> sync();

    struct usage {
        std::uint64_t blocks, free_blocks;
        std::uint32_t block_bytes;
        std::uint32_t inodes, free_inodes;
    };
    usage used() const;

private:
    friend class file_writer;
    explicit ext4_volume(struct_ext2_filsys* volume, sync_disk& disk);

    result<directory*> load(inode_number number);
    result<void> write_directory(inode_number number, directory& contents);
    result<std::uint64_t> directory_block(inode_number number, ext2_inode_large& inode, std::uint64_t index);
    void forget_free_blocks();
    result<void> free_node(inode_number node, ext2_inode_large& inode);
    result<void> drop_link(inode_number node);
    result<void> remove_tree(inode_number top, std::vector<inode_number>* removed_directories);
    result<ext2_inode_large> read_inode(inode_number number);
    result<void> write_inode(inode_number number, ext2_inode_large& inode);
    failure broken(long code, std::string_view what) const;

    struct_ext2_filsys* volume_;
    sync_disk& disk_;
    std::map<inode_number, directory> directories_;
    std::uint64_t goal_ = 0;  ///< contents go one behind the other, in the order in which they come
};

/// Gives an empty file its contents. One at a time a volume.
class file_writer {
public:
    file_writer(ext4_volume& volume, inode_number file);

    /// REQUIRES: offsets ascend, ranges do not overlap. What is left out is a hole.
    result<void> write(byte_offset offset, const_bytes data);
    /// Instead of write(): gives a file of `size` bytes its blocks without contents. What the blocks held is discarded
    /// on the disk; then `found` is told where they lie, in the order of the file.
    struct disk_range {
        byte_offset in_file;
        byte_offset on_disk;
        byte_count count;  ///< whole blocks
    };
    result<void> allocate(byte_count size, const std::function<result<void>(const disk_range&)>& found);
    /// The file ends there; nothing was written beyond.
    result<void> finish(byte_count size);

private:
    struct extent {
        std::uint64_t first;  ///< block of the file
        std::uint64_t disk_block;
        std::uint64_t blocks;
    };
    result<void> flush_pending();
    void add_extent(const extent& next);
    result<void> insert_extents(ext2_inode_large& inode);

    ext4_volume& volume_;
    inode_number file_;
    std::uint64_t pending_at_ = 0;  ///< a multiple of the block size
    std::vector<std::byte> pending_;
    std::vector<extent> extents_;
};

}  // namespace obd::fs

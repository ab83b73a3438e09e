#include "layers/fs/ext4_volume.hpp"

#include <ext2fs/ext2fs.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "layers/fs/disk_io.hpp"
#include "layers/fs/ext4_inode.hpp"
#include "layers/fs/ext4_mkfs.hpp"

namespace obd::fs {
namespace {

constexpr std::size_t cached_directories = 4096;

// What may be in a file system that we change; anything else would need care that this code does not take.
constexpr std::uint32_t known_compat = EXT2_FEATURE_COMPAT_EXT_ATTR | EXT2_FEATURE_COMPAT_RESIZE_INODE |
                                       EXT2_FEATURE_COMPAT_DIR_INDEX | EXT3_FEATURE_COMPAT_HAS_JOURNAL |
                                       EXT4_FEATURE_COMPAT_SPARSE_SUPER2 | EXT4_FEATURE_COMPAT_ORPHAN_FILE;
constexpr std::uint32_t known_incompat = EXT2_FEATURE_INCOMPAT_FILETYPE | EXT3_FEATURE_INCOMPAT_EXTENTS |
                                         EXT4_FEATURE_INCOMPAT_64BIT | EXT4_FEATURE_INCOMPAT_FLEX_BG |
                                         EXT4_FEATURE_INCOMPAT_CSUM_SEED | EXT2_FEATURE_INCOMPAT_META_BG;
constexpr std::uint32_t known_ro_compat = EXT2_FEATURE_RO_COMPAT_SPARSE_SUPER | EXT2_FEATURE_RO_COMPAT_LARGE_FILE |
                                          EXT4_FEATURE_RO_COMPAT_HUGE_FILE | EXT4_FEATURE_RO_COMPAT_GDT_CSUM |
                                          EXT4_FEATURE_RO_COMPAT_DIR_NLINK | EXT4_FEATURE_RO_COMPAT_EXTRA_ISIZE |
                                          EXT4_FEATURE_RO_COMPAT_METADATA_CSUM;

result<void> check_usable(const ext2_super_block& super) {
    const auto unknown = [](std::uint32_t have, std::uint32_t known, const char* kind) -> result<void> {
        if ((have & ~known) == 0) return {};
        return fail(errc::unsupported, std::string("ext4: ") + kind + " features " + std::to_string(have & ~known));
    };
    if ((super.s_feature_incompat & EXT3_FEATURE_INCOMPAT_RECOVER) != 0)
        return fail(errc::corrupt, "ext4: the journal must be recovered first (mount it or run e2fsck)");
    TRYV(unknown(super.s_feature_compat, known_compat, "compatible"));
    TRYV(unknown(super.s_feature_incompat, known_incompat, "incompatible"));
    TRYV(unknown(super.s_feature_ro_compat, known_ro_compat, "read-only compatible"));
    if ((super.s_feature_incompat & EXT2_FEATURE_INCOMPAT_FILETYPE) == 0 ||
        (super.s_feature_incompat & EXT3_FEATURE_INCOMPAT_EXTENTS) == 0 || super.s_rev_level == 0)
        return fail(errc::unsupported, "ext4: a file system without extents or file types");
    if ((super.s_state & EXT2_ERROR_FS) != 0 || (super.s_state & EXT2_VALID_FS) == 0)
        return fail(errc::corrupt, "ext4: was not unmounted cleanly, run e2fsck first");
    return {};
}

directory_format format_of(ext2_filsys volume, inode_number self) {
    directory_format format;
    format.block_bytes = volume->blocksize;
    format.checksums =
        ext2fs_has_feature_metadata_csum(volume->super) ? directory_checksums::present : directory_checksums::absent;
    format.hash_version = volume->super->s_def_hash_version;
    if (format.hash_version > EXT2_HASH_TEA) format.hash_version = EXT2_HASH_HALF_MD4;
    format.hash_function = format.hash_version;
    if ((volume->super->s_flags & EXT2_FLAGS_UNSIGNED_HASH) != 0) format.hash_function += 3;
    std::copy_n(volume->super->s_hash_seed, format.hash_seed.size(), format.hash_seed.begin());
    format.self = self;
    return format;
}

result<void> check_name(std::string_view name) {
    if (name.empty() || name == "." || name == ".." || name.find('/') != name.npos || name.find('\0') != name.npos)
        return fail(errc::invalid_argument, "'" + std::string(name) + "' is no file name");
    if (name.size() > longest_name) return fail(errc::invalid_argument, "a file name is longer than 255 bytes");
    return {};
}

}  // namespace

ext4_volume::ext4_volume(struct_ext2_filsys* volume, sync_disk& disk) : volume_(volume), disk_(disk) {}

ext4_volume::~ext4_volume() {
    // Without sync() nothing more is written, not even what libext2fs would write at close.
    volume_->flags &= ~EXT2_FLAG_DIRTY;
    ext2fs_free(volume_);
}

failure ext4_volume::broken(long code, std::string_view what) const {
    return ext4_failure(code, std::string(what), volume_->io);
}

result<std::unique_ptr<ext4_volume>> ext4_volume::open(sync_disk& disk) {
    const disk_io_scope scope(disk);
    ext2_filsys opened = nullptr;
    const auto code = ext2fs_open(disk_io_name, EXT2_FLAG_RW | EXT2_FLAG_64BITS | EXT2_FLAG_SOFTSUPP_FEATURES, 0, 0,
                                  disk_io_scope::manager(), &opened);
    if (code == EXT2_ET_BAD_MAGIC) return fail(errc::corrupt, "the disk holds no ext4 file system");
    if (code != 0) return ext4_failure(code, "opening the file system");
    std::unique_ptr<ext4_volume> volume(new ext4_volume(opened, disk));
    TRYV(check_usable(*opened->super));
    if (const auto failed = ext2fs_read_bitmaps(opened)) return volume->broken(failed, "reading the bitmaps");
    opened->now = fixed_time_s;
    // Backups of the superblock are for repairs; a layer need not carry thirteen copies of each change. The kernel does
    // the same.
    opened->flags |= EXT2_FLAG_MASTER_SB_ONLY;
    return volume;
}

result<ext2_inode_large> ext4_volume::read_inode(inode_number number) {
    ext2_inode_large inode{};
    if (number == 0 || number > volume_->super->s_inodes_count)
        return fail(errc::corrupt, "inode number " + std::to_string(number));
    const auto code = ext2fs_read_inode_full(volume_, number, as_small(inode), sizeof(inode));
    if (code != 0) return broken(code, "inode " + std::to_string(number));
    if (EXT2_INODE_SIZE(volume_->super) == EXT2_GOOD_OLD_INODE_SIZE) inode.i_extra_isize = 0;
    return inode;
}

result<void> ext4_volume::write_inode(inode_number number, ext2_inode_large& inode) {
    const auto code = ext2fs_write_inode_full(volume_, number, as_small(inode), sizeof(inode));
    if (code != 0) return broken(code, "inode " + std::to_string(number));
    return {};
}

result<directory*> ext4_volume::load(inode_number number) {
    if (const auto found = directories_.find(number); found != directories_.end()) return &found->second;
    if (directories_.size() >= cached_directories) {
        for (auto& [other, contents] : directories_)
            if (contents.dirty) {
                TRYV(write_directory(other, contents));
            }
        directories_.clear();
    }
    TRY(auto inode, read_inode(number));
    if (!LINUX_S_ISDIR(inode.i_mode))
        return fail(errc::invalid_argument, "inode " + std::to_string(number) + " is no directory");
    directory contents;
    std::vector<std::byte> block(volume_->blocksize);
    const auto blocks = size_of(inode) / volume_->blocksize;
    for (std::uint64_t index = 0; index < blocks; ++index) {
        blk64_t at = 0;
        auto code = ext2fs_bmap2(volume_, number, as_small(inode), nullptr, 0, index, nullptr, &at);
        if (code == 0 && at == 0) continue;  // a hole
        if (code == 0) code = ext2fs_read_dir_block4(volume_, at, block.data(), 0, number);
        if (code != 0) return broken(code, "directory inode " + std::to_string(number));
        if (auto parsed = parse_directory_block(block, contents); !parsed)
            return in_context(std::move(parsed).error(), "directory inode " + std::to_string(number));
    }
    if (contents.parent == 0) return fail(errc::corrupt, "directory inode " + std::to_string(number) + " has no '..'");
    return &directories_.emplace(number, std::move(contents)).first->second;
}

/// Where block `index` of the directory lies; allocated if it is not there.
result<std::uint64_t> ext4_volume::directory_block(inode_number number, ext2_inode_large& inode, std::uint64_t index) {
    blk64_t at = 0;
    auto code = ext2fs_bmap2(volume_, number, as_small(inode), nullptr, 0, index, nullptr, &at);
    if (code == 0 && at == 0)
        code = ext2fs_bmap2(volume_, number, as_small(inode), nullptr, BMAP_ALLOC, index, nullptr, &at);
    if (code != 0) return broken(code, "directory inode " + std::to_string(number));
    return at;
}

result<void> ext4_volume::write_directory(inode_number number, directory& contents) {
    TRY(auto built, build_directory_blocks(contents, format_of(volume_, number)));
    if (!ext2fs_has_feature_dir_index(volume_->super)) built.indexed = false;
    TRY(auto inode, read_inode(number));
    for (std::size_t index = 0; index < built.blocks.size(); ++index) {
        TRY(const auto at, directory_block(number, inode, index));
        if (const auto code = ext2fs_write_dir_block4(volume_, at, built.blocks[index].data(), 0, number))
            return broken(code, "directory inode " + std::to_string(number));
    }
    const auto bytes = built.blocks.size() * volume_->blocksize;
    if (size_of(inode) > bytes) {
        const auto code = ext2fs_punch(volume_, number, as_small(inode), nullptr, built.blocks.size(), ~blk64_t{0});
        if (code != 0) return broken(code, "directory inode " + std::to_string(number));
    }
    set_size(inode, bytes);
    inode.i_flags = built.indexed ? inode.i_flags | EXT2_INDEX_FL : inode.i_flags & ~static_cast<__u32>(EXT2_INDEX_FL);
    // dir_nlink: a directory with more subdirectories than the field can count has one link.
    const auto links = 2 + contents.subdirectories();
    inode.i_links_count = static_cast<std::uint16_t>(links >= EXT2_LINK_MAX ? 1 : links);
    TRYV(write_inode(number, inode));
    contents.dirty = false;
    return {};
}

result<std::optional<directory_entry>> ext4_volume::find(inode_number in, std::string_view name) {
    TRY(const auto* contents, load(in));
    const auto* entry = contents->find(name);
    return entry == nullptr ? std::nullopt : std::optional(*entry);
}

result<std::vector<directory_entry>> ext4_volume::list(inode_number in) {
    TRY(const auto* contents, load(in));
    return contents->entries();
}

result<inode_number> ext4_volume::parent_of(inode_number directory) {
    TRY(const auto* contents, load(directory));
    return contents->parent;
}

result<inode_number> ext4_volume::make(inode_number in, std::string_view name, const new_node& node) {
    TRYV(check_name(name));
    TRY(const auto* present, load(in));
    if (present->find(name) != nullptr) return fail(errc::already_exists, std::string(name));
    const bool long_symlink = node.kind == node_kind::symlink && node.symlink_target.size() >= inline_symlink_bytes;
    TRY(auto inode, initial_inode(node));
    ext2_ino_t number = 0;
    if (const auto code = ext2fs_new_inode(volume_, in, inode.i_mode, nullptr, &number)) return broken(code, name);
    ext2fs_inode_alloc_stats2(volume_, number, +1, node.kind == node_kind::directory ? 1 : 0);
    if ((inode.i_flags & EXT4_EXTENTS_FL) != 0) {
        // Opening an empty inode's extents writes their header into it.
        ext2_extent_handle_t extents = nullptr;
        if (const auto code = ext2fs_extent_open2(volume_, number, as_small(inode), &extents))
            return broken(code, name);
        ext2fs_extent_free(extents);
    }
    TRYV(write_inode(number, inode));
    if (long_symlink) {
        file_writer writer(*this, number);
        TRYV(writer.write({0}, as_bytes(node.symlink_target)));
        TRYV(writer.finish({node.symlink_target.size()}));
    }
    if (node.kind == node_kind::directory) {
        directory contents;
        contents.parent = in;
        contents.dirty = true;
        // Loading the parent below may empty the cache: write this one now if so.
        directories_.insert_or_assign(number, std::move(contents));
    }
    TRY(auto* parent, load(in));
    parent->insert({std::string(name), number, node.kind});
    parent->dirty = true;
    return number;
}

result<void> ext4_volume::link(inode_number in, std::string_view name, inode_number node) {
    TRYV(check_name(name));
    TRY(auto inode, read_inode(node));
    if (LINUX_S_ISDIR(inode.i_mode)) return fail(errc::invalid_argument, "a directory has one name only");
    if (inode.i_links_count >= EXT2_LINK_MAX) return fail(errc::limit_exceeded, "a file has 65000 names already");
    TRY(auto* parent, load(in));
    if (parent->find(name) != nullptr) return fail(errc::already_exists, std::string(name));
    ++inode.i_links_count;
    TRYV(write_inode(node, inode));
    parent->insert({std::string(name), node, kind_of(inode)});
    parent->dirty = true;
    return {};
}

result<void> ext4_volume::free_node(inode_number node, ext2_inode_large& inode) {
    const bool is_directory = LINUX_S_ISDIR(inode.i_mode);
    if (ext2fs_inode_has_valid_blocks2(volume_, as_small(inode))) {
        const auto code = ext2fs_punch(volume_, node, as_small(inode), nullptr, 0, ~blk64_t{0});
        if (code != 0) return broken(code, "freeing inode " + std::to_string(node));
    }
    if (const auto code = ext2fs_free_ext_attr(volume_, node, &inode); code != 0)
        return broken(code, "freeing inode " + std::to_string(node));
    ext2fs_inode_alloc_stats2(volume_, node, -1, is_directory ? 1 : 0);
    // All zeros, its attributes too: nothing of what was deleted stays in the layer's inode tables.
    std::vector<std::byte> zeros(static_cast<std::size_t>(EXT2_INODE_SIZE(volume_->super)));
    const auto code = ext2fs_write_inode_full(volume_, node, reinterpret_cast<ext2_inode*>(zeros.data()),
                                              static_cast<int>(zeros.size()));
    if (code != 0) return broken(code, "freeing inode " + std::to_string(node));
    return {};
}

result<void> ext4_volume::drop_link(inode_number node) {
    TRY(auto inode, read_inode(node));
    if (inode.i_links_count > 1) {
        --inode.i_links_count;
        return write_inode(node, inode);
    }
    return free_node(node, inode);
}

result<void> ext4_volume::remove_tree(inode_number top, std::vector<inode_number>* removed_directories) {
    // The whole tree is cut off already, so the order does not matter; no recursion, it may be deep.
    std::vector<inode_number> rest{top};
    while (!rest.empty()) {
        const auto number = rest.back();
        rest.pop_back();
        TRY(const auto entries, list(number));
        for (const auto& entry : entries) {
            if (entry.kind == node_kind::directory)
                rest.push_back(entry.inode);
            else {
                TRYV(drop_link(entry.inode));
            }
        }
        directories_.erase(number);
        if (removed_directories != nullptr) removed_directories->push_back(number);
        TRY(auto inode, read_inode(number));
        TRYV(free_node(number, inode));
    }
    return {};
}

result<void> ext4_volume::remove(inode_number in, std::string_view name,
                                 std::vector<inode_number>* removed_directories) {
    TRY(auto* parent, load(in));
    const auto* found = parent->find(name);
    if (found == nullptr) return fail(errc::not_found, std::string(name));
    const auto entry = *found;
    parent->erase(name);
    parent->dirty = true;
    if (entry.kind == node_kind::directory) return remove_tree(entry.inode, removed_directories);
    return drop_link(entry.inode);
}

/// The disk need not keep what was written to blocks that were freed again.
void ext4_volume::forget_free_blocks() {
    const auto last = ext2fs_blocks_count(volume_->super) - 1;
    for (blk64_t block = volume_->super->s_first_data_block; block <= last;) {
        blk64_t free = 0, used = last + 1;
        if (ext2fs_find_first_zero_block_bitmap2(volume_->block_map, block, last, &free) != 0) return;
        if (free < last && ext2fs_find_first_set_block_bitmap2(volume_->block_map, free, last, &used) != 0)
            used = last + 1;
        disk_.forget({free * volume_->blocksize}, {(used - free) * volume_->blocksize});
        block = used;
    }
}

result<void> ext4_volume::sync() {
    for (auto& [number, contents] : directories_)
        if (contents.dirty) {
            TRYV(write_directory(number, contents));
        }
    if (const auto code = ext2fs_flush2(volume_, 0)) return broken(code, "writing the file system's metadata");
    forget_free_blocks();
    return {};
}

ext4_volume::usage ext4_volume::used() const {
    const auto& super = *volume_->super;
    return {ext2fs_blocks_count(volume_->super), ext2fs_free_blocks_count(volume_->super), volume_->blocksize,
            super.s_inodes_count, super.s_free_inodes_count};
}

}  // namespace obd::fs

#include "layers/fs/ext4_mkfs.hpp"

#include <ext2fs/ext2fs.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "layers/fs/disk_io.hpp"

namespace obd::fs {
namespace {

constexpr std::uint32_t block_bytes = 4096;
constexpr std::uint32_t bytes_per_inode = 16384;
constexpr std::uint32_t reserved_percent = 5;
constexpr std::uint64_t growth_bytes = std::uint64_t{1}
                                       << 40;  // room for descriptors so that the disk can grow on line

struct close_volume {
    void operator()(ext2_filsys volume) const { ext2fs_free(volume); }
};
using volume_handle = std::unique_ptr<struct_ext2_filsys, close_volume>;

result<void> check(errcode_t code, const char* step, ext2_filsys volume) {
    if (code == 0) return {};
    return ext4_failure(code, std::string("mkfs: ") + step, volume == nullptr ? nullptr : volume->io);
}

/// Descriptor blocks that growing to 1 TiB (or 16 times the size) would need, less those in use. The resize inode has
/// room for a block's worth of pointers.
std::uint16_t reserved_descriptor_blocks(std::uint64_t blocks) {
    constexpr std::uint64_t blocks_per_group = block_bytes * 8;
    constexpr std::uint64_t descriptors_per_block = block_bytes / EXT2_MIN_DESC_SIZE_64BIT;
    const auto descriptor_blocks = [](std::uint64_t count) {
        const auto groups = (count + blocks_per_group - 1) / blocks_per_group;
        return (groups + descriptors_per_block - 1) / descriptors_per_block;
    };
    const auto grown = std::max(growth_bytes / block_bytes, blocks * 16);
    return static_cast<std::uint16_t>(
        std::min<std::uint64_t>(descriptor_blocks(grown) - descriptor_blocks(blocks), block_bytes / 4 / 4));
}

ext2_super_block parameters(std::uint64_t blocks, const mkfs_options& options) {
    ext2_super_block super{};
    super.s_rev_level = EXT2_DYNAMIC_REV;
    super.s_log_block_size = 2;
    super.s_log_cluster_size = 2;
    super.s_inode_size = 256;
    super.s_log_groups_per_flex = 4;
    super.s_feature_compat =
        EXT2_FEATURE_COMPAT_EXT_ATTR | EXT2_FEATURE_COMPAT_RESIZE_INODE | EXT2_FEATURE_COMPAT_DIR_INDEX;
    if (options.with_journal == journal::present) super.s_feature_compat |= EXT3_FEATURE_COMPAT_HAS_JOURNAL;
    super.s_feature_incompat = EXT2_FEATURE_INCOMPAT_FILETYPE | EXT3_FEATURE_INCOMPAT_EXTENTS |
                               EXT4_FEATURE_INCOMPAT_64BIT | EXT4_FEATURE_INCOMPAT_FLEX_BG;
    super.s_feature_ro_compat = EXT2_FEATURE_RO_COMPAT_SPARSE_SUPER | EXT2_FEATURE_RO_COMPAT_LARGE_FILE |
                                EXT4_FEATURE_RO_COMPAT_HUGE_FILE | EXT4_FEATURE_RO_COMPAT_DIR_NLINK |
                                EXT4_FEATURE_RO_COMPAT_EXTRA_ISIZE | EXT4_FEATURE_RO_COMPAT_METADATA_CSUM;
    ext2fs_blocks_count_set(&super, blocks);
    ext2fs_r_blocks_count_set(&super, blocks * reserved_percent / 100);
    super.s_inodes_count =
        static_cast<std::uint32_t>(std::clamp<std::uint64_t>(blocks * block_bytes / bytes_per_inode, 64, 0xffff0000u));
    super.s_reserved_gdt_blocks = reserved_descriptor_blocks(blocks);
    super.s_desc_size = EXT2_MIN_DESC_SIZE_64BIT;
    return super;
}

void set_identity(ext2_super_block& super, const mkfs_options& options) {
    std::memcpy(super.s_uuid, options.seed.data(), sizeof(super.s_uuid));
    // RFC 9562 §5.8: version 8, for identifiers that are made by a rule of one's own.
    super.s_uuid[6] = static_cast<std::uint8_t>((super.s_uuid[6] & 0x0f) | 0x80);
    super.s_uuid[8] = static_cast<std::uint8_t>((super.s_uuid[8] & 0x3f) | 0x80);
    std::memcpy(super.s_hash_seed, options.seed.data() + sizeof(super.s_uuid), sizeof(super.s_hash_seed));
    super.s_def_hash_version = EXT2_HASH_HALF_MD4;
    super.s_flags |= EXT2_FLAGS_SIGNED_HASH;
    super.s_default_mount_opts = EXT2_DEFM_XATTR_USER | EXT2_DEFM_ACL;
    super.s_max_mnt_count = -1;
    super.s_checkinterval = 0;
    super.s_errors = EXT2_ERRORS_CONTINUE;
    super.s_creator_os = EXT2_OS_LINUX;
    super.s_min_extra_isize = super.s_want_extra_isize = sizeof(ext2_inode_large) - EXT2_GOOD_OLD_INODE_SIZE;
    super.s_mkfs_time = super.s_lastcheck = static_cast<std::uint32_t>(fixed_time_s);
    super.s_mkfs_time_hi = super.s_lastcheck_hi = 0;
    super.s_checksum_type = EXT2_CRC32C_CHKSUM;
}

/// Root, lost+found and the inodes below 11.
result<void> make_first_inodes(ext2_filsys volume) {
    TRYV(check(ext2fs_mkdir(volume, EXT2_ROOT_INO, EXT2_ROOT_INO, nullptr), "root directory", volume));
    for (ext2_ino_t inode = EXT2_ROOT_INO + 1; inode < EXT2_FIRST_INODE(volume->super); ++inode)
        ext2fs_inode_alloc_stats2(volume, inode, +1, 0);
    ext2fs_inode_alloc_stats2(volume, EXT2_BAD_INO, +1, 0);
    TRYV(check(ext2fs_update_bb_inode(volume, nullptr), "bad block inode", volume));
    TRYV(check(ext2fs_create_resize_inode(volume), "resize inode", volume));
    TRYV(check(ext2fs_mkdir(volume, EXT2_ROOT_INO, 0, "lost+found"), "lost+found", volume));
    ext2_ino_t lost_found = 0;
    TRYV(check(ext2fs_lookup(volume, EXT2_ROOT_INO, "lost+found", 10, nullptr, &lost_found), "lost+found", volume));
    ext2_inode inode{};
    TRYV(check(ext2fs_read_inode(volume, lost_found, &inode), "lost+found", volume));
    inode.i_mode = LINUX_S_IFDIR | 0700;
    TRYV(check(ext2fs_write_inode(volume, lost_found, &inode), "lost+found", volume));
    return {};
}

result<void> make_journal(ext2_filsys volume, const mkfs_options& options) {
    if (options.with_journal == journal::none) return {};
    ext2fs_journal_params sizes{};
    TRYV(check(ext2fs_get_journal_params(&sizes, volume), "journal size", volume));
    TRYV(check(
        ext2fs_add_journal_inode3(volume, &sizes, ~blk64_t{0}, EXT2_MKJOURNAL_LAZYINIT | EXT2_MKJOURNAL_NO_MNT_CHECK),
        "journal", volume));
    return {};
}

}  // namespace

result<void> make_ext4(sync_disk& disk, const mkfs_options& options) {
    const auto blocks = disk.size().value / block_bytes;
    if (disk.size() < smallest_ext4)
        return fail(errc::invalid_argument,
                    "mkfs: a disk of " + std::to_string(disk.size().value) + " bytes is too small");
    const disk_io_scope scope(disk);
    auto super = parameters(blocks, options);
    ext2_filsys opened = nullptr;
    TRYV(check(ext2fs_initialize(disk_io_name, EXT2_FLAG_64BITS, &super, disk_io_scope::manager(), &opened), "layout",
               nullptr));
    const volume_handle volume(opened);
    opened->now = fixed_time_s;
    set_identity(*opened->super, options);
    ext2fs_init_csum_seed(opened);
    TRYV(check(ext2fs_set_gdt_csum(opened), "descriptors", opened));
    TRYV(check(ext2fs_allocate_tables(opened), "inode tables", opened));
    // The disk reads as zeros, so the tables are ready: the kernel need not zero them in the background.
    for (dgrp_t group = 0; group < opened->group_desc_count; ++group) {
        ext2fs_bg_flags_set(opened, group, EXT2_BG_INODE_ZEROED);
        ext2fs_group_desc_csum_set(opened, group);
    }
    TRYV(make_first_inodes(opened));
    TRYV(make_journal(opened, options));
    opened->super->s_state |= EXT2_VALID_FS;
    TRYV(check(ext2fs_flush2(opened, 0), "writing", opened));
    return {};
}

}  // namespace obd::fs

#include "layers/fs/ext4_inode.hpp"

#include <algorithm>
#include <cstring>

namespace obd::fs {
namespace {

std::uint16_t mode_bits(node_kind kind) {
    switch (kind) {
        case node_kind::file:
            return LINUX_S_IFREG;
        case node_kind::directory:
            return LINUX_S_IFDIR;
        case node_kind::character_device:
            return LINUX_S_IFCHR;
        case node_kind::block_device:
            return LINUX_S_IFBLK;
        case node_kind::fifo:
            return LINUX_S_IFIFO;
        case node_kind::socket:
            return LINUX_S_IFSOCK;
        case node_kind::symlink:
            return LINUX_S_IFLNK;
    }
    return 0;
}

/// Nanoseconds in the upper 30 bits; the lower two extend the 32-bit seconds beyond 2038.
std::uint32_t extra_time(const timestamp& time) {
    const auto low = static_cast<std::int32_t>(static_cast<std::uint32_t>(time.seconds));
    const auto epoch = static_cast<std::uint32_t>((time.seconds - low) >> 32) & 3;
    return time.nanoseconds << 2 | epoch;
}

/// The years that an inode can hold: 1901 to 2446.
timestamp clamped(timestamp time) {
    constexpr std::int64_t first = -(std::int64_t{1} << 31);
    constexpr std::int64_t last = first + (std::int64_t{4} << 32) - 1;
    time.seconds = std::clamp(time.seconds, first, last);
    time.nanoseconds = std::min<std::uint32_t>(time.nanoseconds, 999'999'999);
    return time;
}

/// The kernel's two encodings: one of 8 bits each where that suffices, else one of 12 and 20 bits.
void set_device(ext2_inode_large& inode, device_number device) {
    if (device.major < 256 && device.minor < 256)
        inode.i_block[0] = device.major << 8 | device.minor;
    else
        inode.i_block[1] = (device.minor & 0xff) | device.major << 8 | (device.minor & ~0xffu) << 12;
}

}  // namespace

std::uint64_t size_of(const ext2_inode_large& inode) {
    return static_cast<std::uint64_t>(inode.i_size_high) << 32 | inode.i_size;
}

void set_size(ext2_inode_large& inode, std::uint64_t bytes) {
    inode.i_size = static_cast<std::uint32_t>(bytes);
    inode.i_size_high = static_cast<std::uint32_t>(bytes >> 32);
}

node_kind kind_of(const ext2_inode_large& inode) {
    if (LINUX_S_ISDIR(inode.i_mode)) return node_kind::directory;
    if (LINUX_S_ISLNK(inode.i_mode)) return node_kind::symlink;
    if (LINUX_S_ISCHR(inode.i_mode)) return node_kind::character_device;
    if (LINUX_S_ISBLK(inode.i_mode)) return node_kind::block_device;
    if (LINUX_S_ISFIFO(inode.i_mode)) return node_kind::fifo;
    if (LINUX_S_ISSOCK(inode.i_mode)) return node_kind::socket;
    return node_kind::file;
}

attributes attributes_of(const ext2_inode_large& inode) {
    attributes attrs;
    attrs.permissions = inode.i_mode & 07777;
    attrs.uid = static_cast<std::uint32_t>(inode.osd2.linux2.l_i_uid_high) << 16 | inode.i_uid;
    attrs.gid = static_cast<std::uint32_t>(inode.osd2.linux2.l_i_gid_high) << 16 | inode.i_gid;
    attrs.modified.seconds = static_cast<std::int32_t>(inode.i_mtime);
    if (inode.i_extra_isize >= 32) {
        attrs.modified.seconds += static_cast<std::int64_t>(inode.i_mtime_extra & 3) << 32;
        attrs.modified.nanoseconds = inode.i_mtime_extra >> 2;
    }
    return attrs;
}

void set_attributes(ext2_inode_large& inode, const attributes& attrs) {
    inode.i_mode = static_cast<std::uint16_t>((inode.i_mode & LINUX_S_IFMT) | (attrs.permissions & 07777));
    inode.i_uid = static_cast<std::uint16_t>(attrs.uid);
    inode.osd2.linux2.l_i_uid_high = static_cast<std::uint16_t>(attrs.uid >> 16);
    inode.i_gid = static_cast<std::uint16_t>(attrs.gid);
    inode.osd2.linux2.l_i_gid_high = static_cast<std::uint16_t>(attrs.gid >> 16);
    const auto time = clamped(attrs.modified);
    inode.i_mtime = inode.i_ctime = inode.i_atime = static_cast<std::uint32_t>(time.seconds);
    if (inode.i_extra_isize < 32) return;
    inode.i_crtime = inode.i_mtime;
    inode.i_mtime_extra = inode.i_ctime_extra = inode.i_atime_extra = inode.i_crtime_extra = extra_time(time);
}

device_number device_of(const ext2_inode_large& inode) {
    if (const auto old_form = inode.i_block[0]; old_form != 0) return {old_form >> 8 & 0xff, old_form & 0xff};
    const auto new_form = inode.i_block[1];
    return {new_form >> 8 & 0xfff, (new_form & 0xff) | (new_form >> 12 & ~0xffu)};
}

result<ext2_inode_large> initial_inode(const new_node& node) {
    ext2_inode_large inode{};
    inode.i_mode = mode_bits(node.kind);
    inode.i_extra_isize = sizeof(ext2_inode_large) - EXT2_GOOD_OLD_INODE_SIZE;
    set_attributes(inode, node.attrs);
    inode.i_links_count = 1;
    if (node.kind == node_kind::file || node.kind == node_kind::directory) inode.i_flags = EXT4_EXTENTS_FL;
    if (node.kind == node_kind::character_device || node.kind == node_kind::block_device) {
        if (node.device.major > 0xfff || node.device.minor > 0xfffff)
            return fail(errc::invalid_argument, "device number " + std::to_string(node.device.major) + ":" +
                                                    std::to_string(node.device.minor) + " is out of range");
        set_device(inode, node.device);
    }
    if (node.kind == node_kind::symlink) {
        const auto& target = node.symlink_target;
        if (target.empty() || target.size() > longest_symlink || target.find('\0') != target.npos)
            return fail(errc::invalid_argument,
                        "a symbolic link's target has " + std::to_string(target.size()) + " bytes");
        if (target.size() < inline_symlink_bytes) {
            std::memcpy(inode.i_block, target.data(), target.size());
            set_size(inode, target.size());
        } else {
            inode.i_flags = EXT4_EXTENTS_FL;
        }
    }
    return inode;
}

}  // namespace obd::fs

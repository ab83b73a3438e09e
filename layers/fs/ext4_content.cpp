// What inodes hold besides names: file contents, symlink targets, attributes.
#include <ext2fs/ext2fs.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "layers/fs/ext4_inode.hpp"
#include "layers/fs/ext4_volume.hpp"

namespace obd::fs {
namespace {

constexpr std::size_t pending_bytes = 1u << 20;
constexpr std::uint64_t longest_extent_blocks = 32768;  // EXT_INIT_MAX_LEN

struct extent_closer {
    void operator()(ext2_extent_handle_t handle) const { ext2fs_extent_free(handle); }
};
using extent_handle = std::unique_ptr<ext2_extent_handle, extent_closer>;

struct xattr_closer {
    void operator()(ext2_xattr_handle* handle) const { ext2fs_xattrs_close(&handle); }
};
using xattr_handle = std::unique_ptr<ext2_xattr_handle, xattr_closer>;

}  // namespace

result<node_status> ext4_volume::status(inode_number node) {
    TRY(const auto inode, read_inode(node));
    node_status status;
    status.kind = kind_of(inode);
    status.attrs = attributes_of(inode);
    if (status.kind == node_kind::character_device || status.kind == node_kind::block_device)
        status.device = device_of(inode);
    status.links = inode.i_links_count;
    status.size = {size_of(inode)};
    return status;
}

result<std::string> ext4_volume::symlink_target(inode_number node) {
    TRY(auto inode, read_inode(node));
    if (!LINUX_S_ISLNK(inode.i_mode))
        return fail(errc::invalid_argument, "inode " + std::to_string(node) + " is no symlink");
    const auto bytes = size_of(inode);
    if (bytes == 0 || bytes > longest_symlink) return fail(errc::corrupt, "symlink inode " + std::to_string(node));
    std::string target(bytes, '\0');
    if (!ext2fs_inode_has_valid_blocks2(volume_, as_small(inode))) {
        if (bytes >= sizeof(inode.i_block)) return fail(errc::corrupt, "symlink inode " + std::to_string(node));
        std::memcpy(target.data(), inode.i_block, bytes);
        return target;
    }
    TRYV(read(node, {0}, std::as_writable_bytes(std::span(target))));
    return target;
}

result<void> ext4_volume::read(inode_number file, byte_offset offset, mutable_bytes out) {
    TRY(auto inode, read_inode(file));
    if (!within(offset, {out.size()}, {size_of(inode)}))
        return fail(errc::out_of_range, "inode " + std::to_string(file));
    const std::uint64_t block_bytes = volume_->blocksize;
    std::vector<std::byte> block(block_bytes);
    for (std::size_t done = 0; done < out.size();) {
        const auto at = offset.value + done;
        const auto start = at % block_bytes;
        const auto count = std::min<std::size_t>(block_bytes - start, out.size() - done);
        blk64_t where = 0;
        int flags = 0;
        auto code = ext2fs_bmap2(volume_, file, as_small(inode), nullptr, 0, at / block_bytes, &flags, &where);
        const bool hole = where == 0 || (flags & BMAP_RET_UNINIT) != 0;
        if (hole)
            std::ranges::fill(block, std::byte{0});
        else if (code == 0)
            code = io_channel_read_blk64(volume_->io, where, 1, block.data());
        if (code != 0) return broken(code, "reading inode " + std::to_string(file));
        std::copy_n(block.begin() + static_cast<std::ptrdiff_t>(start), count,
                    out.begin() + static_cast<std::ptrdiff_t>(done));
        done += count;
    }
    return {};
}

result<void> ext4_volume::set_attributes(inode_number node, const attributes& attrs) {
    TRY(auto inode, read_inode(node));
    fs::set_attributes(inode, attrs);
    return write_inode(node, inode);
}

result<void> ext4_volume::set_xattrs(inode_number node, const extended_attributes& values) {
    if (values.empty()) return {};
    const auto what = "attributes of inode " + std::to_string(node);
    ext2_xattr_handle* opened = nullptr;
    if (const auto code = ext2fs_xattrs_open(volume_, node, &opened)) return broken(code, what);
    const xattr_handle handle(opened);
    if (const auto code = ext2fs_xattrs_read(opened)) return broken(code, what);
    for (const auto& [name, value] : values) {
        if (const auto code = ext2fs_xattr_set(opened, name.c_str(), value.data(), value.size()))
            return broken(code, what + ": " + name);
    }
    return {};
}

result<extended_attributes> ext4_volume::xattrs(inode_number node) {
    const auto what = "attributes of inode " + std::to_string(node);
    ext2_xattr_handle* opened = nullptr;
    if (const auto code = ext2fs_xattrs_open(volume_, node, &opened)) return broken(code, what);
    const xattr_handle handle(opened);
    if (const auto code = ext2fs_xattrs_read(opened)) return broken(code, what);
    extended_attributes values;
    const auto collect = [](char* name, char*, std::size_t, void* to) {
        static_cast<extended_attributes*>(to)->emplace(name, std::string());
        return 0;
    };
    if (const auto code = ext2fs_xattrs_iterate(opened, collect, &values)) return broken(code, what);
    // Asked for one by one: that way ACLs come in the form that getxattr(2) gives.
    for (auto& [name, value] : values) {
        void* bytes = nullptr;
        std::size_t count = 0;
        if (const auto code = ext2fs_xattr_get(opened, name.c_str(), &bytes, &count))
            return broken(code, what + ": " + name);
        value.assign(static_cast<const char*>(bytes), count);
        ext2fs_free_mem(&bytes);
    }
    return values;
}

file_writer::file_writer(ext4_volume& volume, inode_number file) : volume_(volume), file_(file) {}

result<void> file_writer::write(byte_offset offset, const_bytes data) {
    const std::uint64_t block_bytes = volume_.volume_->blocksize;
    const auto end = pending_at_ + pending_.size();
    ASSERT(pending_.empty() || offset.value >= end);
    // A gap within the block that is being filled is zeros; one that leaves blocks out is a hole.
    if (!pending_.empty() && align_down(offset.value, block_bytes) > align_down(end, block_bytes)) {
        TRYV(flush_pending());
    }
    if (pending_.empty()) pending_at_ = align_down(offset.value, block_bytes);
    pending_.resize(offset.value - pending_at_);
    while (!data.empty()) {
        const auto count = std::min(data.size(), pending_bytes - std::min(pending_bytes, pending_.size()));
        pending_.insert(pending_.end(), data.begin(), data.begin() + static_cast<std::ptrdiff_t>(count));
        data = data.subspan(count);
        if (pending_.size() >= pending_bytes) {
            TRYV(flush_pending());
        }
    }
    return {};
}

result<void> file_writer::flush_pending() {
    auto* volume = volume_.volume_;
    const std::uint64_t block_bytes = volume->blocksize;
    const auto next = pending_at_ + pending_.size();
    pending_.resize(align_up(pending_.size(), block_bytes));
    auto first = pending_at_ / block_bytes;
    for (const_bytes rest = pending_; !rest.empty();) {
        blk64_t where = 0, count = 0;
        auto code = ext2fs_new_range(volume, 0, volume_.goal_, rest.size() / block_bytes, nullptr, &where, &count);
        if (code == 0) {
            ext2fs_block_alloc_stats_range(volume, where, static_cast<blk_t>(count), +1);
            code = io_channel_write_blk64(volume->io, where, static_cast<int>(count), rest.data());
        }
        if (code != 0) return volume_.broken(code, "contents of inode " + std::to_string(file_));
        volume_.goal_ = where + count;
        add_extent({first, where, count});
        first += count;
        rest = rest.subspan(count * block_bytes);
    }
    pending_.clear();
    pending_at_ = next;
    return {};
}

void file_writer::add_extent(const extent& next) {
    if (!extents_.empty()) {
        auto& last = extents_.back();
        if (last.first + last.blocks == next.first && last.disk_block + last.blocks == next.disk_block) {
            last.blocks += next.blocks;
            return;
        }
    }
    extents_.push_back(next);
}

result<void> file_writer::allocate(byte_count size, const std::function<result<void>(const disk_range&)>& found) {
    ASSERT(pending_.empty() && extents_.empty());
    auto* volume = volume_.volume_;
    const std::uint64_t block_bytes = volume->blocksize;
    const auto all = align_up(size.value, block_bytes) / block_bytes;
    for (std::uint64_t first = 0; first < all;) {
        blk64_t where = 0, count = 0;
        auto code = ext2fs_new_range(volume, 0, volume_.goal_, all - first, nullptr, &where, &count);
        if (code == 0) {
            ext2fs_block_alloc_stats_range(volume, where, static_cast<blk_t>(count), +1);
            // Also what libext2fs still means to write there, of something that was freed.
            code = io_channel_discard(volume->io, where, count);
        }
        if (code != 0) return volume_.broken(code, "contents of inode " + std::to_string(file_));
        volume_.goal_ = where + count;
        add_extent({first, where, count});
        TRYV(found(
            {.in_file = {first * block_bytes}, .on_disk = {where * block_bytes}, .count = {count * block_bytes}}));
        first += count;
    }
    return {};
}

result<void> file_writer::insert_extents(ext2_inode_large& inode) {
    auto* volume = volume_.volume_;
    const auto what = "extents of inode " + std::to_string(file_);
    ext2_extent_handle_t opened = nullptr;
    if (const auto code = ext2fs_extent_open2(volume, file_, as_small(inode), &opened))
        return volume_.broken(code, what);
    const extent_handle handle(opened);
    std::uint64_t blocks = 0;
    for (const auto& run : extents_) {
        for (std::uint64_t done = 0; done < run.blocks; done += longest_extent_blocks) {
            ext2fs_extent leaf{};
            leaf.e_lblk = run.first + done;
            leaf.e_pblk = run.disk_block + done;
            leaf.e_len = static_cast<__u32>(std::min(longest_extent_blocks, run.blocks - done));
            auto code = ext2fs_extent_insert(opened, EXT2_EXTENT_INSERT_AFTER, &leaf);
            if (code == 0) code = ext2fs_extent_fix_parents(opened);
            if (code != 0) return volume_.broken(code, what);
        }
        blocks += run.blocks;
    }
    if (const auto code = ext2fs_iblk_add_blocks(volume, as_small(inode), blocks)) return volume_.broken(code, what);
    return {};
}

result<void> file_writer::finish(byte_count size) {
    TRYV(flush_pending());
    TRY(auto inode, volume_.read_inode(file_));
    if (!extents_.empty()) {
        TRYV(insert_extents(inode));
    }
    set_size(inode, size.value);
    // A file of more than 2 GiB needs the feature, which every file system that we make has; one from elsewhere gets
    // it.
    if (size.value >= std::uint64_t{1} << 31) ext2fs_set_feature_large_file(volume_.volume_->super);
    return volume_.write_inode(file_, inode);
}

}  // namespace obd::fs

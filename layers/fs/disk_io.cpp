// libext2fs reads and writes most metadata one block at a time, and rewrites an inode-table block for each inode in it.
// The cache joins those writes; bigger transfers (file contents) go around it. What is dirty is written in ascending
// order, so that the same operations always leave the same sequence of writes.
#include "layers/fs/disk_io.hpp"

#include <ext2fs/ext2_err.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <utility>
#include <vector>

namespace obd::fs {
namespace {

constexpr std::size_t cached_blocks = 4096;      // 16 MiB: the inode tables and bitmaps that a layer works on
constexpr std::size_t longest_write = 1u << 20;  // joins neighbours up to this many bytes

thread_local sync_disk* current_disk = nullptr;

class channel_state {
public:
    explicit channel_state(sync_disk& disk) : disk_(disk) {}

    result<void> set_block_bytes(std::uint32_t bytes) {
        TRYV(write_back());
        cache_.clear();
        block_bytes_ = bytes;
        return {};
    }

    result<void> read_blocks(std::uint64_t first, std::size_t count, std::byte* out) {
        if (count != 1) {
            TRYV(write_back());
            return disk_.read({first * block_bytes_}, {out, count * block_bytes_});
        }
        auto found = cache_.find(first);
        if (found == cache_.end()) {
            TRYV(make_room());
            std::vector<std::byte> bytes(block_bytes_);
            TRYV(disk_.read({first * block_bytes_}, bytes));
            found = cache_.emplace(first, block{std::move(bytes), false}).first;
        }
        std::memcpy(out, found->second.bytes.data(), block_bytes_);
        return {};
    }

    result<void> write_blocks(std::uint64_t first, std::size_t count, const std::byte* data) {
        if (count == 1) {
            auto found = cache_.find(first);
            if (found == cache_.end()) {
                TRYV(make_room());
                found = cache_.emplace(first, block{}).first;
            }
            found->second.bytes.assign(data, data + block_bytes_);
            found->second.dirty = true;
            return {};
        }
        cache_.erase(cache_.lower_bound(first), cache_.lower_bound(first + count));
        return disk_.write({first * block_bytes_}, {data, count * block_bytes_});
    }

    /// For the superblock, which is smaller than a block. libext2fs counts from the disk's start.
    result<void> write_bytes(std::uint64_t offset, std::size_t count, const std::byte* data) {
        TRYV(write_back());
        cache_.erase(cache_.lower_bound(offset / block_bytes_), cache_.upper_bound((offset + count) / block_bytes_));
        const auto begin = align_down(offset, sector_bytes);
        std::vector<std::byte> around(align_up(offset + count, sector_bytes) - begin);
        TRYV(disk_.read({begin}, around));
        std::memcpy(around.data() + (offset - begin), data, count);
        return disk_.write({begin}, around);
    }

    /// A length in bytes rather than blocks, as libext2fs gives it for the superblock. REQUIRES: a multiple of 512.
    result<void> read_bytes(std::uint64_t offset, std::size_t count, std::byte* out) {
        TRYV(write_back());
        return disk_.read({offset}, {out, count});
    }

    result<void> discard(std::uint64_t first, std::uint64_t count) {
        cache_.erase(cache_.lower_bound(first), cache_.lower_bound(first + count));
        return disk_.discard({first * block_bytes_}, {count * block_bytes_});
    }

    result<void> write_back() {
        std::vector<std::byte> run;
        std::uint64_t run_first = 0;
        for (auto& [number, cached] : cache_) {
            if (!cached.dirty) continue;
            const bool joins =
                !run.empty() && number == run_first + run.size() / block_bytes_ && run.size() < longest_write;
            if (!joins && !run.empty()) {
                TRYV(disk_.write({run_first * block_bytes_}, run));
                run.clear();
            }
            if (run.empty()) run_first = number;
            run.insert(run.end(), cached.bytes.begin(), cached.bytes.end());
        }
        if (!run.empty()) {
            TRYV(disk_.write({run_first * block_bytes_}, run));
        }
        for (auto& [number, cached] : cache_) cached.dirty = false;
        return {};
    }

    result<void> flush() {
        TRYV(write_back());
        return disk_.flush();
    }

    std::uint32_t block_bytes() const { return block_bytes_; }

    std::optional<failure> last_failure;

private:
    struct block {
        std::vector<std::byte> bytes;
        bool dirty = false;
    };

    result<void> make_room() {
        if (cache_.size() < cached_blocks) return {};
        TRYV(write_back());
        cache_.clear();
        return {};
    }

    sync_disk& disk_;
    std::uint32_t block_bytes_ = 1024;
    std::map<std::uint64_t, block> cache_;
};

channel_state& state_of(io_channel channel) {
    return *static_cast<channel_state*>(channel->private_data);
}

errcode_t report(io_channel channel, result<void> outcome, errcode_t code) {
    if (outcome) return 0;
    state_of(channel).last_failure = std::move(outcome).error();
    return state_of(channel).last_failure->is(errc::out_of_space) ? ENOSPC : code;
}

errcode_t read_64(io_channel channel, unsigned long long block, int count, void* data) {
    auto& state = state_of(channel);
    auto* out = static_cast<std::byte*>(data);
    if (count < 0)
        return report(channel, state.read_bytes(block * state.block_bytes(), static_cast<std::size_t>(-count), out),
                      EXT2_ET_SHORT_READ);
    return report(channel, state.read_blocks(block, static_cast<std::size_t>(count), out), EXT2_ET_SHORT_READ);
}

errcode_t write_64(io_channel channel, unsigned long long block, int count, const void* data) {
    auto& state = state_of(channel);
    const auto* bytes = static_cast<const std::byte*>(data);
    if (count < 0)
        return report(channel, state.write_bytes(block * state.block_bytes(), static_cast<std::size_t>(-count), bytes),
                      EXT2_ET_SHORT_WRITE);
    return report(channel, state.write_blocks(block, static_cast<std::size_t>(count), bytes), EXT2_ET_SHORT_WRITE);
}

errcode_t read_32(io_channel channel, unsigned long block, int count, void* data) {
    return read_64(channel, block, count, data);
}

errcode_t write_32(io_channel channel, unsigned long block, int count, const void* data) {
    return write_64(channel, block, count, data);
}

errcode_t write_byte(io_channel channel, unsigned long offset, int count, const void* data) {
    return report(
        channel,
        state_of(channel).write_bytes(offset, static_cast<std::size_t>(count), static_cast<const std::byte*>(data)),
        EXT2_ET_SHORT_WRITE);
}

errcode_t set_block_size(io_channel channel, int bytes) {
    const auto outcome =
        report(channel, state_of(channel).set_block_bytes(static_cast<std::uint32_t>(bytes)), EXT2_ET_SHORT_WRITE);
    channel->block_size = bytes;
    return outcome;
}

errcode_t flush(io_channel channel) {
    return report(channel, state_of(channel).flush(), EXT2_ET_SHORT_WRITE);
}

errcode_t discard(io_channel channel, unsigned long long block, unsigned long long count) {
    return report(channel, state_of(channel).discard(block, count), EXT2_ET_SHORT_WRITE);
}

errcode_t read_ahead(io_channel, unsigned long long, unsigned long long) {
    return 0;
}

errcode_t set_option(io_channel, const char*, const char*) {
    return EXT2_ET_INVALID_ARGUMENT;
}

errcode_t close_channel(io_channel channel) {
    if (--channel->refcount > 0) return 0;
    const auto outcome = report(channel, state_of(channel).write_back(), EXT2_ET_SHORT_WRITE);
    delete static_cast<channel_state*>(channel->private_data);
    // libext2fs's convention: a channel and its name are from ext2fs_get_mem.
    ext2fs_free_mem(&channel->name);
    ext2fs_free_mem(&channel);
    return outcome;
}

errcode_t open_channel(const char* name, int, io_channel* opened) {
    if (current_disk == nullptr) return EXT2_ET_BAD_DEVICE_NAME;
    io_channel channel = nullptr;
    if (const auto code = ext2fs_get_memzero(sizeof(struct_io_channel), &channel)) return code;
    const auto length = std::strlen(name) + 1;
    if (const auto code = ext2fs_get_mem(length, &channel->name)) {
        ext2fs_free_mem(&channel);
        return code;
    }
    std::memcpy(channel->name, name, length);
    channel->magic = EXT2_ET_MAGIC_IO_CHANNEL;
    channel->manager = disk_io_scope::manager();
    channel->block_size = 1024;
    channel->refcount = 1;
    channel->flags = CHANNEL_FLAGS_DISCARD_ZEROES;
    channel->private_data = new channel_state(*current_disk);
    *opened = channel;
    return 0;
}

struct_io_manager make_manager() {
    initialize_ext2_error_table();  // for error_message()
    struct_io_manager manager{};
    manager.magic = EXT2_ET_MAGIC_IO_MANAGER;
    manager.name = "overlaybd disk";
    manager.open = open_channel;
    manager.close = close_channel;
    manager.set_blksize = set_block_size;
    manager.read_blk = read_32;
    manager.write_blk = write_32;
    manager.flush = flush;
    manager.write_byte = write_byte;
    manager.set_option = set_option;
    manager.read_blk64 = read_64;
    manager.write_blk64 = write_64;
    manager.discard = discard;
    manager.cache_readahead = read_ahead;
    manager.zeroout = discard;
    return manager;
}

}  // namespace

disk_io_scope::disk_io_scope(sync_disk& disk) : previous_(std::exchange(current_disk, &disk)) {}
disk_io_scope::~disk_io_scope() {
    current_disk = previous_;
}

io_manager disk_io_scope::manager() {
    static struct_io_manager manager = make_manager();
    return &manager;
}

std::optional<failure> take_disk_failure(io_channel channel) {
    return std::exchange(state_of(channel).last_failure, std::nullopt);
}

failure ext4_failure(errcode_t code, std::string context, io_channel channel) {
    if (channel != nullptr) {
        if (auto from_disk = take_disk_failure(channel)) return in_context(*std::move(from_disk), context);
    }
    if (code == EXT2_ET_BLOCK_ALLOC_FAIL || code == EXT2_ET_INODE_ALLOC_FAIL || code == EXT2_ET_EA_NO_SPACE ||
        code == ENOSPC) {
        const char* what = code == EXT2_ET_INODE_ALLOC_FAIL ? "no inode is left in the file system"
                           : code == EXT2_ET_EA_NO_SPACE    ? "extended attributes take more than one block"
                                                            : "the file system is full";
        return fail(errc::out_of_space, std::move(context) + ": " + what);
    }
    if (code == ENOMEM || code == EXT2_ET_NO_MEMORY)
        return fail(errc::limit_exceeded, std::move(context) + ": out of memory");
    // The rest is damage that libext2fs found.
    return fail(errc::corrupt, std::move(context) + ": ext4: " + error_message(code));
}

}  // namespace obd::fs

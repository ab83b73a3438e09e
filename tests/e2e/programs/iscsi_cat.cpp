// iscsi-cat URL PATH: prints a file of the ext4 file system on an iSCSI LUN; reads only the blocks that it needs.
//
// Two libraries of others do the work: libiscsi is the initiator, libext2fs knows the file system; this file joins them
// by an io_manager whose blocks are READ(16) commands.
#include <ext2fs/ext2fs.h>
#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>

#include <array>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

namespace {

struct disk {
    iscsi_context* context = nullptr;
    int lun = 0;
    int sector_bytes = 512;
};
disk opened;  // an io_manager's open() gets a name and nothing else

bool connect_disk(const char* address) {
    opened.context = iscsi_create_context("iqn.2026-11.io.overlaybd.test:iscsi-cat");
    iscsi_url* url = iscsi_parse_full_url(opened.context, address);
    if (url == nullptr) return false;
    iscsi_set_targetname(opened.context, url->target);
    iscsi_set_session_type(opened.context, ISCSI_SESSION_NORMAL);
    opened.lun = url->lun;
    const bool connected = iscsi_full_connect_sync(opened.context, url->portal, url->lun) == 0;
    iscsi_destroy_url(url);
    return connected;
}

errcode_t read_blocks(io_channel channel, unsigned long long block, int count, void* data) {
    // A negative count is a number of bytes.
    const auto bytes = count < 0 ? static_cast<std::uint64_t>(-count)
                                 : static_cast<std::uint64_t>(count) * static_cast<unsigned>(channel->block_size);
    const std::uint64_t offset = block * static_cast<unsigned>(channel->block_size);
    const auto sector = static_cast<unsigned>(opened.sector_bytes);
    const std::uint64_t lead = offset % sector;
    const std::uint64_t whole = (lead + bytes + sector - 1) / sector * sector;
    scsi_task* task = iscsi_read16_sync(opened.context, opened.lun, offset / sector, static_cast<std::uint32_t>(whole),
                                        opened.sector_bytes, 0, 0, 0, 0, 0);
    if (task == nullptr) return EXT2_ET_SHORT_READ;
    const bool good = task->status == SCSI_STATUS_GOOD && static_cast<std::uint64_t>(task->datain.size) == whole;
    if (good) std::memcpy(data, task->datain.data + lead, bytes);
    scsi_free_scsi_task(task);
    return good ? 0 : EXT2_ET_SHORT_READ;
}

errcode_t read_blocks_32(io_channel channel, unsigned long block, int count, void* data) {
    return read_blocks(channel, block, count, data);
}
errcode_t refuse_write(io_channel, unsigned long, int, const void*) {
    return EXT2_ET_RO_FILSYS;
}
errcode_t set_block_size(io_channel channel, int bytes) {
    channel->block_size = bytes;
    return 0;
}
errcode_t flush(io_channel) {
    return 0;
}
errcode_t close_channel(io_channel channel) {
    if (--channel->refcount == 0) std::free(channel);
    return 0;
}
errcode_t open_channel(const char*, int, io_channel* channel);

struct_io_manager make_manager() {
    struct_io_manager manager{};
    manager.magic = EXT2_ET_MAGIC_IO_MANAGER;
    manager.name = "iSCSI";
    manager.open = open_channel;
    manager.close = close_channel;
    manager.set_blksize = set_block_size;
    manager.read_blk = read_blocks_32;
    manager.read_blk64 = read_blocks;
    manager.write_blk = refuse_write;
    manager.flush = flush;
    return manager;
}
struct_io_manager manager = make_manager();

errcode_t open_channel(const char*, int, io_channel* channel) {
    *channel = static_cast<io_channel>(std::calloc(1, sizeof(struct_io_channel)));
    if (*channel == nullptr) return EXT2_ET_NO_MEMORY;
    (*channel)->magic = EXT2_ET_MAGIC_IO_CHANNEL;
    (*channel)->manager = &manager;
    (*channel)->block_size = 1024;
    (*channel)->refcount = 1;
    return 0;
}

errcode_t print_file(ext2_filsys system, const char* path) {
    ext2_ino_t inode = 0;
    errcode_t error = ext2fs_namei_follow(system, EXT2_ROOT_INO, EXT2_ROOT_INO, path, &inode);
    if (error != 0) return error;
    ext2_file_t file = nullptr;
    error = ext2fs_file_open(system, inode, 0, &file);
    if (error != 0) return error;
    std::vector<char> buffer(1 << 20);
    unsigned got = 0;
    do {
        error = ext2fs_file_read(file, buffer.data(), static_cast<unsigned>(buffer.size()), &got);
        if (error == 0 && std::fwrite(buffer.data(), 1, got, stdout) != got) error = EIO;
    } while (error == 0 && got > 0);
    ext2fs_file_close(file);
    return error;
}

}  // namespace

int main(int count, char** words) {
    if (count != 3) {
        std::fprintf(stderr, "iscsi-cat iscsi://HOST:PORT/TARGET/LUN PATH\n");
        return 2;
    }
    if (!connect_disk(words[1])) {
        std::fprintf(stderr, "iscsi-cat: %s: %s\n", words[1], iscsi_get_error(opened.context));
        return 1;
    }
    initialize_ext2_error_table();
    ext2_filsys system = nullptr;
    errcode_t error = ext2fs_open("iscsi", EXT2_FLAG_64BITS, 0, 0, &manager, &system);
    if (error == 0) {
        error = print_file(system, words[2]);
        ext2fs_close_free(&system);
    }
    if (error != 0) std::fprintf(stderr, "iscsi-cat: %s: %s\n", words[2], error_message(error));
    iscsi_logout_sync(opened.context);
    iscsi_destroy_context(opened.context);
    return error == 0 ? 0 : 1;
}

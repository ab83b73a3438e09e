// Gives libext2fs a sync_disk to work on: an io_manager with a write-back cache of single blocks.
#pragma once

#include <ext2fs/ext2fs.h>

#include <optional>
#include <string>

#include "base/result.hpp"
#include "layers/fs/sync_disk.hpp"

namespace obd::fs {

/// Lets libext2fs's open and initialise functions on this thread use `disk` under the name disk_io_name, as long as the
/// object lives. (They take a name and a manager that is shared by all; there is no way to pass an object.) The channel
/// that they make keeps using `disk` afterwards.
class disk_io_scope {
public:
    explicit disk_io_scope(sync_disk& disk);
    ~disk_io_scope();
    disk_io_scope(const disk_io_scope&) = delete;
    disk_io_scope& operator=(const disk_io_scope&) = delete;

    static io_manager manager();

private:
    sync_disk* previous_;
};

inline constexpr const char* disk_io_name = "disk";

/// Why the channel's last operation failed, if the disk said so. Clears it.
std::optional<failure> take_disk_failure(io_channel channel);

/// From an error code of libext2fs; says what the disk said when that is behind it. REQUIRES: code != 0.
failure ext4_failure(errcode_t code, std::string context, io_channel channel = nullptr);

}  // namespace obd::fs

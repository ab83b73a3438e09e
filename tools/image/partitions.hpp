// Partition tables of disk images, as far as finding the one with the file system goes: MBR (primary partitions) and
// GPT (UEFI Specification, "GUID Partition Table").
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "base/units.hpp"

namespace obd::tools {

struct partition {
    byte_offset begin;
    byte_count size;  ///< of the whole disk when it has no table
};

using disk_reader = std::function<result<void>(byte_offset, mutable_bytes)>;

/// Within the disk; sectors of 512 bytes. No table: none. corrupt: a table that leads outside.
result<std::vector<partition>> find_partitions(byte_count disk, const disk_reader& read);

/// Whether ext2/3/4, XFS, Btrfs or F2FS begins there.
result<bool> has_file_system(const partition& part, const disk_reader& read);

/// The largest partition with a file system; the whole disk when it has one itself. not_found else.
result<partition> find_root(byte_count disk, const disk_reader& read);

}  // namespace obd::tools

// Disk images of virtual machines as input: qcow2 and whatever else qemu-img reads, and raw ones.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "tools/image/partitions.hpp"
#include "tools/image/scratch_directory.hpp"

namespace obd::tools {

/// Which part of the disk is wanted.
enum class disk_part { root_file_system, whole };

/// Blocks. One thread at a time.
class disk_image {
public:
    /// Anything but a raw image is made one by qemu-img, as a sparse file in `scratch`. A raw one is read where it is.
    static result<disk_image> open(const std::filesystem::path& path, disk_part part,
                                   const std::filesystem::path& scratch);
    disk_image(disk_image&& other) noexcept;
    disk_image& operator=(disk_image&&) = delete;
    ~disk_image();

    /// Of the part; rounded up to whole blocks of 4096 bytes.
    byte_count size() const;
    /// Calls `take` with the stretches that are not all zeros, ascending; offsets within the part, multiples of 4096.
    result<void> for_data(const std::function<result<void>(byte_offset, const_bytes)>& take) const;

    /// By the magic number of qcow2, the only format besides raw that is told by looking.
    static bool is_qcow2(const std::filesystem::path& path);

private:
    disk_image(int descriptor, std::optional<scratch_directory> scratch)
        : descriptor_(descriptor), scratch_(std::move(scratch)) {}
    result<void> read(byte_offset at, mutable_bytes out) const;

    int descriptor_;
    std::optional<scratch_directory> scratch_;
    partition part_{};
};

}  // namespace obd::tools

// A disk whose operations block, for the file system code: libext2fs is synchronous. Adapters put it over memory, a
// file, a block_device, or as a scratch layer over another disk.
#pragma once

#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <filesystem>
#include <memory>

#include "base/block_device.hpp"
#include "base/bytes.hpp"
#include "base/result.hpp"
#include "base/units.hpp"

namespace obd::fs {

/// Used by one thread at a time. Ranges lie within the disk: anything else fails with out_of_range. Offsets and lengths
/// are multiples of 512.
class sync_disk {
public:
    virtual ~sync_disk() = default;

    virtual byte_count size() const noexcept = 0;
    virtual result<void> read(byte_offset offset, mutable_bytes out) = 0;
    virtual result<void> write(byte_offset offset, const_bytes data) = 0;
    /// The range reads as zeros afterwards.
    virtual result<void> discard(byte_offset offset, byte_count count) = 0;
    /// Nobody needs what the range holds any more (a deleted file): it may read as anything. A hint.
    virtual void forget(byte_offset offset, byte_count count) noexcept {
        static_cast<void>(offset);
        static_cast<void>(count);
    }
    virtual result<void> flush() = 0;

protected:
    result<void> check_range(byte_offset offset, std::uint64_t count) const;
};

/// Sparse: only 64 KiB stretches that were written occupy memory.
std::unique_ptr<sync_disk> make_memory_disk(byte_count size);

/// A raw image or a device node, with its present size. Locks it against a second writer (busy).
result<std::unique_ptr<sync_disk>> open_file_disk(const std::filesystem::path& path);

/// Runs the device's awaitables on a private event loop until each is done. The device outlives the disk, and nothing
/// that it needs may wait for the calling thread.
std::unique_ptr<sync_disk> make_device_disk(block_device& device);

}  // namespace obd::fs

// A virtual disk. layers/ makes them, protocol/net runs SCSI commands on them.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/blob_source.hpp"
#include "base/bytes.hpp"
#include "base/result.hpp"
#include "base/units.hpp"

namespace obd {

enum class access_mode { read_only, read_write };

/// When a write counts as done.
enum class durability {
    write_back,         ///< may be lost by a power failure until the next flush
    force_unit_access,  ///< on stable storage when the call completes
};

/// What a device is, as SCSI reports it. The size may grow while the device is in use; the rest is fixed.
struct device_geometry {
    byte_count size;  ///< a multiple of logical_block_bytes
    std::uint32_t logical_block_bytes = 512;
    std::uint32_t physical_block_bytes = 512;  ///< written whole without a look at what lies beside it
    access_mode access = access_mode::read_only;
    std::uint32_t discard_granularity_bytes = 0;  ///< 0: discard is not supported
    std::uint32_t max_atomic_write_bytes = 0;     ///< 0: only single logical blocks are all or nothing after a crash
    std::uint32_t optimal_transfer_bytes = 0;     ///< 0: none reported
    std::uint32_t preferred_granularity_bytes = 4096;  ///< whole, aligned multiples of it cost least
    bool erasable = false;                             ///< erase() works
};

/// What a device that allocates as it is written to occupies.
struct device_usage {
    byte_count used;
    std::optional<byte_count> available = {};  ///< what a quota leaves; nothing: only the host's storage limits it
};

/// One stretch of a device, for GET LBA STATUS and for copying only what is there.
struct device_extent {
    enum class kind {
        data,         ///< some layer has data here
        deallocated,  ///< reads as zeros and occupies nothing
    };
    byte_offset offset;
    byte_count length;
    kind state;
};

/// The first byte at which COMPARE AND WRITE or VERIFY found a difference.
struct miscompare {
    byte_offset offset;
};

/// Thread-safe: every member may be called from any thread at any time, calls overlap freely. Buffers are borrowed
/// until the operation completes; awaitables complete on the caller's executor. Offsets and lengths are multiples of
/// the logical block and lie within the device: the caller has checked (anything else fails with out_of_range or
/// invalid_argument).
///
/// Ordering: operations that overlap in range and in time take effect one after the other, in some order; an operation
/// started after another completed sees its effect.
class block_device {
public:
    virtual ~block_device() = default;

    virtual device_geometry geometry() const noexcept = 0;

    /// Nothing for a device that occupies none of its own. Never blocks.
    virtual std::optional<device_usage> usage() const noexcept { return std::nullopt; }

    /// The hot path: completes the read in place if nothing has to be waited for. Never blocks, never allocates.
    virtual attempt try_read(byte_offset offset, mutable_bytes out) noexcept = 0;
    virtual asio::awaitable<result<void>> read(byte_offset offset, mutable_bytes out) = 0;

    /// Like try_read, for a write_back write. What was written by an attempt that would block is not visible.
    virtual attempt try_write(byte_offset offset, const_bytes data) noexcept {
        static_cast<void>(offset);
        static_cast<void>(data);
        return attempt::would_block;
    }
    /// Fails with read_only, out_of_space, io_error. After a crash each logical block is either old or new.
    virtual asio::awaitable<result<void>> write(byte_offset offset, const_bytes data, durability when) = 0;
    /// As write(), but after a crash the whole is either old or new. REQUIRES: data.size() <= max_atomic_write_bytes.
    virtual asio::awaitable<result<void>> write_atomic(byte_offset offset, const_bytes data, durability when) = 0;
    /// Writes `data` where the device holds `expected`, as one step; else writes nothing and tells where they differ.
    virtual asio::awaitable<result<std::optional<miscompare>>> compare_and_write(byte_offset offset,
                                                                                 const_bytes expected, const_bytes data,
                                                                                 durability when) = 0;
    /// The range reads as zeros afterwards, also after a re-open, and occupies no space where that can be.
    virtual asio::awaitable<result<void>> discard(byte_offset offset, byte_count count) = 0;
    /// As a discard of the whole device, and what was written to it before is gone from the device's own storage: its
    /// files hold none of it any more. What the device only shares with others, as the layers of an image, stays where
    /// it is, hidden. On stable storage when it completes; after a failure anything may have been discarded.
    virtual asio::awaitable<result<void>> erase() { co_return fail(errc::unsupported, "this device cannot be erased"); }
    /// All writes and discards that completed before this call are on stable storage when it completes.
    virtual asio::awaitable<result<void>> flush() = 0;

    /// The stretches of [offset, offset + count), in order and without gaps, at most `limit` of them, neighbours of one
    /// kind joined. Touches no data.
    virtual asio::awaitable<result<std::vector<device_extent>>> extents(byte_offset offset, byte_count count,
                                                                        std::size_t limit) = 0;

    /// Brings the range near (PRE-FETCH): completes when a read of it would not go to the network, or fails as a read
    /// would.
    virtual asio::awaitable<result<void>> prefetch(byte_offset offset, byte_count count) = 0;
};

}  // namespace obd

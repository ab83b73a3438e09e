// Operations that were given up on at their deadline, but whose device has not returned: it may change the medium yet.
// Until it has, nobody reads or writes the same range, so that a late write neither overtakes a newer one nor is seen
// to come. Thread-safe; shared by all sessions.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <vector>

#include "base/block_device.hpp"
#include "protocol/scsi/task.hpp"

namespace obd::iscsi {

class late_operations {
public:
    enum class ticket : std::uint64_t {};

    /// `held_bytes` is the memory that the operation keeps until its device returns.
    ticket add(const block_device& device, const scsi::operation& what, std::size_t held_bytes);
    void remove(ticket one);

    /// True when `what` must not run on `device` now: it overlaps a late operation, or would take more memory than a
    /// device that does not answer may have. One atomic load when there is none.
    bool stand_in_the_way_of(const block_device& device, const scsi::operation& what) const {
        return count_.load(std::memory_order_acquire) != 0 && look(device, what);
    }

private:
    struct late_range {
        ticket of;
        const block_device* device;
        scsi::byte_range range;
        std::size_t held_bytes;
    };
    bool look(const block_device& device, const scsi::operation& what) const;

    mutable std::mutex mutex_;
    std::vector<late_range> ranges_;
    std::uint64_t next_ = 1;
    std::atomic<std::size_t> count_{0};
};

}  // namespace obd::iscsi

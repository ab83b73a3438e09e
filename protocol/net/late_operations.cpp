#include "protocol/net/late_operations.hpp"

#include <algorithm>

namespace obd::iscsi {
namespace {

// What one device that does not answer may keep of Data-Out.
constexpr std::size_t held_limit = 64 << 20;

struct touched {
    const block_device* device;
    scsi::byte_range range;
};

std::vector<touched> ranges_of(const block_device& device, const scsi::operation& what) {
    std::vector<touched> found;
    for (const auto& range : what.ranges) found.push_back({&device, range});
    for (const auto& segment : what.copies) {
        found.push_back({segment.source.get(), {segment.from, segment.count}});
        found.push_back({segment.destination.get(), {segment.to, segment.count}});
    }
    if (!found.empty()) return found;
    const std::uint64_t data = std::max(what.data_in_bytes, what.data_out_bytes);
    return {{&device, {what.offset, byte_count{std::max(what.count.value, data)}}}};
}

bool overlap(const scsi::byte_range& a, const scsi::byte_range& b) {
    return a.offset.value < b.offset.value + b.count.value && b.offset.value < a.offset.value + a.count.value;
}

}  // namespace

late_operations::ticket late_operations::add(const block_device& device, const scsi::operation& what,
                                             std::size_t held_bytes) {
    const std::lock_guard lock(mutex_);
    const ticket one{next_++};
    for (const auto& [on, range] : ranges_of(device, what)) {
        ranges_.push_back({one, on, range, held_bytes});
        held_bytes = 0;  // counted once
    }
    count_.store(ranges_.size(), std::memory_order_release);
    return one;
}

void late_operations::remove(ticket one) {
    const std::lock_guard lock(mutex_);
    std::erase_if(ranges_, [one](const late_range& late) { return late.of == one; });
    count_.store(ranges_.size(), std::memory_order_release);
}

bool late_operations::look(const block_device& device, const scsi::operation& what) const {
    const std::lock_guard lock(mutex_);
    std::size_t held = what.data_out_bytes;
    for (const auto& late : ranges_) {
        if (late.device == &device) held += late.held_bytes;
    }
    if (what.data_out_bytes != 0 && held > held_limit) return true;
    for (const auto& mine : ranges_of(device, what)) {
        for (const auto& late : ranges_) {
            if (late.device == mine.device && overlap(late.range, mine.range)) return true;
        }
    }
    return false;
}

}  // namespace obd::iscsi

// Unit attention conditions that wait for one I_T nexus. SAM-5 §5.14.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "protocol/scsi/task.hpp"

namespace obd::scsi {

/// Additional sense code and qualifier of a unit attention.
struct attention {
    std::uint8_t asc;
    std::uint8_t ascq;

    bool operator==(const attention&) const = default;
    sense as_sense() const { return {.key = sense_key::unit_attention, .asc = asc, .ascq = ascq}; }
};

namespace attentions {
inline constexpr attention medium_changed{0x28, 0x00};  // NOT READY TO READY CHANGE, MEDIUM MAY HAVE CHANGED
inline constexpr attention power_on{0x29, 0x00};
inline constexpr attention unit_reset{0x29, 0x03};  // BUS DEVICE RESET FUNCTION OCCURRED
inline constexpr attention nexus_loss{0x29, 0x07};  // I_T NEXUS LOSS OCCURRED
inline constexpr attention mode_parameters_changed{0x2a, 0x01};
inline constexpr attention reservations_preempted{0x2a, 0x03};
inline constexpr attention reservations_released{0x2a, 0x04};
inline constexpr attention registrations_preempted{0x2a, 0x05};
inline constexpr attention capacity_changed{0x2a, 0x09};
inline constexpr attention commands_cleared{0x2f, 0x00};  // COMMANDS CLEARED BY ANOTHER INITIATOR
inline constexpr attention luns_changed{0x3f, 0x0e};      // REPORTED LUNS DATA HAS CHANGED
}  // namespace attentions

/// Bounded by the number of different codes, since a code waits once. Not thread-safe.
class attention_queue {
public:
    /// A reset makes what happened before it moot, and goes first.
    void add(attention what) {
        if (what.asc == 0x29) waiting_.clear();
        remove(what);
        waiting_.push_back(what);
    }
    void remove(attention what) { std::erase(waiting_, what); }
    std::optional<attention> take() {
        if (waiting_.empty()) return {};
        const auto first = waiting_.front();
        waiting_.erase(waiting_.begin());
        return first;
    }
    bool empty() const { return waiting_.empty(); }
    /// What waits, oldest first.
    const std::vector<attention>& waiting() const { return waiting_; }

private:
    std::vector<attention> waiting_;
};

}  // namespace obd::scsi

// The CmdSN window of a session. RFC 7143 §4.2.2.1. Pure.
#pragma once

#include "protocol/iscsi/serial32.hpp"

namespace obd::iscsi {

/// ExpCmdSN .. MaxCmdSN: what the target will take. A command that is taken moves ExpCmdSN on, one that ends moves
/// MaxCmdSN on; both only grow, so neither ever goes back.
class command_window {
public:
    enum class verdict {
        in_order,  ///< it is ExpCmdSN's turn: taken
        ahead,     ///< inside the window, but others are missing before it
        outside,   ///< "The target MUST silently ignore any non-immediate command outside of this range"
    };

    command_window(serial32 first, std::uint32_t size) : expected_(first), max_(first + (size - 1)) {}

    /// A non-immediate command came.
    verdict accept(serial32 cmd_sn) {
        if (cmd_sn == expected_ && !before(max_, cmd_sn)) {
            ++expected_;
            return verdict::in_order;
        }
        if (before(cmd_sn, expected_) || before(max_, cmd_sn)) return verdict::outside;
        return verdict::ahead;
    }
    /// A non-immediate command that was taken has ended: there is room for one more.
    void release() { ++max_; }

    serial32 expected() const { return expected_; }
    serial32 max() const { return max_; }

private:
    serial32 expected_;
    serial32 max_;
};

}  // namespace obd::iscsi

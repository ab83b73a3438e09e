// What a login has agreed on. RFC 7143 §13; the initial values are the defaults of the standard.
#pragma once

#include <cstdint>

#include "base/limits.hpp"

namespace obd::iscsi {

enum class session_type : std::uint8_t { normal, discovery };

struct session_parameters {
    session_type type = session_type::normal;
    bool header_digest = false;  ///< CRC32C
    bool data_digest = false;
    bool initial_r2t = true;
    bool immediate_data = true;
    bool data_pdu_in_order = true;
    bool data_sequence_in_order = true;
    bool fast_abort = false;  ///< TaskReporting=FastAbort; otherwise RFC3720 or ResponseFence, which are one here
    std::uint32_t initiator_max_recv_bytes = 8192;  ///< the longest data segment we may send
    std::uint32_t target_max_recv_bytes = 8192;     ///< the longest one the initiator may send
    std::uint32_t max_burst_bytes = 262144;
    std::uint32_t first_burst_bytes = 65536;
    std::uint32_t max_outstanding_r2t = 1;
    std::uint32_t max_connections = 1;
    std::uint32_t error_recovery_level = 0;
    std::uint32_t default_time2wait = 2;
    std::uint32_t default_time2retain = 20;
    std::uint32_t protocol_level = 1;
};

/// What this target wants of the values that are negotiated.
struct target_preferences {
    std::uint32_t max_recv_bytes = limits::max_recv_data_segment_bytes;
    std::uint32_t max_burst_bytes = limits::max_burst_bytes;
    std::uint32_t first_burst_bytes = limits::first_burst_bytes;
    std::uint32_t max_outstanding_r2t = 8;
    bool initial_r2t = false;
    bool immediate_data = true;
};

}  // namespace obd::iscsi

// The text keys of RFC 7143 §13 (and §12 for authentication), one row each. Everything that login and text negotiation
// know about a key is here.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "protocol/iscsi/parameters.hpp"

namespace obd::iscsi {

enum class key_id : std::uint8_t {
    auth_method,
    chap_a,
    chap_i,
    chap_c,
    chap_n,
    chap_r,
    header_digest,
    data_digest,
    max_connections,
    send_targets,
    target_name,
    initiator_name,
    target_alias,
    initiator_alias,
    target_address,
    target_portal_group_tag,
    initial_r2t,
    immediate_data,
    max_recv_data_segment_length,
    max_burst_length,
    first_burst_length,
    default_time2wait,
    default_time2retain,
    max_outstanding_r2t,
    data_pdu_in_order,
    data_sequence_in_order,
    error_recovery_level,
    session_type,
    task_reporting,
    protocol_level,
    of_marker,
    if_marker,
    of_mark_int,
    if_mark_int,
};

/// How the answer follows from the offer. §6.2.
enum class merge_rule : std::uint8_t {
    handled_apart,  ///< login.cpp and session.cpp do it: names, authentication, SendTargets
    declared,       ///< the sender states it; there is no answer
    minimum,
    maximum,
    logical_and,
    logical_or,
    first_known,     ///< of a list, the first that this target knows
    target_only,     ///< an initiator that sends it breaks the protocol
    obsolete_flag,   ///< §13.25: "No"
    obsolete_range,  ///< §13.25: "Reject"
};

/// Where the key may be sent.
namespace stage_bit {
inline constexpr std::uint8_t security = 1, operational = 2, full_feature = 4;
inline constexpr std::uint8_t login = security | operational, any = login | full_feature;
}  // namespace stage_bit

enum class in_discovery : std::uint8_t { relevant, irrelevant };

struct key_row {
    key_id id;
    std::string_view name;
    std::string_view clause;
    merge_rule rule;
    std::uint8_t when;
    in_discovery discovery = in_discovery::relevant;
    std::uint32_t low = 0, high = 0;                             ///< of numbers
    std::uint32_t session_parameters::*number = nullptr;         ///< where a number goes
    bool session_parameters::*flag = nullptr;                    ///< where a boolean or a digest goes
    std::uint32_t target_preferences::*wanted_number = nullptr;  ///< nothing: `low` is what we want
    bool target_preferences::*wanted_flag = nullptr;             ///< nothing: true
    std::string_view known = {};                                 ///< of lists
    std::string_view sets_flag = {};                             ///< the item of a list that `flag` stands for
};

inline constexpr auto key_rows = [] {
    using enum key_id;
    using r = merge_rule;
    using p = session_parameters;
    using w = target_preferences;
    constexpr auto no = in_discovery::irrelevant;
    constexpr auto yes = in_discovery::relevant;
    namespace s = stage_bit;
    return std::array{
        key_row{auth_method, "AuthMethod", "§12", r::handled_apart, s::security},
        key_row{chap_a, "CHAP_A", "§12.1.3", r::handled_apart, s::security},
        key_row{chap_i, "CHAP_I", "§12.1.3", r::handled_apart, s::security},
        key_row{chap_c, "CHAP_C", "§12.1.3", r::handled_apart, s::security},
        key_row{chap_n, "CHAP_N", "§12.1.3", r::handled_apart, s::security},
        key_row{chap_r, "CHAP_R", "§12.1.3", r::handled_apart, s::security},
        key_row{header_digest, "HeaderDigest", "§13.1", r::first_known, s::operational, yes, 0, 0, nullptr,
                &p::header_digest, nullptr, nullptr, "CRC32C,None", "CRC32C"},
        key_row{data_digest, "DataDigest", "§13.1", r::first_known, s::operational, yes, 0, 0, nullptr, &p::data_digest,
                nullptr, nullptr, "CRC32C,None", "CRC32C"},
        key_row{max_connections, "MaxConnections", "§13.2", r::minimum, s::operational, no, 1, 65535,
                &p::max_connections},
        key_row{send_targets, "SendTargets", "§13.3", r::handled_apart, s::full_feature},
        key_row{target_name, "TargetName", "§13.4", r::handled_apart, s::login},
        key_row{initiator_name, "InitiatorName", "§13.5", r::handled_apart, s::login},
        key_row{target_alias, "TargetAlias", "§13.6", r::target_only, s::any},
        key_row{initiator_alias, "InitiatorAlias", "§13.7", r::handled_apart, s::any},
        key_row{target_address, "TargetAddress", "§13.8", r::target_only, s::any},
        key_row{target_portal_group_tag, "TargetPortalGroupTag", "§13.9", r::target_only, s::login},
        key_row{initial_r2t, "InitialR2T", "§13.10", r::logical_or, s::operational, no, 0, 0, nullptr, &p::initial_r2t,
                nullptr, &w::initial_r2t},
        key_row{immediate_data, "ImmediateData", "§13.11", r::logical_and, s::operational, no, 0, 0, nullptr,
                &p::immediate_data, nullptr, &w::immediate_data},
        key_row{max_recv_data_segment_length, "MaxRecvDataSegmentLength", "§13.12", r::declared,
                s::operational | s::full_feature, yes, 512, 16777215, &p::initiator_max_recv_bytes},
        key_row{max_burst_length, "MaxBurstLength", "§13.13", r::minimum, s::operational, no, 512, 16777215,
                &p::max_burst_bytes, nullptr, &w::max_burst_bytes},
        key_row{first_burst_length, "FirstBurstLength", "§13.14", r::minimum, s::operational, no, 512, 16777215,
                &p::first_burst_bytes, nullptr, &w::first_burst_bytes},
        key_row{default_time2wait, "DefaultTime2Wait", "§13.15", r::maximum, s::operational, yes, 0, 3600,
                &p::default_time2wait},
        key_row{default_time2retain, "DefaultTime2Retain", "§13.16", r::minimum, s::operational, yes, 0, 3600,
                &p::default_time2retain},
        key_row{max_outstanding_r2t, "MaxOutstandingR2T", "§13.17", r::minimum, s::operational, no, 1, 65535,
                &p::max_outstanding_r2t, nullptr, &w::max_outstanding_r2t},
        key_row{data_pdu_in_order, "DataPDUInOrder", "§13.18", r::logical_or, s::operational, no, 0, 0, nullptr,
                &p::data_pdu_in_order},
        key_row{data_sequence_in_order, "DataSequenceInOrder", "§13.19", r::logical_or, s::operational, no, 0, 0,
                nullptr, &p::data_sequence_in_order},
        key_row{error_recovery_level, "ErrorRecoveryLevel", "§13.20", r::minimum, s::operational, yes, 0, 2,
                &p::error_recovery_level},
        key_row{session_type, "SessionType", "§13.21", r::handled_apart, s::login},
        key_row{task_reporting, "TaskReporting", "§13.23", r::first_known, s::operational, no, 0, 0, nullptr,
                &p::fast_abort, nullptr, nullptr, "FastAbort,ResponseFence,RFC3720", "FastAbort"},
        key_row{protocol_level, "iSCSIProtocolLevel", "§13.24", r::minimum, s::operational, no, 0, 31,
                &p::protocol_level},
        key_row{of_marker, "OFMarker", "§13.25", r::obsolete_flag, s::operational},
        key_row{if_marker, "IFMarker", "§13.25", r::obsolete_flag, s::operational},
        key_row{of_mark_int, "OFMarkInt", "§13.25", r::obsolete_range, s::operational},
        key_row{if_mark_int, "IFMarkInt", "§13.25", r::obsolete_range, s::operational},
    };
}();

/// The row of a key, or nothing: NotUnderstood.
constexpr const key_row* find_key(std::string_view name) {
    for (const auto& row : key_rows) {
        if (row.name == name) return &row;
    }
    return nullptr;
}

/// REQUIRES: rows stand in the order of key_id, which is checked here.
constexpr const key_row& row_of(key_id id) {
    return key_rows[static_cast<std::size_t>(id)];
}
static_assert([] {
    for (std::size_t i = 0; i < key_rows.size(); ++i) {
        if (key_rows[i].id != static_cast<key_id>(i)) return false;
        for (std::size_t j = 0; j < i; ++j) {
            if (key_rows[i].name == key_rows[j].name) return false;
        }
    }
    return true;
}());

}  // namespace obd::iscsi

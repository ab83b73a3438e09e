// Basic header segments: the first 48 bytes of every PDU, byte for byte as RFC 7143 chapter 11 lays them out.
// Codec only. Every struct is copied in and out with load()/store(); reserved fields are zero when sent.
#pragma once

#include <array>
#include <boost/endian/arithmetic.hpp>
#include <cstddef>
#include <cstdint>

namespace obd::iscsi {

namespace wire {
using boost::endian::big_uint16_t;
using boost::endian::big_uint24_t;
using boost::endian::big_uint32_t;
using boost::endian::big_uint64_t;
template <std::size_t Count>
using reserved = std::array<std::uint8_t, Count>;
}  // namespace wire

/// RFC 7143 §11.2.1.2.
enum class opcode : std::uint8_t {
    nop_out = 0x00,
    scsi_command = 0x01,
    task_management_request = 0x02,
    login_request = 0x03,
    text_request = 0x04,
    scsi_data_out = 0x05,
    logout_request = 0x06,
    snack_request = 0x10,
    nop_in = 0x20,
    scsi_response = 0x21,
    task_management_response = 0x22,
    login_response = 0x23,
    text_response = 0x24,
    scsi_data_in = 0x25,
    logout_response = 0x26,
    ready_to_transfer = 0x31,
    async_message = 0x32,
    reject = 0x3f,
};

inline constexpr std::size_t bhs_bytes = 48;
inline constexpr std::size_t digest_bytes = 4;
inline constexpr std::uint32_t reserved_tag = 0xffffffff;  ///< "no task", in ITT and TTT

inline constexpr std::uint8_t opcode_mask = 0x3f;
inline constexpr std::uint8_t immediate_bit = 0x40;  ///< I, in the opcode byte
inline constexpr std::uint8_t final_bit = 0x80;      ///< F, and T of login PDUs
inline constexpr std::uint8_t continue_bit = 0x40;   ///< C of text and login PDUs

/// What all headers share. §11.2.1.
struct basic_bhs {
    std::uint8_t opcode_byte, flags;
    wire::reserved<2> opcode_specific;
    std::uint8_t total_ahs_words;  // 4-byte words
    wire::big_uint24_t data_segment_bytes;
    wire::big_uint64_t lun;
    wire::big_uint32_t initiator_task_tag;
    wire::reserved<4> word5;
    wire::big_uint32_t cmd_sn;       // initiator's command PDUs; elsewhere something else
    wire::big_uint32_t exp_stat_sn;  // every initiator PDU
    wire::reserved<16> rest;

    opcode code() const { return static_cast<opcode>(opcode_byte & opcode_mask); }
    bool immediate() const { return (opcode_byte & immediate_bit) != 0; }
};

/// RFC 7143 §11.3.
struct scsi_command_bhs {
    std::uint8_t opcode_byte, flags;   // flags: F R W . . ATTR(3)
    std::uint8_t reserved2, priority;  // priority: low nibble, RFC 7144 §6 (byte 3: CRN in SAM-2's time)
    std::uint8_t total_ahs_words;
    wire::big_uint24_t data_segment_bytes;
    wire::big_uint64_t lun;
    wire::big_uint32_t initiator_task_tag, expected_transfer_bytes, cmd_sn, exp_stat_sn;
    std::array<std::byte, 16> cdb;
};
namespace command_flag {
inline constexpr std::uint8_t read = 0x40, write = 0x20, attribute_mask = 0x07;
}

/// RFC 7143 §11.4.
struct scsi_response_bhs {
    std::uint8_t opcode_byte, flags;  // flags: 1 . . o u O U .
    std::uint8_t response, status;
    std::uint8_t total_ahs_words;
    wire::big_uint24_t data_segment_bytes;
    wire::reserved<8> reserved8;
    wire::big_uint32_t initiator_task_tag, snack_tag, stat_sn, exp_cmd_sn, max_cmd_sn, exp_data_sn;
    wire::big_uint32_t bidirectional_residual, residual;
};
namespace response_flag {
inline constexpr std::uint8_t bidirectional_overflow = 0x10, bidirectional_underflow = 0x08, overflow = 0x04,
                              underflow = 0x02;
}

/// RFC 7143 §11.5.
struct task_management_request_bhs {
    std::uint8_t opcode_byte, function;  // function: 1, then 7 bits
    wire::reserved<2> reserved2;
    std::uint8_t total_ahs_words;
    wire::big_uint24_t data_segment_bytes;
    wire::big_uint64_t lun;
    wire::big_uint32_t initiator_task_tag, referenced_task_tag, cmd_sn, exp_stat_sn, ref_cmd_sn, exp_data_sn;
    wire::reserved<8> reserved40;
};

/// RFC 7143 §11.6.
struct task_management_response_bhs {
    std::uint8_t opcode_byte, flags, response, reserved3;
    std::uint8_t total_ahs_words;
    wire::big_uint24_t data_segment_bytes;
    std::array<std::uint8_t, 3> additional_response_information;  // RFC 7144: of QUERY ASYNCHRONOUS EVENT
    wire::reserved<5> reserved11;
    wire::big_uint32_t initiator_task_tag;
    wire::reserved<4> reserved20;
    wire::big_uint32_t stat_sn, exp_cmd_sn, max_cmd_sn;
    wire::reserved<12> reserved36;
};

/// RFC 7143 §11.7, from the initiator.
struct data_out_bhs {
    std::uint8_t opcode_byte, flags;
    wire::reserved<2> reserved2;
    std::uint8_t total_ahs_words;
    wire::big_uint24_t data_segment_bytes;
    wire::big_uint64_t lun;
    wire::big_uint32_t initiator_task_tag, target_transfer_tag, reserved24, exp_stat_sn, reserved32, data_sn,
        buffer_offset;
    wire::reserved<4> reserved44;
};

/// RFC 7143 §11.7, from the target.
struct data_in_bhs {
    std::uint8_t opcode_byte, flags;  // flags: F A . . . O U S
    std::uint8_t reserved2, status;
    std::uint8_t total_ahs_words;
    wire::big_uint24_t data_segment_bytes;
    wire::big_uint64_t lun;
    wire::big_uint32_t initiator_task_tag, target_transfer_tag, stat_sn, exp_cmd_sn, max_cmd_sn, data_sn, buffer_offset,
        residual;
};
namespace data_in_flag {
inline constexpr std::uint8_t acknowledge = 0x40, overflow = 0x04, underflow = 0x02, status = 0x01;
}

/// RFC 7143 §11.8.
struct ready_to_transfer_bhs {
    std::uint8_t opcode_byte, flags;
    wire::reserved<2> reserved2;
    std::uint8_t total_ahs_words;
    wire::big_uint24_t data_segment_bytes;
    wire::big_uint64_t lun;
    wire::big_uint32_t initiator_task_tag, target_transfer_tag, stat_sn, exp_cmd_sn, max_cmd_sn, r2t_sn, buffer_offset,
        desired_bytes;
};

/// RFC 7143 §11.9.
struct async_message_bhs {
    std::uint8_t opcode_byte, flags;
    wire::reserved<2> reserved2;
    std::uint8_t total_ahs_words;
    wire::big_uint24_t data_segment_bytes;
    wire::big_uint64_t lun;
    wire::big_uint32_t initiator_task_tag;  // FFFFFFFFh
    wire::reserved<4> reserved20;
    wire::big_uint32_t stat_sn, exp_cmd_sn, max_cmd_sn;
    std::uint8_t event, vendor_code;
    wire::big_uint16_t parameter1, parameter2, parameter3;
    wire::reserved<4> reserved44;
};

/// RFC 7143 §11.10.
struct text_request_bhs {
    std::uint8_t opcode_byte, flags;  // F C
    wire::reserved<2> reserved2;
    std::uint8_t total_ahs_words;
    wire::big_uint24_t data_segment_bytes;
    wire::big_uint64_t lun;
    wire::big_uint32_t initiator_task_tag, target_transfer_tag, cmd_sn, exp_stat_sn;
    wire::reserved<16> reserved32;
};

/// RFC 7143 §11.11.
struct text_response_bhs {
    std::uint8_t opcode_byte, flags;  // F C
    wire::reserved<2> reserved2;
    std::uint8_t total_ahs_words;
    wire::big_uint24_t data_segment_bytes;
    wire::big_uint64_t lun;
    wire::big_uint32_t initiator_task_tag, target_transfer_tag, stat_sn, exp_cmd_sn, max_cmd_sn;
    wire::reserved<12> reserved36;
};

/// RFC 7143 §11.12.
struct login_request_bhs {
    std::uint8_t opcode_byte, flags;  // T C . . CSG(2) NSG(2)
    std::uint8_t version_max, version_min;
    std::uint8_t total_ahs_words;
    wire::big_uint24_t data_segment_bytes;
    std::array<std::byte, 6> isid;
    wire::big_uint16_t tsih;
    wire::big_uint32_t initiator_task_tag;
    wire::big_uint16_t connection_id;
    wire::reserved<2> reserved22;
    wire::big_uint32_t cmd_sn, exp_stat_sn;
    wire::reserved<16> reserved32;
};

/// RFC 7143 §11.13.
struct login_response_bhs {
    std::uint8_t opcode_byte, flags;
    std::uint8_t version_max, version_active;
    std::uint8_t total_ahs_words;
    wire::big_uint24_t data_segment_bytes;
    std::array<std::byte, 6> isid;
    wire::big_uint16_t tsih;
    wire::big_uint32_t initiator_task_tag;
    wire::reserved<4> reserved20;
    wire::big_uint32_t stat_sn, exp_cmd_sn, max_cmd_sn;
    std::uint8_t status_class, status_detail;
    wire::reserved<10> reserved38;
};

/// RFC 7143 §11.14.
struct logout_request_bhs {
    std::uint8_t opcode_byte, reason;  // reason: 1, then 7 bits
    wire::reserved<2> reserved2;
    std::uint8_t total_ahs_words;
    wire::big_uint24_t data_segment_bytes;
    wire::reserved<8> reserved8;
    wire::big_uint32_t initiator_task_tag;
    wire::big_uint16_t connection_id;
    wire::reserved<2> reserved22;
    wire::big_uint32_t cmd_sn, exp_stat_sn;
    wire::reserved<16> reserved32;
};

/// RFC 7143 §11.15.
struct logout_response_bhs {
    std::uint8_t opcode_byte, flags, response, reserved3;
    std::uint8_t total_ahs_words;
    wire::big_uint24_t data_segment_bytes;
    wire::reserved<8> reserved8;
    wire::big_uint32_t initiator_task_tag;
    wire::reserved<4> reserved20;
    wire::big_uint32_t stat_sn, exp_cmd_sn, max_cmd_sn;
    wire::reserved<4> reserved36;
    wire::big_uint16_t time2wait, time2retain;
    wire::reserved<4> reserved44;
};

/// RFC 7143 §11.17.
struct reject_bhs {
    std::uint8_t opcode_byte, flags, reason, reserved3;
    std::uint8_t total_ahs_words;
    wire::big_uint24_t data_segment_bytes;
    wire::reserved<8> reserved8;
    wire::big_uint32_t initiator_task_tag;  // FFFFFFFFh
    wire::reserved<4> reserved20;
    wire::big_uint32_t stat_sn, exp_cmd_sn, max_cmd_sn, data_sn;
    wire::reserved<8> reserved40;
};

/// RFC 7143 §11.18.
struct nop_out_bhs {
    std::uint8_t opcode_byte, flags;
    wire::reserved<2> reserved2;
    std::uint8_t total_ahs_words;
    wire::big_uint24_t data_segment_bytes;
    wire::big_uint64_t lun;
    wire::big_uint32_t initiator_task_tag, target_transfer_tag, cmd_sn, exp_stat_sn;
    wire::reserved<16> reserved32;
};

/// RFC 7143 §11.19.
struct nop_in_bhs {
    std::uint8_t opcode_byte, flags;
    wire::reserved<2> reserved2;
    std::uint8_t total_ahs_words;
    wire::big_uint24_t data_segment_bytes;
    wire::big_uint64_t lun;
    wire::big_uint32_t initiator_task_tag, target_transfer_tag, stat_sn, exp_cmd_sn, max_cmd_sn;
    wire::reserved<12> reserved36;
};

template <typename Bhs>
inline constexpr bool is_bhs = sizeof(Bhs) == bhs_bytes && alignof(Bhs) == 1;
static_assert(is_bhs<basic_bhs> && is_bhs<scsi_command_bhs> && is_bhs<scsi_response_bhs> &&
              is_bhs<task_management_request_bhs>);
static_assert(is_bhs<task_management_response_bhs> && is_bhs<data_out_bhs> && is_bhs<data_in_bhs> &&
              is_bhs<ready_to_transfer_bhs>);
static_assert(is_bhs<async_message_bhs> && is_bhs<text_request_bhs> && is_bhs<text_response_bhs> &&
              is_bhs<login_request_bhs>);
static_assert(is_bhs<login_response_bhs> && is_bhs<logout_request_bhs> && is_bhs<logout_response_bhs> &&
              is_bhs<reject_bhs>);
static_assert(is_bhs<nop_out_bhs> && is_bhs<nop_in_bhs>);
static_assert(offsetof(scsi_command_bhs, cdb) == 32 && offsetof(data_in_bhs, residual) == 44);
static_assert(offsetof(data_out_bhs, data_sn) == 36 && offsetof(login_response_bhs, status_class) == 36);
static_assert(offsetof(async_message_bhs, event) == 36 && offsetof(logout_response_bhs, time2wait) == 40);

/// Additional header segments, §11.2.2: AHSLength counts the bytes after AHSType.
enum class ahs_type : std::uint8_t { extended_cdb = 1, bidirectional_read_length = 2 };

/// RFC 7143 §11.17.1.
enum class reject_reason : std::uint8_t {
    data_digest_error = 0x02,
    snack_reject = 0x03,
    protocol_error = 0x04,
    command_not_supported = 0x05,
    immediate_command_reject = 0x06,
    task_in_progress = 0x07,
    invalid_data_ack = 0x08,
    invalid_pdu_field = 0x09,
    long_operation = 0x0a,
    waiting_for_logout = 0x0c,
};

/// RFC 7143 §11.9.1.
enum class async_event : std::uint8_t {
    scsi = 0,
    logout_request = 1,
    connection_drop = 2,
    session_drop = 3,
    renegotiate = 4,
    tasks_terminated = 5,  ///< all of the LUN in the header; only where TaskReporting=FastAbort was agreed on
};

/// RFC 7143 §11.5.1, and RFC 7144 for the last four: only where iSCSIProtocolLevel 2 was agreed on.
enum class task_function : std::uint8_t {
    abort_task = 1,
    abort_task_set = 2,
    clear_aca = 3,
    clear_task_set = 4,
    logical_unit_reset = 5,
    target_warm_reset = 6,
    target_cold_reset = 7,
    task_reassign = 8,
    query_task = 9,
    query_task_set = 10,
    i_t_nexus_reset = 11,
    query_asynchronous_event = 12,
};

/// RFC 7143 §11.6.1.
enum class task_response : std::uint8_t {
    function_complete = 0,
    task_does_not_exist = 1,
    lun_does_not_exist = 2,
    task_still_allegiant = 3,
    reassignment_not_supported = 4,
    function_not_supported = 5,
    authorization_failed = 6,
    function_succeeded = 7,  ///< RFC 7144: what a query asked for is there
    function_rejected = 255,
};

}  // namespace obd::iscsi

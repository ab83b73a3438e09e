// Operation codes and service actions of the commands that a disk here answers. SPC-4 annex E, SBC-3 table 32.
#pragma once

#include <cstdint>

namespace obd::scsi {

enum class opcode : std::uint8_t {
    test_unit_ready = 0x00,
    request_sense = 0x03,
    read_6 = 0x08,
    write_6 = 0x0a,
    inquiry = 0x12,
    mode_select_6 = 0x15,
    reserve_6 = 0x16,
    release_6 = 0x17,
    mode_sense_6 = 0x1a,
    start_stop_unit = 0x1b,
    receive_diagnostic_results = 0x1c,
    send_diagnostic = 0x1d,
    prevent_allow_medium_removal = 0x1e,
    read_capacity_10 = 0x25,
    read_10 = 0x28,
    write_10 = 0x2a,
    write_and_verify_10 = 0x2e,
    verify_10 = 0x2f,
    pre_fetch_10 = 0x34,
    synchronize_cache_10 = 0x35,
    read_defect_data_10 = 0x37,
    write_same_10 = 0x41,
    unmap = 0x42,
    sanitize = 0x48,
    log_select = 0x4c,
    log_sense = 0x4d,
    mode_select_10 = 0x55,
    reserve_10 = 0x56,
    release_10 = 0x57,
    mode_sense_10 = 0x5a,
    persistent_reserve_in = 0x5e,
    persistent_reserve_out = 0x5f,
    third_party_copy_out = 0x83,
    third_party_copy_in = 0x84,
    read_16 = 0x88,
    compare_and_write = 0x89,
    write_16 = 0x8a,
    or_write_16 = 0x8b,
    write_and_verify_16 = 0x8e,
    verify_16 = 0x8f,
    pre_fetch_16 = 0x90,
    synchronize_cache_16 = 0x91,
    write_same_16 = 0x93,
    write_atomic_16 = 0x9c,
    service_action_in_16 = 0x9e,
    report_luns = 0xa0,
    maintenance_in = 0xa3,
    maintenance_out = 0xa4,
    read_12 = 0xa8,
    write_12 = 0xaa,
    write_and_verify_12 = 0xae,
    verify_12 = 0xaf,
    read_defect_data_12 = 0xb7,
};

/// Every service action here lies in byte 1, bits 4..0.
namespace service_action {
inline constexpr std::uint8_t read_capacity_16 = 0x10;  // SERVICE ACTION IN(16)
inline constexpr std::uint8_t get_lba_status = 0x12;

inline constexpr std::uint8_t block_erase = 0x02;  // SANITIZE
inline constexpr std::uint8_t exit_failure_mode = 0x1f;

inline constexpr std::uint8_t report_identifying_information = 0x05;  // MAINTENANCE IN
inline constexpr std::uint8_t report_target_port_groups = 0x0a;
inline constexpr std::uint8_t report_supported_operation_codes = 0x0c;
inline constexpr std::uint8_t report_supported_task_management_functions = 0x0d;
inline constexpr std::uint8_t report_priority = 0x0e;

inline constexpr std::uint8_t read_keys = 0x00;  // PERSISTENT RESERVE IN
inline constexpr std::uint8_t read_reservation = 0x01;
inline constexpr std::uint8_t report_capabilities = 0x02;
inline constexpr std::uint8_t read_full_status = 0x03;

inline constexpr std::uint8_t register_key = 0x00;  // PERSISTENT RESERVE OUT
inline constexpr std::uint8_t reserve = 0x01;
inline constexpr std::uint8_t release = 0x02;
inline constexpr std::uint8_t clear = 0x03;
inline constexpr std::uint8_t preempt = 0x04;
inline constexpr std::uint8_t preempt_and_abort = 0x05;
inline constexpr std::uint8_t register_and_ignore_existing_key = 0x06;
inline constexpr std::uint8_t register_and_move = 0x07;

inline constexpr std::uint8_t extended_copy_lid1 = 0x00;  // EXTENDED COPY
inline constexpr std::uint8_t copy_status_lid1 = 0x00;    // RECEIVE COPY RESULTS
inline constexpr std::uint8_t operating_parameters = 0x03;
inline constexpr std::uint8_t failed_segment_details = 0x04;
}  // namespace service_action

}  // namespace obd::scsi

// The functions that the command table names, by the file that holds them.
#pragma once

#include "protocol/scsi/command_table.hpp"

namespace obd::scsi::plan {

// block_commands.cpp: medium access of the plain kind.
answer read_6(const request&);
answer read_10(const request&);
answer read_12(const request&);
answer read_16(const request&);
answer write_6(const request&);
answer write_10(const request&);
answer write_12(const request&);
answer write_16(const request&);
answer write_atomic_16(const request&);
answer write_and_verify_10(const request&);
answer write_and_verify_12(const request&);
answer write_and_verify_16(const request&);
answer verify_10(const request&);
answer verify_12(const request&);
answer verify_16(const request&);
answer or_write_16(const request&);
answer compare_and_write(const request&);
answer synchronize_cache_10(const request&);
answer synchronize_cache_16(const request&);
answer pre_fetch_10(const request&);
answer pre_fetch_16(const request&);
answer finish_compare(const request&, const operation&, const operation_result&);
answer finish_pre_fetch(const request&, const operation&, const operation_result&);

// provisioning.cpp: what thin provisioning brings, and WRITE SAME.
answer write_same_10(const request&);
answer write_same_16(const request&);
answer unmap(const request&);
answer accept_unmap(const request&, const_bytes list);
answer get_lba_status(const request&);
answer finish_get_lba_status(const request&, const operation&, const operation_result&);

// sanitize.cpp
answer sanitize_block_erase(const request&);
answer sanitize_exit_failure_mode(const request&);

// capacity.cpp
answer read_capacity_10(const request&);
answer read_capacity_16(const request&);
answer read_defect_data_10(const request&);
answer read_defect_data_12(const request&);

// inquiry.cpp, with the pages in vpd_pages.cpp
answer inquiry(const request&);

// mode_sense.cpp, mode_select.cpp, on mode_pages.cpp
answer mode_sense_6(const request&);
answer mode_sense_10(const request&);
answer mode_select_6(const request&);
answer mode_select_10(const request&);
answer accept_mode_select_6(const request&, const_bytes list);
answer accept_mode_select_10(const request&, const_bytes list);

// log_pages.cpp
answer log_sense(const request&);
answer log_select(const request&);

// unit_commands.cpp: the state of the unit as a whole.
answer test_unit_ready(const request&);
answer request_sense(const request&);
answer start_stop_unit(const request&);
answer prevent_allow_medium_removal(const request&);
answer send_diagnostic(const request&);
answer receive_diagnostic_results(const request&);
answer reserve_unit(const request&);
answer release_unit(const request&);

// maintenance.cpp
answer report_identifying_information(const request&);
answer report_target_port_groups(const request&);
answer report_supported_operation_codes(const request&);
answer report_supported_task_management_functions(const request&);
answer report_priority(const request&);

// lun_inventory answers REPORT LUNS before a unit sees it; a lone unit reports LUN 0. report_luns.cpp
answer report_luns(const request&);

// persistent_reserve.cpp, on reservations.cpp
answer persistent_reserve_in(const request&);
answer persistent_reserve_out(const request&);
answer accept_persistent_reserve_out(const request&, const_bytes list);

// third_party_copy.cpp
answer extended_copy(const request&);
answer accept_extended_copy(const request&, const_bytes list);
answer finish_extended_copy(const request&, const operation&, const operation_result&);
answer receive_copy_results(const request&);

}  // namespace obd::scsi::plan

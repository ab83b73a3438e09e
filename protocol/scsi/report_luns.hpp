// REPORT LUNS data. SPC-4 §6.33.
#pragma once

#include <span>

#include "protocol/scsi/device_server.hpp"

namespace obd::scsi {

/// The REPORT LUNS well-known logical unit. SAM-5 §4.7.7.5.1.
inline constexpr lun_field report_luns_well_known{std::byte{0xc1}, std::byte{0x01}};

/// The answer to the CDB for a target with `luns`; `format` is for the sense of a bad SELECT REPORT.
completed report_luns_of(std::span<const std::uint16_t> luns, const_bytes cdb, sense_format format);

}  // namespace obd::scsi

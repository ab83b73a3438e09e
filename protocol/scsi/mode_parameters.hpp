// What MODE SENSE and MODE SELECT share beyond the pages. SPC-4 §7.5.
#pragma once

#include "base/block_device.hpp"
#include "protocol/scsi/mode_pages.hpp"

namespace obd::scsi {

/// SBC-3 §6.5.2 and §6.5.3: 8 or 16 bytes.
enum class descriptor_form { short_lba, long_lba };

std::vector<std::byte> block_descriptor_of(const device_geometry& geometry, descriptor_form form);

}  // namespace obd::scsi

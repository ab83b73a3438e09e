// The bodies of vital product data pages, without their headers; vpd_pages.cpp joins them by a table. Inside
// protocol/scsi only.
#pragma once

#include <cstddef>
#include <vector>

#include "protocol/scsi/request.hpp"

namespace obd::scsi {

std::vector<std::byte> device_identification(const request& asked);  // 83h, designators.cpp
std::vector<std::byte> scsi_ports(const request& asked);             // 88h, designators.cpp
std::vector<std::byte> third_party_copy_page(const request& asked);  // 8Fh, third_party_copy.cpp

}  // namespace obd::scsi

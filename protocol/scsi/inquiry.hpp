// INQUIRY data: the standard page and the vital product data pages. SPC-4 §6.6 and §7.8, SBC-3 §6.6.
#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "protocol/scsi/ports.hpp"
#include "protocol/scsi/request.hpp"

namespace obd::scsi {

enum class medium_kind { fixed, removable };

std::vector<std::byte> standard_inquiry_of(const identity& id, medium_kind medium);

/// Of a LUN with no disk behind it: `peripheral` is 7Fh for an absent unit, 1Eh for a well-known one.
std::vector<std::byte> bare_inquiry(std::uint8_t peripheral);

/// The body of page 83h of a unit that has no names of its own.
std::vector<std::byte> target_identification(const target_port& port);

/// A whole page with its header, or nothing when there is no such page.
std::optional<std::vector<std::byte>> vpd_page(const request& asked, std::uint8_t page);

/// Left-aligned and filled with spaces, as SPC-4 §4.4.1 wants ASCII fields; cut to the field.
void put_padded(std::span<char> field, std::string_view text);

/// Designators of a unit, as page 83h holds them.
namespace designator {
inline constexpr std::uint8_t t10_vendor = 1;
inline constexpr std::uint8_t eui_64 = 2;
inline constexpr std::uint8_t naa = 3;
inline constexpr std::uint8_t relative_target_port = 4;
inline constexpr std::uint8_t target_port_group = 5;
inline constexpr std::uint8_t scsi_name_string = 8;
}  // namespace designator

/// The unit's own designator of that type, without its header; empty when it has none.
std::vector<std::byte> unit_designator(const identity& id, std::uint8_t type);

}  // namespace obd::scsi

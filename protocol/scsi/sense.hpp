// Sense data: what a CHECK CONDITION says. SPC-4 §4.5.
#pragma once

#include "protocol/scsi/task.hpp"

namespace obd::scsi {

/// SPC-4 §4.5.1; a logical unit answers as the D_SENSE bit of its control mode page says.
enum class sense_format { fixed, descriptor };

/// Fixed format is always 18 bytes; descriptor format is 8 bytes and the descriptors that the sense needs.
std::vector<std::byte> encode(const sense& what, sense_format format);

/// CHECK CONDITION with the encoded sense and no data.
completed check_condition(const sense& what, sense_format format = sense_format::fixed);

/// The sense a device server gives most often, without a pointer or information.
namespace senses {
inline constexpr sense invalid_operation_code{.key = sense_key::illegal_request, .asc = 0x20, .ascq = 0x00};
inline constexpr sense lba_out_of_range{.key = sense_key::illegal_request, .asc = 0x21, .ascq = 0x00};
inline constexpr sense invalid_field_in_cdb{.key = sense_key::illegal_request, .asc = 0x24, .ascq = 0x00};
inline constexpr sense logical_unit_not_supported{.key = sense_key::illegal_request, .asc = 0x25, .ascq = 0x00};
inline constexpr sense invalid_field_in_parameter_list{.key = sense_key::illegal_request, .asc = 0x26, .ascq = 0x00};
inline constexpr sense parameter_list_length_error{.key = sense_key::illegal_request, .asc = 0x1a, .ascq = 0x00};
inline constexpr sense write_protected{.key = sense_key::data_protect, .asc = 0x27, .ascq = 0x00};
inline constexpr sense software_write_protected{.key = sense_key::data_protect, .asc = 0x27, .ascq = 0x02};
}  // namespace senses

/// INVALID FIELD IN CDB that points at `byte`, and at `bit` as the most significant one of the field when given.
sense invalid_cdb_field(std::uint16_t byte, std::optional<std::uint8_t> bit = {});
/// INVALID FIELD IN PARAMETER LIST, likewise.
sense invalid_parameter_field(std::uint16_t byte, std::optional<std::uint8_t> bit = {});

}  // namespace obd::scsi

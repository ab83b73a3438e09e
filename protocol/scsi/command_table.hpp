// One row per command: what it is, which CDB bits it knows, what it does to the medium, who plans it. Dispatch, the
// check for reserved bits, write protection, reservation conflicts, REPORT SUPPORTED OPERATION CODES and
// docs/protocol-support.md all come from these rows.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <variant>

#include "protocol/scsi/opcode.hpp"
#include "protocol/scsi/task.hpp"

namespace obd::scsi {

struct request;

/// What a planner says: the end, more to come, work, or sense that is yet to be encoded in the unit's format.
using answer = std::variant<completed, wants_parameters, operation, sense>;

using plan_function = answer (*)(const request&);
using accept_function = answer (*)(const request&, const_bytes list);
using finish_function = answer (*)(const request&, const operation&, const operation_result&);

enum class transfer : std::uint8_t { none, data_in, data_out };

/// How reservations (SPC-4 tables 65 and 66, SBC-3 table 13) and write protection see a command.
enum class access : std::uint8_t {
    always,         ///< no reservation stops it
    reads,          ///< conflicts with Exclusive Access
    controls,       ///< conflicts with Exclusive Access and Write Exclusive, though it writes no blocks
    writes,         ///< likewise, and write protection refuses it
    start_stop,     ///< as always when it starts the unit, else as controls
    prevent_allow,  ///< as always when it allows removal, else as controls
    reservation,    ///< PERSISTENT RESERVE OUT, RESERVE, RELEASE: they decide for themselves
};

/// Whether a unit has the command at all.
enum class needs : std::uint8_t { nothing, discard, erase };

/// How long it takes, for the command timeouts descriptor (SPC-4 §6.35.4).
enum class duration : std::uint8_t { moment, media, long_media };

struct command_spec {
    opcode code;
    std::optional<std::uint8_t> action;  ///< service action, when the operation code has them
    std::string_view name;
    std::string_view clause;
    transfer direction;
    access medium;
    duration takes;
    std::uint8_t cdb_bytes;
    /// Bits the device server looks at, byte 1 onward; the service action field is added. SPC-4 §6.35.3, CDB USAGE
    /// DATA.
    std::array<std::uint8_t, 15> usage;
    plan_function plan;
    accept_function accept = nullptr;  ///< for those that want a parameter list
    finish_function finish = nullptr;  ///< for operations whose result shapes the reply; others end with GOOD
    needs feature = needs::nothing;
};

/// Rows in ascending order of operation code and service action.
std::span<const command_spec> all_commands() noexcept;

/// REQUIRES: cdb.size() >= 16. Nothing when there is no such command.
const command_spec* find_command(const_bytes cdb) noexcept;
/// By number, as REPORT SUPPORTED OPERATION CODES asks for it.
const command_spec* find_command(std::uint8_t code, std::optional<std::uint16_t> action) noexcept;
/// SPC-4 §6.35.1: SERVACTV.
bool has_service_actions(std::uint8_t code) noexcept;

/// The usage bits of byte `index` of the CDB, with the operation code and the service action as the table of SPC-4
/// §6.35.3 shows them.
std::uint8_t cdb_usage(const command_spec& spec, std::size_t index) noexcept;

/// The first field of the CDB in which a bit is set that `spec` does not know. A field is the run of unknown bits.
std::optional<field_pointer> unknown_bit(const command_spec& spec, const_bytes cdb) noexcept;

/// `access::start_stop` and `prevent_allow` resolved by the CDB's fields.
access access_of(const command_spec& spec, const_bytes cdb) noexcept;

}  // namespace obd::scsi

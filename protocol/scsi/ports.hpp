// SCSI ports as iSCSI names them (RFC 7143 §4.4.2) and the state of a logical unit that outlives the process.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace obd::scsi {

/// An initiator port: the iSCSI initiator's name and the ISID of its session. Reservations belong to it.
struct initiator_port {
    std::string name;  ///< iqn.…, as it was sent in InitiatorName
    std::array<std::byte, 6> isid{};

    auto operator<=>(const initiator_port&) const = default;
};

/// The target port: the iSCSI target's name and a portal group tag.
struct target_port {
    std::string name;  ///< iSCSI name of the target
    std::uint16_t portal_group_tag = 1;
    std::uint16_t relative_port = 1;  ///< RELATIVE TARGET PORT IDENTIFIER; differs between nodes that serve one unit
    std::uint16_t port_group = 1;     ///< TARGET PORT GROUP of ALUA; likewise
};

/// SPC-4 table 163 (PERSISTENT RESERVE type codes).
enum class reservation_type : std::uint8_t {
    write_exclusive = 1,
    exclusive_access = 3,
    write_exclusive_registrants_only = 5,
    exclusive_access_registrants_only = 6,
    write_exclusive_all_registrants = 7,
    exclusive_access_all_registrants = 8,
};

/// One I_T nexus that registered a reservation key.
struct registration {
    initiator_port port;
    std::uint16_t relative_target_port = 1;
    std::uint64_t key = 0;

    bool operator==(const registration&) const = default;
};

/// Persistent reservations as a value. SPC-4 §5.13.
struct reservation_state {
    bool aptpl = false;  ///< "activate persist through power loss" of the last registration
    std::vector<registration> registrations;
    std::optional<reservation_type> held;
    /// Index into `registrations` of the holder; nothing for the all-registrants types and when nothing is held.
    std::optional<std::size_t> holder;

    bool operator==(const reservation_state&) const = default;
};

/// Mode parameters that an initiator may change and save.
struct mode_settings {
    bool descriptor_sense = false;        ///< D_SENSE
    bool software_write_protect = false;  ///< SWP
    bool write_cache_enabled = true;      ///< WCE; false makes every write force_unit_access

    bool operator==(const mode_settings&) const = default;
};

/// A sanitize operation that began and did not end well, and how one may get out of that (AUSE). SBC-4.
enum class unfinished_sanitize : std::uint8_t {
    none,
    restricted,    ///< only by a sanitize operation that succeeds
    unrestricted,  ///< also by SANITIZE, EXIT FAILURE MODE
};

/// What a logical unit asks its owner to keep over a restart: reservations while APTPL is set, saved mode pages, and
/// that the medium must not be used before it is sanitized.
struct persistent_state {
    reservation_state reservations;
    mode_settings saved_mode;
    unfinished_sanitize sanitize = unfinished_sanitize::none;

    bool operator==(const persistent_state&) const = default;
};

}  // namespace obd::scsi

// PERSISTENT RESERVE IN and OUT: parameter data around the rules of reservations.cpp. SPC-4 §6.15 and §6.16.
#include "protocol/scsi/planners.hpp"
#include "protocol/scsi/transport_id.hpp"
#include "protocol/scsi/unit_core.hpp"

namespace obd::scsi::plan {

namespace {

namespace sa = service_action;

constexpr std::size_t basic_list_bytes = 24;
constexpr std::size_t transport_id_length_bytes = 4;
constexpr std::uint32_t max_list_bytes = 64 << 10;  // some two hundred TransportIDs of the longest kind

std::uint8_t scope_and_type(const reservations& now) {
    return static_cast<std::uint8_t>(*now.state().held);
}

bool all_registrants(const reservations& now) {
    return now.held() && !now.state().holder;
}

/// PRGENERATION, the length of the rest, the rest.
answer give_list(const request& asked, const reservations& now, byte_writer list) {
    const auto body = std::move(list).finish();
    byte_writer out;
    out.big(now.generation()).big(static_cast<std::uint32_t>(body.size())).put(body);
    return give(std::move(out).finish(), asked.big16(7));
}

answer read_keys(const request& asked, const reservations& now) {
    byte_writer list;
    for (const auto& entry : now.state().registrations) list.big(entry.key);
    return give_list(asked, now, std::move(list));
}

/// SPC-4 §6.15.3: the key is zero for the all-registrants types.
answer read_reservation(const request& asked, const reservations& now) {
    byte_writer list;
    if (now.held()) {
        const auto key = all_registrants(now) ? 0 : now.state().registrations[*now.state().holder].key;
        list.big(key).zeros(5).big(scope_and_type(now)).zeros(2);
    }
    return give_list(asked, now, std::move(list));
}

/// SPC-4 §6.15.4.
answer report_capabilities(const request& asked, const reservations& now) {
    constexpr std::uint8_t specifies_ports = 0x08;   // SIP_C
    constexpr std::uint8_t all_target_ports = 0x04;  // ATP_C
    constexpr std::uint8_t power_loss = 0x01;        // PTPL_C, and PTPL_A in the next byte
    constexpr std::uint8_t type_mask_valid = 0x80;   // TMV
    constexpr std::uint16_t all_types = 0xea01;
    const bool keeps = asked.unit.can_save();
    const bool kept = now.state().aptpl;
    byte_writer out;
    out.big<std::uint16_t>(8);
    out.big(static_cast<std::uint8_t>(specifies_ports | all_target_ports | (keeps ? power_loss : 0)));
    out.big(static_cast<std::uint8_t>(type_mask_valid | (kept ? power_loss : 0)));
    out.big(all_types).zeros(2);
    return give(std::move(out).finish(), asked.big16(7));
}

answer read_full_status(const request& asked, const reservations& now) {
    constexpr std::uint8_t holder = 0x01;  // R_HOLDER
    byte_writer list;
    const auto& entries = now.state().registrations;
    for (std::size_t i = 0; i < entries.size(); ++i) {
        const auto id = encode_transport_id(entries[i].port);
        const bool holds = now.is_holder(i);
        list.big(entries[i].key).zeros(4).big<std::uint8_t>(holds ? holder : 0);
        list.big<std::uint8_t>(holds ? scope_and_type(now) : 0).zeros(4);
        list.big(entries[i].relative_target_port).big(static_cast<std::uint32_t>(id.size())).put(id);
    }
    return give_list(asked, now, std::move(list));
}

using decoded = std::variant<reserve_out, sense>;

/// The TransportIDs that end the list, from `at`.
std::variant<std::vector<initiator_port>, sense> decode_ports(const_bytes list, std::size_t at, std::size_t bytes) {
    if (list.size() < at + bytes) return senses::parameter_list_length_error;
    std::vector<initiator_port> ports;
    auto rest = list.subspan(at, bytes);
    while (!rest.empty()) {
        auto id = decode_transport_id(rest);
        if (!id) return invalid_parameter_field(static_cast<std::uint16_t>(at + bytes - rest.size()));
        ports.push_back(std::move(id->port));
        rest = rest.subspan(id->bytes);
    }
    return ports;
}

/// SPC-4 §6.16.3.
decoded decode_basic(const request& asked, const_bytes list) {
    constexpr std::uint8_t spec_i_pt = 0x08;
    constexpr std::uint8_t all_tg_pt = 0x04;
    constexpr std::uint8_t aptpl = 0x01;
    byte_reader reader(list);
    reserve_out out{.action = static_cast<std::uint8_t>(asked.byte(1) & 0x1f),
                    .scope = static_cast<std::uint8_t>(asked.byte(2) >> 4),
                    .type = static_cast<std::uint8_t>(asked.byte(2) & 0x0f)};
    out.key = reader.big<std::uint64_t>();
    out.action_key = reader.big<std::uint64_t>();
    reader.skip(4);
    const auto flags = reader.big<std::uint8_t>();
    const bool registers = out.action == sa::register_key || out.action == sa::register_and_ignore_existing_key;
    // Other actions ignore these bits (SPC-4 table 211).
    if (!registers)
        return list.size() == basic_list_bytes ? decoded{out} : decoded{senses::parameter_list_length_error};
    out.aptpl = (flags & aptpl) != 0;
    out.all_target_ports = (flags & all_tg_pt) != 0;
    if (out.aptpl && !asked.unit.can_save()) return invalid_parameter_field(20, 0);
    if ((flags & spec_i_pt) == 0) {
        return list.size() == basic_list_bytes ? decoded{out} : decoded{senses::parameter_list_length_error};
    }
    if (list.size() < basic_list_bytes + transport_id_length_bytes) return senses::parameter_list_length_error;
    const auto bytes = boost::endian::big_to_native(load<std::uint32_t>(list, basic_list_bytes));
    auto ports = decode_ports(list, basic_list_bytes + transport_id_length_bytes, bytes);
    if (auto* wrong = std::get_if<sense>(&ports)) return *wrong;
    out.ports = std::get<std::vector<initiator_port>>(std::move(ports));
    return out;
}

/// SPC-4 §6.16.4.
decoded decode_move(const request& asked, const_bytes list) {
    constexpr std::uint8_t unreg = 0x02;
    constexpr std::uint8_t aptpl = 0x01;
    byte_reader reader(list);
    reserve_out out{.action = sa::register_and_move,
                    .scope = static_cast<std::uint8_t>(asked.byte(2) >> 4),
                    .type = static_cast<std::uint8_t>(asked.byte(2) & 0x0f)};
    out.key = reader.big<std::uint64_t>();
    out.action_key = reader.big<std::uint64_t>();
    reader.skip(1);
    const auto flags = reader.big<std::uint8_t>();
    out.unregister = (flags & unreg) != 0;
    out.aptpl = (flags & aptpl) != 0;
    out.relative_target_port = reader.big<std::uint16_t>();
    const auto bytes = reader.big<std::uint32_t>();
    if (out.aptpl && !asked.unit.can_save()) return invalid_parameter_field(17, 0);
    if (out.relative_target_port != asked.nexus.to.relative_port) return invalid_parameter_field(18);
    auto ports = decode_ports(list, basic_list_bytes, bytes);
    if (auto* wrong = std::get_if<sense>(&ports)) return *wrong;
    out.ports = std::get<std::vector<initiator_port>>(std::move(ports));
    if (out.ports->size() != 1) return invalid_parameter_field(20);
    return out;
}

}  // namespace

answer persistent_reserve_in(const request& asked) {
    const auto now = asked.unit.reservations_now();
    const auto action = asked.byte(1) & 0x1f;
    if (action == sa::read_keys) return read_keys(asked, now);
    if (action == sa::read_reservation) return read_reservation(asked, now);
    if (action == sa::report_capabilities) return report_capabilities(asked, now);
    return read_full_status(asked, now);
}

/// SPC-4 §6.16.2: "…the parameter list length shall be 24 (18h)", longer only with TransportIDs.
answer persistent_reserve_out(const request& asked) {
    const auto bytes = asked.big32(5);
    if (bytes < basic_list_bytes || bytes > max_list_bytes) return senses::parameter_list_length_error;
    return wants_parameters{bytes};
}

answer accept_persistent_reserve_out(const request& asked, const_bytes list) {
    if (list.size() < basic_list_bytes) return senses::parameter_list_length_error;
    const bool moves = (asked.byte(1) & 0x1f) == sa::register_and_move;
    auto what = moves ? decode_move(asked, list) : decode_basic(asked, list);
    if (auto* wrong = std::get_if<sense>(&what)) return *wrong;
    return asked.unit.reserve_out_from(asked.nexus, std::get<reserve_out>(what));
}

}  // namespace obd::scsi::plan

// MAINTENANCE IN: what the unit can do, and through which ports. SPC-4 §6.32-6.37.
#include "protocol/scsi/planners.hpp"
#include "protocol/scsi/unit_core.hpp"

namespace obd::scsi::plan {

namespace {

constexpr std::uint8_t returns_timeouts = 0x80;  // RCTD
constexpr std::uint16_t timeouts_bytes = 12;

bool supported(const request& asked, const command_spec& spec) {
    return asked.has(spec.feature);
}

/// SPC-4 §6.35.4: seconds until the initiator may ask what is wrong, and until it should give up.
void put_timeouts(byte_writer& out, const command_spec& spec) {
    struct seconds {
        std::uint32_t nominal;
        std::uint32_t recommended;
    };
    constexpr std::array<seconds, 3> of{{{1, 10}, {5, 30}, {10, 60}}};
    const auto [nominal, recommended] = of[static_cast<std::size_t>(spec.takes)];
    out.big<std::uint16_t>(timeouts_bytes - 2).zeros(2).big(nominal).big(recommended);
}

std::vector<std::byte> all_operation_codes(const request& asked, bool timeouts) {
    constexpr std::uint8_t servactv = 0x01;
    constexpr std::uint8_t ctdp = 0x02;
    byte_writer out;
    out.zeros(4);
    for (const auto& spec : all_commands()) {
        if (!supported(asked, spec)) continue;
        out.big(static_cast<std::uint8_t>(spec.code)).zeros(1).big<std::uint16_t>(spec.action.value_or(0)).zeros(1);
        out.big(static_cast<std::uint8_t>((spec.action ? servactv : 0) | (timeouts ? ctdp : 0)));
        out.big<std::uint16_t>(spec.cdb_bytes);
        if (timeouts) put_timeouts(out, spec);
    }
    store(out.written(), boost::endian::native_to_big(static_cast<std::uint32_t>(out.size() - 4)));
    return std::move(out).finish();
}

std::vector<std::byte> one_operation_code(const request& asked, const command_spec* spec, bool timeouts) {
    constexpr std::uint8_t not_supported = 0x01;
    constexpr std::uint8_t as_the_standard_says = 0x03;
    constexpr std::uint8_t ctdp = 0x80;
    byte_writer out;
    if (spec == nullptr || !supported(asked, *spec)) {
        out.zeros(1).big(not_supported).zeros(2);
        return std::move(out).finish();
    }
    out.zeros(1).big(static_cast<std::uint8_t>(as_the_standard_says | (timeouts ? ctdp : 0)));
    out.big<std::uint16_t>(spec->cdb_bytes);
    for (std::size_t i = 0; i < spec->cdb_bytes; ++i) out.big(cdb_usage(*spec, i));
    if (timeouts) put_timeouts(out, *spec);
    return std::move(out).finish();
}

}  // namespace

answer report_supported_operation_codes(const request& asked) {
    const auto options = asked.byte(2) & 7;
    const bool timeouts = (asked.byte(2) & returns_timeouts) != 0;
    const auto code = asked.byte(3);
    const auto action = asked.big16(4);
    const auto allocation_length = asked.big32(6);
    if (options == 0) return give(all_operation_codes(asked, timeouts), allocation_length);
    if (options > 3) return invalid_cdb_field(2, 2);

    const bool actions = has_service_actions(code);
    // SPC-4 table 245: 001b is for codes without, 010b for codes with service actions, 011b for either.
    if (options == 1 && actions) return invalid_cdb_field(2, 2);
    if (options == 2 && !actions && find_command(code, {}) != nullptr) return invalid_cdb_field(2, 2);
    if (options == 3 && !actions && action != 0)
        return give(one_operation_code(asked, nullptr, timeouts), allocation_length);
    const auto* spec = actions ? find_command(code, action) : find_command(code, {});
    return give(one_operation_code(asked, spec, timeouts), allocation_length);
}

/// SPC-4 §6.36. What iSCSI has (RFC 7143 §11.5.1) and the session layer does.
answer report_supported_task_management_functions(const request& asked) {
    constexpr std::uint8_t functions =
        0x80 | 0x40 | 0x10 | 0x08;               // ABORT TASK, ABORT TASK SET, CLEAR TASK SET, LU RESET
    constexpr std::uint8_t target_reset = 0x02;  // obsolete TARGET RESET
    const bool extended = asked.bit(2, 7);       // REPD
    byte_writer out;
    out.big(static_cast<std::uint8_t>(functions | target_reset)).zeros(2).big<std::uint8_t>(extended ? 0x0c : 0);
    if (extended) out.zeros(12);  // no long or short timeouts to tell
    return give(std::move(out).finish(), asked.big32(6));
}

/// SPC-4 §6.37: one group with one port, always active/optimized. Another node that serves the unit is another group.
answer report_target_port_groups(const request& asked) {
    constexpr std::uint8_t active_optimized_supported = 0x01;  // AO_SUP
    constexpr std::uint8_t by_target = 0x01;                   // STATUS CODE: would have been altered by the target
    const auto format = asked.byte(1) >> 5;
    if (format > 1) return invalid_cdb_field(1, 7);
    byte_writer out;
    out.zeros(4);
    if (format == 1) out.big<std::uint8_t>(0x10).zeros(3);  // extended header, IMPLICIT TRANSITION TIME 0
    out.big<std::uint8_t>(0x00);                            // PREF 0, ACTIVE/OPTIMIZED
    out.big(active_optimized_supported).big(asked.nexus.to.port_group).zeros(1);
    out.big(by_target).zeros(1).big<std::uint8_t>(1);
    out.zeros(2).big(asked.nexus.to.relative_port);
    store(out.written(), boost::endian::native_to_big(static_cast<std::uint32_t>(out.size() - 4)));
    return give(std::move(out).finish(), asked.big32(6));
}

/// SPC-4 §6.34: no priority is kept beyond the one in each command.
answer report_priority(const request& asked) {
    byte_writer out;
    out.zeros(4);
    return give(std::move(out).finish(), asked.big32(6));
}

/// SPC-4 §6.32: none was set, since SET IDENTIFYING INFORMATION is not there.
answer report_identifying_information(const request& asked) {
    const auto type = asked.byte(10) >> 1;
    const bool supported_types = type == 0x7f;
    if (type != 0 && type != 2 && !supported_types) return invalid_cdb_field(10, 7);
    byte_writer out;
    out.zeros(4);
    return give(std::move(out).finish(), asked.big32(6));
}

}  // namespace obd::scsi::plan

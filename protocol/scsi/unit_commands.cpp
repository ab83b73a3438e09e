// Commands about the unit as a whole: is it ready, what ails it, start, stop, lock, diagnose, reserve.
#include "protocol/scsi/planners.hpp"
#include "protocol/scsi/unit_core.hpp"

namespace obd::scsi::plan {

/// What could stop it was looked at before (nexus_core::obstacle).
answer test_unit_ready(const request&) {
    return good();
}

/// SPC-4 §6.39: a waiting unit attention is what there is to tell, then what keeps the unit from being ready; else it
/// is fine.
answer request_sense(const request& asked) {
    const auto format = asked.bit(1, 0) ? sense_format::descriptor : sense_format::fixed;
    auto told = asked.unit.sanitize_condition().value_or(sense{});
    if (const auto waiting = asked.nexus.take_attention()) told = waiting->as_sense();
    return give(encode(told, format), asked.byte(4));
}

/// SBC-3 §5.25. An image needs no motor: power conditions are taken and change nothing. LOEJ ejects and loads where the
/// medium is removable, and is ignored where it is not.
answer start_stop_unit(const request& asked) {
    constexpr sense removal_prevented{.key = sense_key::illegal_request, .asc = 0x53, .ascq = 0x02};
    const auto power_condition = asked.byte(4) >> 4;
    const bool load_eject = asked.bit(4, 1);
    if (power_condition != 0 || !load_eject || !asked.unit.removable) return good();
    const auto move = asked.bit(4, 0) ? medium_move::load : medium_move::eject;
    if (!asked.unit.move_medium(move, asked.nexus)) return removal_prevented;
    return good();
}

answer prevent_allow_medium_removal(const request& asked) {
    const auto prevent = asked.byte(4) & 3;
    if (prevent > 1) return invalid_cdb_field(4, 1);  // SBC-3 §5.10: obsolete
    asked.unit.prevent_removal(asked.nexus, prevent == 1);
    return good();
}

/// SPC-4 §6.42: only the default self-test, which has nothing to test that a read would not.
answer send_diagnostic(const request& asked) {
    if (asked.byte(1) >> 5 != 0) return invalid_cdb_field(1, 7);  // SELF-TEST CODE
    if (asked.big16(3) != 0) return invalid_cdb_field(3);         // PARAMETER LIST LENGTH: no diagnostic pages to send
    return good();
}

/// SPC-4 §7.2.2: page 00h, Supported Diagnostic Pages, is the only one.
answer receive_diagnostic_results(const request& asked) {
    if (asked.bit(1, 0) && asked.byte(2) != 0) return invalid_cdb_field(2);
    byte_writer out;
    out.zeros(2).big<std::uint16_t>(1).zeros(1);
    return give(std::move(out).finish(), asked.big16(3));
}

answer reserve_unit(const request& asked) {
    if (asked.unit.reserve_unit(asked.nexus)) return good();
    return completed{.code = status::reservation_conflict};
}

answer release_unit(const request& asked) {
    if (asked.unit.release_unit(asked.nexus)) return good();
    return completed{.code = status::reservation_conflict};
}

}  // namespace obd::scsi::plan

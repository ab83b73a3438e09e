#include "protocol/scsi/reservations.hpp"

#include <algorithm>

#include "protocol/scsi/opcode.hpp"
#include "protocol/scsi/sense.hpp"

namespace obd::scsi {

namespace {

namespace sa = service_action;
using outcome = reservation_outcome;

constexpr sense invalid_release{.key = sense_key::illegal_request, .asc = 0x26, .ascq = 0x04};
constexpr sense no_registration_resources{.key = sense_key::illegal_request, .asc = 0x55, .ascq = 0x04};

outcome conflict() {
    return {.how = outcome::end::conflict};
}
outcome refused(const sense& why) {
    return {.how = outcome::end::refused, .why = why};
}

bool known_type(std::uint8_t type) {
    return type == 1 || type == 3 || (type >= 5 && type <= 8);
}

bool all_registrants(reservation_type type) {
    return type == reservation_type::write_exclusive_all_registrants ||
           type == reservation_type::exclusive_access_all_registrants;
}

bool registrants_only(reservation_type type) {
    return type == reservation_type::write_exclusive_registrants_only ||
           type == reservation_type::exclusive_access_registrants_only;
}

bool exclusive_access(reservation_type type) {
    return type == reservation_type::exclusive_access || type == reservation_type::exclusive_access_registrants_only ||
           type == reservation_type::exclusive_access_all_registrants;
}

reservation_nexus nexus_of(const registration& entry) {
    return {entry.port, entry.relative_target_port};
}

}  // namespace

reservations::reservations(reservation_state restored) : state_(std::move(restored)) {
    const bool holder_exists = state_.holder && *state_.holder < state_.registrations.size();
    if (!holder_exists) state_.holder.reset();
    const bool lost_holder = state_.held && !all_registrants(*state_.held) && !state_.holder;
    if (lost_holder || state_.registrations.empty()) let_go();
}

std::optional<std::size_t> reservations::find(const reservation_nexus& who) const {
    for (std::size_t i = 0; i < state_.registrations.size(); ++i) {
        if (nexus_of(state_.registrations[i]) == who) return i;
    }
    return {};
}

bool reservations::is_holder(std::size_t index) const {
    return state_.held && (all_registrants(*state_.held) || state_.holder == index);
}

bool reservations::conflicts(const reservation_nexus& from, access how) const {
    if (!state_.held || how == access::always || how == access::reservation) return false;
    const auto type = *state_.held;
    const auto mine = find(from);
    if (mine && (is_holder(*mine) || registrants_only(type))) return false;
    return how != access::reads || exclusive_access(type);
}

void reservations::let_go() {
    state_.held.reset();
    state_.holder.reset();
}

void reservations::notify_others(const reservation_nexus& except, attention what,
                                 std::vector<reservation_notice>& notices) const {
    for (const auto& entry : state_.registrations) {
        const auto who = nexus_of(entry);
        if (who != except) notices.push_back({.to = who, .what = what});
    }
}

/// Forgets a registration; the reservation goes with its holder, and SPC-4 §5.13.11.2 tells the other registrants.
void reservations::remove(std::size_t index, std::vector<reservation_notice>& notices) {
    const auto who = nexus_of(state_.registrations[index]);
    const bool was_single_holder = state_.held && !all_registrants(*state_.held) && state_.holder == index;
    state_.registrations.erase(state_.registrations.begin() + static_cast<std::ptrdiff_t>(index));
    if (state_.holder && *state_.holder > index) --*state_.holder;
    if (was_single_holder) {
        if (registrants_only(*state_.held)) notify_others(who, attentions::reservations_released, notices);
        let_go();
    }
    if (state_.registrations.empty()) let_go();
}

outcome reservations::apply(const reservation_nexus& from, const reserve_out& what) {
    const bool registers = what.action == sa::register_key || what.action == sa::register_and_ignore_existing_key;
    if (registers) return register_key(from, what);
    // SPC-4 §5.13.5: every other action needs a registration, and its key.
    const auto mine = find(from);
    if (!mine || state_.registrations[*mine].key != what.key) return conflict();
    const bool names_scope = what.action == sa::reserve || what.action == sa::release || what.action == sa::preempt ||
                             what.action == sa::preempt_and_abort;
    if (names_scope && what.scope != 0) return refused(invalid_cdb_field(2, 7));
    if (names_scope && !known_type(what.type)) return refused(invalid_cdb_field(2, 3));
    if (what.action == sa::reserve) return reserve(*mine, what);
    if (what.action == sa::release) return release(*mine, what);
    if (what.action == sa::clear) return clear(*mine);
    if (what.action == sa::register_and_move) return move(*mine, what);
    return preempt(*mine, what);
}

/// SPC-4 §5.13.7, tables 56 and 57.
outcome reservations::register_key(const reservation_nexus& from, const reserve_out& what) {
    const bool checks_key = what.action == sa::register_key;
    if (what.ports && !checks_key) return refused(invalid_parameter_field(20, 3));
    const auto mine = find(from);
    if (mine) {
        if (checks_key && state_.registrations[*mine].key != what.key) return conflict();
        if (what.ports) return refused(invalid_parameter_field(20, 3));
        return change_key(*mine, what);
    }
    if (checks_key && what.key != 0) return conflict();
    if (what.action_key == 0) {
        ++generation_;
        return {};
    }
    return add_registrations(from, what);
}

outcome reservations::change_key(std::size_t mine, const reserve_out& what) {
    outcome done;
    if (what.action_key == 0) {
        remove(mine, done.notices);
    } else {
        state_.registrations[mine].key = what.action_key;
    }
    state_.aptpl = what.aptpl;
    ++generation_;
    return done;
}

outcome reservations::add_registrations(const reservation_nexus& from, const reserve_out& what) {
    std::vector<reservation_nexus> wanted{from};
    if (what.ports) {
        for (const auto& port : *what.ports) {
            const reservation_nexus other{port, from.relative_target_port};
            // SPC-4 §5.13.7: a port that is registered already ends the command, and nothing is registered.
            if (find(other)) return refused(invalid_parameter_field(24));
            if (std::ranges::find(wanted, other) == wanted.end()) wanted.push_back(other);
        }
    }
    if (state_.registrations.size() + wanted.size() > max_registrations) return refused(no_registration_resources);
    for (auto& who : wanted) {
        state_.registrations.push_back({std::move(who.port), who.relative_target_port, what.action_key});
    }
    state_.aptpl = what.aptpl;
    ++generation_;
    return {};
}

/// SPC-4 §5.13.9.
outcome reservations::reserve(std::size_t mine, const reserve_out& what) {
    const auto type = static_cast<reservation_type>(what.type);
    if (state_.held) return is_holder(mine) && *state_.held == type ? outcome{} : conflict();
    state_.held = type;
    if (!all_registrants(type)) state_.holder = mine;
    return {};
}

/// SPC-4 §5.13.11.2.
outcome reservations::release(std::size_t mine, const reserve_out& what) {
    if (!state_.held || !is_holder(mine)) return {};
    if (*state_.held != static_cast<reservation_type>(what.type)) return refused(invalid_release);
    outcome done;
    const bool others_had_access = all_registrants(*state_.held) || registrants_only(*state_.held);
    if (others_had_access) {
        notify_others(nexus_of(state_.registrations[mine]), attentions::reservations_released, done.notices);
    }
    let_go();
    return done;
}

/// SPC-4 §5.13.11.6.
outcome reservations::clear(std::size_t mine) {
    outcome done;
    notify_others(nexus_of(state_.registrations[mine]), attentions::reservations_preempted, done.notices);
    state_.registrations.clear();
    let_go();
    ++generation_;
    return done;
}

/// Removes the registrations with `key` (0: all) but the preemptor's when `keep_preemptor`. False when there was none.
bool reservations::remove_by_key(std::uint64_t key, const reservation_nexus& preemptor, bool abort, bool keep_preemptor,
                                 std::vector<reservation_notice>& notices) {
    bool found = false;
    for (std::size_t i = 0; i < state_.registrations.size();) {
        const auto who = nexus_of(state_.registrations[i]);
        const bool matches = key == 0 || state_.registrations[i].key == key;
        const bool own = who == preemptor;
        found = found || matches;
        if (!matches || (own && keep_preemptor)) {
            ++i;
            continue;
        }
        if (!own) notices.push_back({.to = who, .what = attentions::registrations_preempted, .abort_tasks = abort});
        remove(i, notices);
    }
    return found;
}

/// SPC-4 §5.13.11.4 and figure 9.
outcome reservations::preempt(std::size_t mine, const reserve_out& what) {
    const bool abort = what.action == sa::preempt_and_abort;
    const auto me = nexus_of(state_.registrations[mine]);
    const auto type = static_cast<reservation_type>(what.type);
    const bool all = state_.held && all_registrants(*state_.held);
    const bool of_holder = state_.held && !all && state_.registrations[*state_.holder].key == what.action_key;
    const bool takes_over = all ? what.action_key == 0 : of_holder;
    if (what.action_key == 0 && !all) return refused(invalid_parameter_field(8));

    outcome done;
    if (!takes_over) {
        if (!remove_by_key(what.action_key, me, abort, false, done.notices)) return conflict();
        ++generation_;
        return done;
    }
    const bool changes_type = *state_.held != type;
    let_go();
    remove_by_key(all ? 0 : what.action_key, me, abort, true, done.notices);
    if (changes_type) {
        for (const auto& entry : state_.registrations) {
            const auto who = nexus_of(entry);
            if (who != me) done.notices.push_back({.to = who, .what = attentions::reservations_released});
        }
    }
    state_.held = type;
    if (!all_registrants(type)) state_.holder = find(me);
    ++generation_;
    return done;
}

/// SPC-4 §5.13.8.
outcome reservations::move(std::size_t mine, const reserve_out& what) {
    if (!state_.held || !is_holder(mine) || all_registrants(*state_.held)) return conflict();
    if (what.action_key == 0) return refused(invalid_parameter_field(8));
    const reservation_nexus to{what.ports->front(), what.relative_target_port};
    const auto me = nexus_of(state_.registrations[mine]);
    if (to == me) return refused(invalid_parameter_field(24));

    auto target = find(to);
    if (target) {
        state_.registrations[*target].key = what.action_key;
    } else {
        if (state_.registrations.size() >= max_registrations) return refused(no_registration_resources);
        target = state_.registrations.size();
        state_.registrations.push_back({to.port, to.relative_target_port, what.action_key});
    }
    state_.holder = target;
    state_.aptpl = what.aptpl;
    ++generation_;
    outcome done;
    if (what.unregister) remove(mine, done.notices);
    return done;
}

}  // namespace obd::scsi

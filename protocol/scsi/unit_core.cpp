#include "protocol/scsi/unit_core.hpp"

#include <algorithm>

namespace obd::scsi {

unit_statistics& unit_statistics::operator+=(const unit_statistics& other) {
    read_commands += other.read_commands;
    write_commands += other.write_commands;
    blocks_received += other.blocks_received;
    blocks_transmitted += other.blocks_transmitted;
    read_intervals += other.read_intervals;
    write_intervals += other.write_intervals;
    return *this;
}

unit_core::unit_core(unit_options options)
    : id(std::move(options.id)),
      device(std::move(options.device)),
      removable(options.removable),
      persist_(std::move(options.persist)) {
    ASSERT(device != nullptr);
    if (options.restored) {
        if (options.restored->reservations.aptpl) reservations_ = reservations(options.restored->reservations);
        saved_ = options.restored->saved_mode;
        current_ = saved_;
        sanitize_ = options.restored->sanitize;
    }
    descriptor_sense = current_.descriptor_sense;
    software_write_protect = current_.software_write_protect;
    write_cache_enabled = current_.write_cache_enabled;
    update_hurdles();
}

std::optional<sense> unit_core::write_protection() const noexcept {
    if (device->geometry().access == access_mode::read_only) return senses::write_protected;
    if (software_write_protect.load(std::memory_order_relaxed)) return senses::software_write_protected;
    return {};
}

void unit_core::update_hurdles() {
    std::uint32_t now = 0;
    if (reservations_.held() || reserved_by_ != nullptr) now |= reserved;
    if (ejected_) now |= no_medium;
    if (sanitize_ != unfinished_sanitize::none) now |= unsanitized;
    hurdles.store(now, std::memory_order_release);
}

void unit_core::join(nexus_core& nexus) {
    const std::scoped_lock hold(lock_);
    nexuses_.push_back(&nexus);
    nexus.attached_ = true;
    nexus.add(attentions::power_on);
}

/// SAM-5 §6.3.4, I_T nexus loss.
void unit_core::leave(nexus_core& nexus) {
    const std::scoped_lock hold(lock_);
    if (!nexus.attached_) return;
    nexus.attached_ = false;
    std::erase(nexuses_, &nexus);
    of_gone_nexuses_ += nexus.statistics();
    if (reserved_by_ == &nexus) reserved_by_ = nullptr;
    update_hurdles();
}

void unit_core::raise(attention what, const nexus_core* except) {
    const std::scoped_lock hold(lock_);
    for (auto* nexus : nexuses_) {
        if (nexus != except) nexus->add(what);
    }
}

/// SAM-5 §6.3.3: reservations of SPC-2 and PREVENT end, mode pages go back to what was saved.
void unit_core::reset(reset_kind kind) {
    const std::scoped_lock hold(lock_);
    reserved_by_ = nullptr;
    current_ = saved_;
    descriptor_sense = current_.descriptor_sense;
    software_write_protect = current_.software_write_protect;
    write_cache_enabled = current_.write_cache_enabled;
    const auto what = kind == reset_kind::logical_unit ? attentions::unit_reset : attentions::power_on;
    for (auto* nexus : nexuses_) {
        nexus->prevents_removal_ = false;
        nexus->copies_.clear();
        nexus->add(what);
    }
    update_hurdles();
}

persistent_state unit_core::state() const {
    const std::scoped_lock hold(lock_);
    return {.reservations = reservations_.state(), .saved_mode = saved_, .sanitize = sanitize_};
}

bool unit_core::save() {
    if (!persist_) return false;
    return persist_({.reservations = reservations_.state(), .saved_mode = saved_, .sanitize = sanitize_}).has_value();
}

unit_statistics unit_core::statistics() const {
    const std::scoped_lock hold(lock_);
    auto sum = of_gone_nexuses_;
    for (const auto* nexus : nexuses_) sum += nexus->statistics();
    return sum;
}

mode_settings unit_core::current_mode() const {
    const std::scoped_lock hold(lock_);
    return current_;
}

mode_settings unit_core::saved_mode() const {
    const std::scoped_lock hold(lock_);
    return saved_;
}

bool unit_core::set_mode(const mode_settings& wanted, bool save_too, const nexus_core& by) {
    const std::scoped_lock hold(lock_);
    if (save_too && wanted != saved_) {
        const auto before = std::exchange(saved_, wanted);
        if (!save()) {
            saved_ = before;
            return false;
        }
    }
    if (wanted == current_) return true;
    current_ = wanted;
    descriptor_sense = wanted.descriptor_sense;
    software_write_protect = wanted.software_write_protect;
    write_cache_enabled = wanted.write_cache_enabled;
    for (auto* nexus :
         nexuses_) {  // SPC-4 §6.11: "…for all I_T nexuses except the one on which the command was received"
        if (nexus != &by) nexus->add(attentions::mode_parameters_changed);
    }
    return true;
}

bool unit_core::conflicts(const nexus_core& from, access how, opcode code) const {
    const std::scoped_lock hold(lock_);
    if (reserved_by_ != nullptr) {
        // SPC-2 table 10: what another initiator may still send.
        const bool allowed = code == opcode::inquiry || code == opcode::report_luns || code == opcode::request_sense ||
                             code == opcode::log_sense || code == opcode::release_6 || code == opcode::release_10 ||
                             code == opcode::read_capacity_10 ||
                             (code == opcode::prevent_allow_medium_removal && how == access::always);
        if (reserved_by_ != &from) return !allowed;
    }
    return reservations_.conflicts(from.as_reservation_nexus(), how);
}

/// SPC-2 §7.22, and SPC-4 §5.13.3: a persistent registration or reservation of anyone makes it a conflict.
bool unit_core::reserve_unit(const nexus_core& by) {
    const std::scoped_lock hold(lock_);
    if (reservations_.any_registration()) return false;
    if (reserved_by_ != nullptr && reserved_by_ != &by) return false;
    reserved_by_ = &by;
    update_hurdles();
    return true;
}

/// SPC-2 §7.17: the release of a reservation that one does not hold is GOOD and does nothing.
bool unit_core::release_unit(const nexus_core& by) {
    const std::scoped_lock hold(lock_);
    if (reservations_.any_registration()) return false;
    if (reserved_by_ == &by) reserved_by_ = nullptr;
    update_hurdles();
    return true;
}

answer unit_core::reserve_out_from(const nexus_core& by, const reserve_out& what) {
    constexpr sense could_not_save{.key = sense_key::hardware_error, .asc = 0x44, .ascq = 0x00};
    const std::scoped_lock hold(lock_);
    const auto before = reservations_;
    const auto outcome = reservations_.apply(by.as_reservation_nexus(), what);
    if (outcome.how == reservation_outcome::end::conflict) return completed{.code = status::reservation_conflict};
    if (outcome.how == reservation_outcome::end::refused) return outcome.why;
    const bool kept_before = before.state().aptpl;
    if ((kept_before || reservations_.state().aptpl) && before.state() != reservations_.state() && !save()) {
        reservations_ = before;
        return could_not_save;
    }
    completed done;
    for (const auto& notice : outcome.notices) {
        for (auto* nexus : nexuses_) {
            if (nexus->as_reservation_nexus() != notice.to) continue;
            nexus->add(notice.what);
            if (notice.abort_tasks) done.abort_tasks_of.push_back(nexus->id);
        }
    }
    update_hurdles();
    return done;
}

reservations unit_core::reservations_now() const {
    const std::scoped_lock hold(lock_);
    return reservations_;
}

void unit_core::prevent_removal(nexus_core& by, bool prevent) {
    const std::scoped_lock hold(lock_);
    by.prevents_removal_ = prevent;
}

/// A prevented unit keeps its medium, and without one keeps its slot shut.
bool unit_core::move_medium(medium_move how, const nexus_core& by) {
    const std::scoped_lock hold(lock_);
    if (std::ranges::any_of(nexuses_, [](const auto* nexus) { return nexus->prevents_removal_; })) return false;
    const bool was_out = std::exchange(ejected_, how == medium_move::eject);
    if (was_out && !ejected_) {
        for (auto* nexus : nexuses_) {
            if (nexus != &by) nexus->add(attentions::medium_changed);
        }
    }
    update_hurdles();
    return true;
}

}  // namespace obd::scsi

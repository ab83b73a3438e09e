// SANITIZE. SBC-4, "Sanitize operations" (model) and "SANITIZE command".
//
// Block erase is the one method that a writable layer can do: what was written goes from its files, and the disk reads
// as zeros. To overwrite in place is what a log-structured layer cannot, and there is no key to change for a
// cryptographic erase: both are refused, and not listed.
//
// A sanitize that began must end well before anyone may use the medium again. So it is noted as unfinished on stable
// storage before the first block goes, and a daemon that dies in between comes back with the unit in failure mode.
#include "protocol/scsi/planners.hpp"
#include "protocol/scsi/unit_core.hpp"

namespace obd::scsi {

namespace {

/// Ends the sanitize operation with the work, or, if that never succeeded, in failure mode.
class sanitize_lease final : public operation_lease {
public:
    explicit sanitize_lease(std::shared_ptr<unit_core> unit) : unit_(std::move(unit)) {}
    ~sanitize_lease() override {
        if (!done_) unit_->end_sanitize(sanitize_end::failed);
    }
    sanitize_lease(const sanitize_lease&) = delete;
    sanitize_lease& operator=(const sanitize_lease&) = delete;

    void succeeded() noexcept override {
        done_ = true;
        unit_->end_sanitize(sanitize_end::done);
    }

private:
    std::shared_ptr<unit_core> unit_;
    bool done_ = false;
};

constexpr std::uint16_t list_length_at = 7;
constexpr std::uint8_t ause_bit = 5;

}  // namespace

answer plan::sanitize_block_erase(const request& asked) {
    constexpr sense could_not_note{.key = sense_key::hardware_error, .asc = 0x44, .ascq = 0x00};
    if (asked.big16(list_length_at) != 0) return invalid_cdb_field(list_length_at);
    if (const auto refused = asked.unit.write_protection()) return *refused;  // before the operation begins
    const auto mode = asked.bit(1, ause_bit) ? unfinished_sanitize::unrestricted : unfinished_sanitize::restricted;
    switch (asked.unit.begin_sanitize(mode)) {
        case sanitize_begin::refused:
            return invalid_cdb_field(1, ause_bit);
        case sanitize_begin::not_kept:
            return could_not_note;
        case sanitize_begin::begun:
            break;
    }
    operation work;
    work.kind = operation_kind::erase;
    work.immediate = asked.bit(1, 7);
    work.lease = std::make_shared<sanitize_lease>(asked.nexus.unit);
    return work;
}

/// SBC-4: without a failure there is nothing to leave, which is no error; a failure in restricted completion mode can
/// only be left by a sanitize operation that succeeds.
answer plan::sanitize_exit_failure_mode(const request& asked) {
    if (asked.big16(list_length_at) != 0) return invalid_cdb_field(list_length_at);
    if (!asked.unit.exit_sanitize_failure()) return invalid_cdb_field(1, 4);
    return good();
}

sanitize_begin unit_core::begin_sanitize(unfinished_sanitize mode) {
    const std::scoped_lock hold(lock_);
    // "If a sanitize operation in the restricted completion mode completes with an error, and a subsequent SANITIZE
    // command requests the unrestricted completion mode…" it is refused.
    const bool widens = sanitize_ == unfinished_sanitize::restricted && mode == unfinished_sanitize::unrestricted;
    if (widens || sanitizing_) return sanitize_begin::refused;
    const auto before = std::exchange(sanitize_, mode);
    if (can_save() && !save()) {
        sanitize_ = before;
        return sanitize_begin::not_kept;
    }
    sanitizing_ = true;
    update_hurdles();
    return sanitize_begin::begun;
}

void unit_core::end_sanitize(sanitize_end how) {
    const std::scoped_lock hold(lock_);
    sanitizing_ = false;
    if (how == sanitize_end::done) {
        const auto before = std::exchange(sanitize_, unfinished_sanitize::none);
        if (can_save() && !save()) sanitize_ = before;  // or it would be unfinished again after a restart
    }
    update_hurdles();
}

bool unit_core::exit_sanitize_failure() {
    const std::scoped_lock hold(lock_);
    if (sanitize_ == unfinished_sanitize::restricted) return false;
    const auto before = std::exchange(sanitize_, unfinished_sanitize::none);
    if (before != sanitize_ && can_save() && !save()) {
        sanitize_ = before;
        return false;
    }
    update_hurdles();
    return true;
}

std::optional<sense> unit_core::sanitize_condition() const {
    constexpr sense in_progress{.key = sense_key::not_ready, .asc = 0x04, .ascq = 0x1b, .progress = 0};
    constexpr sense command_failed{.key = sense_key::medium_error, .asc = 0x31, .ascq = 0x03};
    const std::scoped_lock hold(lock_);
    if (sanitizing_) return in_progress;
    if (sanitize_ != unfinished_sanitize::none) return command_failed;
    return {};
}

bool passes_sanitize(opcode code) noexcept {
    return code == opcode::inquiry || code == opcode::report_luns || code == opcode::request_sense ||
           code == opcode::log_sense || code == opcode::mode_sense_6 || code == opcode::mode_sense_10 ||
           code == opcode::maintenance_in;
}

}  // namespace obd::scsi

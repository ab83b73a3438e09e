// A nexus of a logical unit: the order of checks that every command goes through, and the steps of its life.
#include "protocol/scsi/device_server.hpp"

#include <algorithm>

#include "protocol/scsi/inquiry.hpp"
#include "protocol/scsi/unit_core.hpp"

namespace obd::scsi {

namespace {

/// INVALID MESSAGE ERROR: a task with the ACA attribute needs an ACA condition, and there is none (NORMACA = 0).
constexpr sense invalid_message{.key = sense_key::illegal_request, .asc = 0x49, .ascq = 0x00};
constexpr sense medium_not_present{.key = sense_key::not_ready, .asc = 0x3a, .ascq = 0x00};

/// SAM-5 §5.14: these are processed as if no unit attention waited, and leave it waiting (REQUEST SENSE takes it
/// itself).
bool passes_attentions(const_bytes cdb) {
    const auto code = static_cast<opcode>(cdb[0]);
    return code == opcode::inquiry || code == opcode::report_luns || code == opcode::request_sense;
}

/// Commands that look at the medium, so that an ejected one stops them.
bool needs_medium(const command_spec& spec) {
    return spec.takes != duration::moment || spec.code == opcode::test_unit_ready ||
           spec.code == opcode::read_capacity_10 || spec.code == opcode::service_action_in_16;
}

sense unknown_command(const_bytes cdb) {
    if (has_service_actions(std::to_integer<std::uint8_t>(cdb[0]))) return invalid_cdb_field(1, 4);
    return senses::invalid_operation_code;
}

void bump(std::atomic<std::uint64_t>& counter, std::uint64_t by) noexcept {
    counter.store(counter.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
}

}  // namespace

nexus_core::nexus_core(std::shared_ptr<unit_core> of, nexus_id number, initiator_port initiator, target_port target,
                       std::shared_ptr<const unit_directory> others)
    : unit(std::move(of)), id(number), from(std::move(initiator)), to(std::move(target)), directory(std::move(others)) {
    unit->join(*this);
}

nexus_core::~nexus_core() {
    unit->leave(*this);
}

void nexus_core::detach() {
    unit->leave(*this);
}

void nexus_core::add(attention what) {
    attentions_.add(what);
    attention_waits_.store(true, std::memory_order_release);
}

std::optional<attention> nexus_core::take_attention() {
    if (!attention_waits_.load(std::memory_order_acquire)) return {};
    const std::scoped_lock hold(unit->lock_);
    const auto first = attentions_.take();
    attention_waits_.store(!attentions_.empty(), std::memory_order_release);
    return first;
}

void nexus_core::forget(attention what) {
    if (!attention_waits_.load(std::memory_order_acquire)) return;
    const std::scoped_lock hold(unit->lock_);
    attentions_.remove(what);
    attention_waits_.store(!attentions_.empty(), std::memory_order_release);
}

void nexus_core::commands_cleared() {
    const std::scoped_lock hold(unit->lock_);
    if (attached_) add(attentions::commands_cleared);
}

std::optional<waiting_attention> nexus_core::pending_attention() const {
    const std::scoped_lock hold(unit->lock_);
    const auto& waiting = attentions_.waiting();
    if (waiting.empty()) return {};
    return waiting_attention{.first = waiting.front().as_sense(), .more = waiting.size() > 1};
}

void nexus_core::nexus_reset() {
    const std::scoped_lock hold(unit->lock_);
    if (!attached_) return;
    if (unit->reserved_by_ == this) unit->reserved_by_ = nullptr;
    prevents_removal_ = false;
    copies_.clear();
    add(attentions::nexus_loss);
    unit->update_hurdles();
}

completed nexus_core::check_condition(const sense& what) const {
    return scsi::check_condition(what, unit->format());
}

decision nexus_core::conclude(answer said) const {
    if (const auto* refused = std::get_if<sense>(&said)) return check_condition(*refused);
    if (auto* work = std::get_if<operation>(&said)) return std::move(*work);
    if (auto* end = std::get_if<completed>(&said)) return std::move(*end);
    return std::get<wants_parameters>(said);
}

/// What stands in the way of the command before anyone looks at its fields, in the order of SAM-5 §5.3.3: unit
/// attentions, reservation conflicts, all else.
std::optional<decision> nexus_core::obstacle(const command& what, const command_spec* spec) {
    if (attention_waits_.load(std::memory_order_acquire) && !passes_attentions(what.cdb)) {
        if (const auto waiting = take_attention()) return check_condition(waiting->as_sense());
    }
    const auto hurdles = unit->hurdles.load(std::memory_order_acquire);
    if (hurdles == 0 || spec == nullptr) return {};
    if ((hurdles & unit_core::reserved) != 0 && unit->conflicts(*this, access_of(*spec, what.cdb), spec->code)) {
        return completed{.code = status::reservation_conflict};
    }
    if ((hurdles & unit_core::unsanitized) != 0 && !passes_sanitize(spec->code)) {
        const auto condition = unit->sanitize_condition();
        const bool may_repeat = spec->code == opcode::sanitize && condition && condition->key != sense_key::not_ready;
        if (condition && !may_repeat) return check_condition(*condition);
    }
    if ((hurdles & unit_core::no_medium) != 0 && needs_medium(*spec)) return check_condition(medium_not_present);
    return {};
}

decision nexus_core::begin(const command& what) {
    ASSERT(what.cdb.size() >= 16);
    const auto* spec = find_command(what.cdb);
    if (auto stop = obstacle(what, spec)) return std::move(*stop);
    if (what.attribute == task_attribute::aca) return check_condition(invalid_message);
    if (spec == nullptr) return check_condition(unknown_command(what.cdb));

    const request asked{
        .unit = *unit, .nexus = *this, .what = what, .spec = *spec, .geometry = unit->device->geometry()};
    if (!asked.has(spec->feature)) return check_condition(senses::invalid_operation_code);
    if (const auto unknown = unknown_bit(*spec, what.cdb)) {
        auto refused = senses::invalid_field_in_cdb;
        refused.pointer = unknown;
        return check_condition(refused);
    }
    auto said = spec->plan(asked);
    // What is wrong with the command itself goes first, and one that would write nothing is no offence.
    const bool would_write = std::holds_alternative<operation>(said) || std::holds_alternative<wants_parameters>(said);
    if (spec->medium == access::writes && would_write) {
        if (const auto refused = unit->write_protection()) return check_condition(*refused);
    }
    if (auto* work = std::get_if<operation>(&said)) {
        count(*work, asked.block_bytes());
        return std::move(*work);
    }
    return conclude(std::move(said));
}

decision nexus_core::parameters(const command& what, const_bytes list) {
    const auto* spec = find_command(what.cdb);
    ASSERT(spec != nullptr && spec->accept != nullptr);
    const request asked{
        .unit = *unit, .nexus = *this, .what = what, .spec = *spec, .geometry = unit->device->geometry()};
    return conclude(spec->accept(asked, list));
}

completed nexus_core::finish(const operation& done, const command& what, const operation_result& found) {
    const auto* spec = find_command(what.cdb);
    ASSERT(spec != nullptr);
    if (spec->finish == nullptr) return good();
    const request asked{
        .unit = *unit, .nexus = *this, .what = what, .spec = *spec, .geometry = unit->device->geometry()};
    auto end = conclude(spec->finish(asked, done, found));
    ASSERT(std::holds_alternative<completed>(end));
    return std::get<completed>(std::move(end));
}

void nexus_core::count(const operation& work, std::uint32_t block_bytes) noexcept {
    if (work.data_in_bytes != 0) {
        bump(read_commands_, 1);
        bump(blocks_transmitted_, work.data_in_bytes / block_bytes);
    } else if (work.data_out_bytes != 0) {
        bump(write_commands_, 1);
        bump(blocks_received_, work.data_out_bytes / block_bytes);
    }
}

void nexus_core::took(const operation& work, std::chrono::microseconds time) noexcept {
    const auto us = static_cast<std::uint64_t>(std::max<std::int64_t>(time.count(), 0));
    if (work.kind == operation_kind::read) {
        bump(read_us_, us);
    } else if (work.data_out_bytes != 0) {
        bump(write_us_, us);
    }
}

unit_statistics nexus_core::statistics() const {
    constexpr std::uint64_t us_per_interval = 100;
    return {.read_commands = read_commands_.load(std::memory_order_relaxed),
            .write_commands = write_commands_.load(std::memory_order_relaxed),
            .blocks_received = blocks_received_.load(std::memory_order_relaxed),
            .blocks_transmitted = blocks_transmitted_.load(std::memory_order_relaxed),
            .read_intervals = read_us_.load(std::memory_order_relaxed) / us_per_interval,
            .write_intervals = write_us_.load(std::memory_order_relaxed) / us_per_interval};
}

std::shared_ptr<unit_core> nexus_core::find_unit(std::uint8_t designator_type, const_bytes designator) const {
    if (directory != nullptr) return directory->find_unit(designator_type, designator);
    const auto own = unit_designator(unit->id, designator_type);
    return !own.empty() && std::ranges::equal(own, designator) ? unit : nullptr;
}

void nexus_core::remember_copy(const copy_record& record) {
    const std::scoped_lock hold(unit->lock_);
    std::erase_if(copies_, [&](const copy_record& old) { return old.list_id == record.list_id; });
    if (copies_.size() >= max_copy_records) copies_.erase(copies_.begin());
    copies_.push_back(record);
}

std::optional<copy_record> nexus_core::copy(std::uint8_t list_id) const {
    const std::scoped_lock hold(unit->lock_);
    const auto found = std::ranges::find(copies_, list_id, &copy_record::list_id);
    if (found == copies_.end()) return {};
    return *found;
}

logical_unit::logical_unit(unit_options options) : core_(std::make_shared<unit_core>(std::move(options))) {}
logical_unit::~logical_unit() = default;

const identity& logical_unit::id() const noexcept {
    return core_->id;
}
const std::shared_ptr<block_device>& logical_unit::device() const noexcept {
    return core_->device;
}
void logical_unit::capacity_changed() {
    core_->raise(attentions::capacity_changed);
}
void logical_unit::reset(reset_kind kind) {
    core_->reset(kind);
}
persistent_state logical_unit::state() const {
    return core_->state();
}

std::shared_ptr<unit_nexus> logical_unit::attach(nexus_id id, const initiator_port& from, const target_port& to) {
    return std::make_shared<nexus_core>(core_, id, from, to, nullptr);
}

}  // namespace obd::scsi

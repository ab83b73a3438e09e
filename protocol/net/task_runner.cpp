#include "protocol/net/task_runner.hpp"

#include <algorithm>
#include <utility>

#include "protocol/net/flight.hpp"
#include "protocol/net/to_sense.hpp"

namespace obd::iscsi {
namespace {

// A hot read goes to the socket in slices that stay in the CPU's cache between the copy in and the copy out.
constexpr std::uint32_t slice_bytes = 256 << 10;
// A read that has to wait asks for more at once: one round trip for it.
constexpr std::uint32_t far_slice_bytes = 1 << 20;
// Queued output above this stops reads; below it, a turn collects before it sends.
constexpr std::size_t output_high_water = 1 << 20;
constexpr std::size_t send_at = 256 << 10;
// Memory of one connection for reads that wait for their device, and for Data-Out.
constexpr std::size_t flying_limit = 64 << 20;
constexpr std::size_t held_limit = 128 << 20;

constexpr scsi::sense wrong_data_length{
    .key = scsi::sense_key::illegal_request, .asc = 0x0e, .ascq = 0x03};  // INVALID FIELD IN COMMAND INFORMATION UNIT

bool is_plain_write(const scsi::operation& operation) {
    return operation.kind == scsi::operation_kind::write && operation.when == durability::write_back;
}

// A write may be cut to the whole blocks that the initiator sends; other commands need all of their data.
bool may_be_cut(scsi::operation_kind kind) {
    return kind == scsi::operation_kind::write || kind == scsi::operation_kind::write_and_verify;
}

// Commands whose Data-Out has one right length: what differs was meant for another command, and the medium is not
// touched.
bool wants_exactly(scsi::operation_kind kind) {
    return kind == scsi::operation_kind::write_same || kind == scsi::operation_kind::compare_and_write ||
           kind == scsi::operation_kind::or_write;
}

// Whether the initiator's data is what the operation can work with. Half a block is not: part of what was sent would be
// dropped behind a GOOD.
bool has_usable_length(const scsi::operation& operation, std::uint32_t expected, std::uint32_t block_bytes) {
    if (wants_exactly(operation.kind)) return expected == operation.data_out_bytes;
    if (expected >= operation.data_out_bytes) return true;
    return may_be_cut(operation.kind) && expected % block_bytes == 0;
}

media_access access_of(scsi::operation_kind kind) {
    using enum scsi::operation_kind;
    const bool reads = kind == read || kind == verify || kind == verify_compare || kind == prefetch || kind == extents;
    return reads ? media_access::read : media_access::write;
}

}  // namespace

task_runner::task_runner(session& of, std::unique_ptr<scsi::i_t_nexus> nexus, std::shared_ptr<net_loop> loop,
                         session_record& record, runner_owner& owner, std::shared_ptr<late_operations> late,
                         const runner_limits& limits)
    : session_(of),
      nexus_(std::move(nexus)),
      loop_(std::move(loop)),
      record_(record),
      owner_(owner),
      late_(std::move(late)),
      limits_(limits),
      running_(session::slots) {}

task_runner::~task_runner() {
    for (auto& state : running_) {
        detach(state);
        if (state.unit) state.unit->task_count().fetch_sub(1, std::memory_order_relaxed);
    }
}

scsi::command task_runner::command_of(const scsi_task& task) const {
    return {.nexus = nexus_->id(),
            .cdb = task.cdb_bytes(),
            .attribute = static_cast<scsi::task_attribute>(task.attribute),
            .priority = task.priority,
            .expected_data_out = task.expected_out,
            .expected_data_in = task.room_in};
}

task_runner::running& task_runner::keep(scsi_task& task, scsi::routed& from, step now) {
    auto& state = running_[task.index];
    task.has_host_state = true;
    state.now = now;
    state.unit = std::move(from.unit);
    state.unit->task_count().fetch_add(1, std::memory_order_relaxed);
    if (auto* operation = std::get_if<scsi::operation>(&from.what)) state.operation = std::move(*operation);
    return state;
}

std::uint32_t task_runner::block_bytes(const running& state) const {
    return state.unit->device().geometry().logical_block_bytes;
}

void task_runner::begin(scsi_task& task, const_bytes immediate) {
    count(record_.commands, 1);
    auto routed = nexus_->begin(task.lun, command_of(task));
    if (const auto* operation = std::get_if<scsi::operation>(&routed.what)) {
        if (is_refused(task, routed)) return;
        if (operation->kind == scsi::operation_kind::read) return begin_read(task, routed);
        return begin_operation(task, routed, immediate);
    }
    if (const auto* wants = std::get_if<scsi::wants_parameters>(&routed.what)) {
        const auto bytes = wants->bytes;
        auto& state = keep(task, routed, step::parameters);
        return take_data(task, state, bytes, immediate);
    }
    reply(task, std::get<scsi::completed>(routed.what));
}

// Late operations that it must not meet, and the unit's limit on commands that wait.
bool task_runner::is_refused(scsi_task& task, const scsi::routed& from) {
    const auto answer = [&](scsi::status code) {
        session_.finish(task, static_cast<std::uint8_t>(code), {});
        return true;
    };
    if (late_->stand_in_the_way_of(from.unit->device(), std::get<scsi::operation>(from.what))) {
        return answer(scsi::status::busy);
    }
    if (from.unit->task_count().load(std::memory_order_relaxed) >= limits_.tasks_per_unit) {
        return answer(scsi::status::task_set_full);
    }
    return false;
}

void task_runner::begin_read(scsi_task& task, scsi::routed& from) {
    const auto& operation = std::get<scsi::operation>(from.what);
    task.gives = operation.data_in_bytes;
    const std::uint32_t total = std::min(task.gives, task.room_in);
    if (total == 0) return session_.finish(task, 0, {});
    const bool hot =
        total == operation.data_in_bytes && total <= slice_bytes && owner_.queued_bytes() < output_high_water;
    io_buffer buffer;
    if (hot) {
        buffer = loop_->buffers().get(total);
        if (from.unit->device().try_read(operation.offset, buffer.bytes()) == attempt::complete) {
            count(record_.read_bytes, total);
            session_.data_in(task, std::move(buffer), total, session::slice::last);
            if (owner_.queued_bytes() >= send_at) owner_.send_now();
            return;
        }
    }
    auto& state = keep(task, from, step::operation);
    state.read_total = total;
    if (hot) return launch_read(task, state, std::move(buffer), total);
    read_on(task, state);
}

// Slice after slice, as long as they are hot and the socket takes them.
void task_runner::read_on(scsi_task& task, running& state) {
    while (true) {
        if (owner_.queued_bytes() >= output_high_water) {
            state.wants_output = true;
            for_output_.push_back(task.index);
            return;
        }
        const std::uint32_t left = state.read_total - task.sent;
        const std::uint32_t bytes = std::min(left, slice_bytes);
        const auto whole = static_cast<std::uint32_t>(align_up(bytes, block_bytes(state)));
        auto buffer = loop_->buffers().get(whole);
        const byte_offset at = state.operation.offset + byte_count{task.sent};
        if (state.unit->device().try_read(at, buffer.bytes()) != attempt::complete) {
            const std::uint32_t far = std::min(left, far_slice_bytes);
            if (far != bytes) buffer = loop_->buffers().get(align_up(far, block_bytes(state)));
            return launch_read(task, state, std::move(buffer), far);
        }
        if (send_slice(task, state, std::move(buffer), bytes)) return;
    }
}

/// True when it was the last: the task is gone.
bool task_runner::send_slice(scsi_task& task, running& state, io_buffer data, std::uint32_t bytes) {
    const bool last = task.sent + bytes == state.read_total;
    count(record_.read_bytes, bytes);
    session_.data_in(task, std::move(data), bytes, last ? session::slice::last : session::slice::more);
    if (owner_.queued_bytes() >= send_at) owner_.send_now();
    return last;
}

void task_runner::launch_read(scsi_task& task, running& state, io_buffer buffer, std::uint32_t bytes) {
    if (flying_bytes_ != 0 && flying_bytes_ + buffer.size() > flying_limit) {
        state.wants_memory = true;
        for_memory_.push_back(task.index);
        return;
    }
    auto one = std::make_shared<flight>();
    one->operation.kind = scsi::operation_kind::read;
    one->operation.offset = state.operation.offset + byte_count{task.sent};
    one->bytes = bytes;
    state.flying_bytes = static_cast<std::uint32_t>(buffer.size());
    flying_bytes_ += state.flying_bytes;
    one->in = std::move(buffer);
    fly(std::move(one), task, state);
}

void task_runner::begin_operation(scsi_task& task, scsi::routed& from, const_bytes immediate) {
    const auto& operation = std::get<scsi::operation>(from.what);
    const std::uint32_t takes = operation.data_out_bytes;
    if (is_plain_write(operation) && takes != 0 && immediate.size() >= takes && !task.unsolicited_open) {
        task.takes = takes;
        if (from.unit->device().try_write(operation.offset, immediate.first(takes)) == attempt::complete) {
            count(record_.written_bytes, takes);
            return session_.finish(task, 0, {});
        }
    }
    auto& state = keep(task, from, step::operation);
    if (takes == 0) return launch(task, state, {});
    if (!has_usable_length(state.operation, task.expected_out, block_bytes(state)))
        return refuse(task, state, wrong_data_length);
    take_data(task, state, takes, immediate);
}

void task_runner::take_data(scsi_task& task, running& state, std::uint32_t bytes, const_bytes immediate) {
    const std::uint32_t kept = std::min(bytes, task.expected_out);
    if (kept > buffer_pool::largest || (held_bytes_ != 0 && held_bytes_ + kept > held_limit)) {
        return session_.finish(task, static_cast<std::uint8_t>(scsi::status::task_set_full), {});
    }
    state.held_bytes = kept;
    held_bytes_ += kept;
    session_.take_data(task, bytes, immediate);
}

void task_runner::data_arrived(scsi_task& task) {
    auto& state = running_[task.index];
    if (state.now == step::parameters) return run_parameters(task, state);
    run_operation(task, state);
}

void task_runner::run_parameters(scsi_task& task, running& state) {
    const auto unit = state.unit;
    auto decision = unit->parameters(command_of(task), task.out.bytes());
    if (const auto* outcome = std::get_if<scsi::completed>(&decision)) return reply(task, *outcome);
    if (auto* operation = std::get_if<scsi::operation>(&decision)) {
        state.now = step::operation;
        state.operation = std::move(*operation);
        return launch(task, state, {});
    }
    // A parameter list that asks for another one.
    fail(task, *unit, obd::fail(errc::unsupported, "parameters after parameters"), media_access::write);
}

void task_runner::run_operation(scsi_task& task, running& state) {
    const auto& operation = state.operation;
    const const_bytes out = task.out.bytes();
    if (out.empty()) return session_.finish(task, 0, {});  // the initiator sends nothing: the residual tells
    if (is_plain_write(operation) && state.unit->device().try_write(operation.offset, out) == attempt::complete) {
        count(record_.written_bytes, out.size());
        return session_.finish(task, 0, {});
    }
    launch(task, state, out);
}

void task_runner::launch(scsi_task& task, running& state, const_bytes out) {
    auto one = std::make_shared<flight>();
    one->operation = std::move(state.operation);
    one->out = std::move(task.out);
    one->out_bytes = out.size();
    if (one->operation.immediate) {
        // IMMED: the status comes before the work is done, and nobody waits for that.
        const auto early = static_cast<std::uint8_t>(one->operation.early);
        one->unit = state.unit;
        one->loop = loop_;
        one->start();
        return session_.finish(task, early, {});
    }
    fly(std::move(one), task, state);
}

void task_runner::fly(std::shared_ptr<flight> one, scsi_task& task, running& state) {
    one->loop = loop_;
    one->unit = state.unit;
    one->runner = this;
    one->task_index = task.index;
    state.since = std::chrono::steady_clock::now();
    state.expired = false;
    state.flying = one;
    ++flights_;
    one->start();
}

void task_runner::detach(running& state) {
    if (state.flying == nullptr) return;
    state.flying->runner = nullptr;
    state.flying.reset();
    flying_bytes_ -= state.flying_bytes;
    state.flying_bytes = 0;
    --flights_;
}

void task_runner::landed(flight& one) {
    const auto alive = one.shared_from_this();
    scsi_task& task = session_.task_at(one.task_index);
    auto& state = running_[one.task_index];
    const bool expired = state.expired;
    const auto waited = std::chrono::steady_clock::now() - state.since;
    one.unit->took(one.operation, std::chrono::duration_cast<std::chrono::microseconds>(waited));
    detach(state);
    owner_.something_ended();
    if (task.state == task_state::aborting) {
        session_.task_ended(task);
    } else if (!*one.outcome) {
        auto what = one.outcome->error();
        if (expired) what.code = make_error_code(errc::timed_out);
        fail(task, *one.unit, what, access_of(one.operation.kind));
    } else if (one.operation.kind == scsi::operation_kind::read) {
        landed_read(task, state, one);
    } else {
        count(record_.written_bytes, access_of(one.operation.kind) == media_access::write ? one.out_bytes : 0);
        reply(task, one.unit->finish(one.operation, command_of(task), **one.outcome));
    }
    while (!for_memory_.empty() && flying_bytes_ < flying_limit / 2) {
        const auto index = for_memory_.front();
        for_memory_.erase(for_memory_.begin());
        running_[index].wants_memory = false;
        read_on(session_.task_at(index), running_[index]);
    }
}

void task_runner::landed_read(scsi_task& task, running& state, flight& one) {
    if (!send_slice(task, state, std::move(one.in), one.bytes)) read_on(task, state);
}

void task_runner::output_has_room() {
    while (!for_output_.empty() && owner_.queued_bytes() < output_high_water) {
        const auto index = for_output_.front();
        for_output_.erase(for_output_.begin());
        running_[index].wants_output = false;
        read_on(session_.task_at(index), running_[index]);
    }
}

void task_runner::reply(scsi_task& task, const scsi::completed& outcome) {
    if (!outcome.abort_tasks_of.empty()) {
        task.has_host_state = true;
        auto& held = running_[task.index].held_reply.emplace(outcome);
        const auto whose = std::exchange(held.abort_tasks_of, {});
        return owner_.abort_others(task, whose);
    }
    const auto status = static_cast<std::uint8_t>(outcome.code);
    task.gives = static_cast<std::uint32_t>(outcome.data_in.size());
    const auto count_in = std::min(task.gives, task.room_in);
    if (outcome.code != scsi::status::good || count_in == 0) return session_.finish(task, status, outcome.sense);
    auto buffer = loop_->buffers().get(count_in);
    std::copy_n(outcome.data_in.begin(), count_in, buffer.data());
    session_.data_in(task, std::move(buffer), count_in, session::slice::last);
}

void task_runner::refuse(scsi_task& task, running& state, const scsi::sense& why) {
    // RFC 7143 §11.4.5.1: an overflow tells how much the initiator should have announced.
    const std::uint32_t wanted = state.operation.data_out_bytes;
    task.takes = wanted > task.expected_out ? wanted : 0;
    const auto outcome = state.unit->check_condition(why);
    reply(task, outcome);
}

void task_runner::fail(scsi_task& task, scsi::unit_nexus& unit, const failure& what, media_access access) {
    owner_.report(task, what);
    const auto told = to_sense(what, access);
    task.gives = task.sent;
    task.takes = 0;
    if (told.code != scsi::status::check_condition)
        return session_.finish(task, static_cast<std::uint8_t>(told.code), {});
    const auto outcome = unit.check_condition(told.sense);
    session_.finish(task, static_cast<std::uint8_t>(outcome.code), outcome.sense);
}

void task_runner::others_aborted(std::size_t task_index, std::uint64_t order) {
    scsi_task& task = session_.task_at(task_index);
    auto& state = running_[task_index];
    if (task.order != order || !state.held_reply) return;
    const auto outcome = std::move(*state.held_reply);
    state.held_reply.reset();
    reply(task, outcome);
    owner_.something_ended();
}

session_host::stop task_runner::abort(scsi_task& task) {
    auto& state = running_[task.index];
    if (state.flying == nullptr) return session_host::stop::ended;
    state.flying->give_up();
    return state.flying->harmless() ? session_host::stop::ended : session_host::stop::later;
}

void task_runner::forget(scsi_task& task) {
    auto& state = running_[task.index];
    detach(state);
    if (state.wants_output) std::erase(for_output_, task.index);
    if (state.wants_memory) std::erase(for_memory_, task.index);
    held_bytes_ -= state.held_bytes;
    state.wants_output = state.wants_memory = false;
    state.held_bytes = 0;
    state.held_reply.reset();
    state.now = step::none;
    if (state.unit) state.unit->task_count().fetch_sub(1, std::memory_order_relaxed);
    state.unit.reset();
    state.operation = {};
}

// What changes nothing ends at its deadline, whatever its device does. The rest is asked to end a little earlier, and
// is given up on at the deadline: its range stays closed until the device has returned.
void task_runner::tick(steady_time now) {
    if (flights_ == 0) return;
    for (std::size_t i = 0; i < running_.size(); ++i) {
        auto& state = running_[i];
        if (state.flying == nullptr) continue;
        const auto age = now - state.since;
        const bool harmless = state.flying->harmless();
        if (!state.expired && age >= (harmless ? limits_.deadline : limits_.deadline - limits_.deadline / 8)) {
            state.expired = true;
            state.flying->give_up();
        }
        if (age >= limits_.deadline) give_up_on(i);
    }
}

void task_runner::give_up_on(std::size_t index) {
    auto& state = running_[index];
    scsi_task& task = session_.task_at(index);
    const auto unit = state.unit;
    const auto access = access_of(state.flying->operation.kind);
    const auto why = obd::fail(errc::timed_out, "the device did not answer by the command's deadline");
    if (!state.flying->harmless()) state.flying->leave_to(late_);
    owner_.something_ended();
    if (task.state == task_state::aborting) {
        owner_.report(task, why);
        detach(state);
        return session_.task_ended(task);
    }
    fail(task, *unit, why, access);
}

}  // namespace obd::iscsi

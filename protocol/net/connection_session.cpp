// What the session of a connection asks for beyond the socket: other sessions, targets, logs.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/post.hpp>

#include "protocol/net/connection.hpp"

namespace obd::iscsi {
namespace {

/// Calls a function when the last of its copies is gone: the last session has answered.
std::shared_ptr<void> when_all_gone(std::function<void()> done) {
    return {nullptr, [done = std::move(done)](void*) { done(); }};
}

void abort_in(const std::shared_ptr<session_record>& one, const std::optional<lun_bytes>& lun, bool tell_nexus,
              std::shared_ptr<void> all) {
    asio::post(one->loop->context(), [one, lun, tell_nexus, all = std::move(all)] {
        const auto owner = one->owner.lock();
        if (owner) owner->abort_for(lun, tell_nexus, [all] {});
    });
}

}  // namespace

std::string connection::prefix() const {
    if (!record_) return fmt::format("conn={}", id_);
    return fmt::format("conn={} session={} initiator={}", id_, record_->info.id, record_->info.initiator_name);
}

void connection::send(const_bytes header, const_bytes data, io_buffer owner) {
    if (socket_.get() < 0) return;
    output_.push(framing_, header, data, std::move(owner));
}

void connection::report(const scsi_task& task, const failure& what) {
    if (core_->may_warn())
        core_->log.error("{} itt={:08x} command failed error=\"{}\"", prefix(), task.initiator_task_tag,
                         what.message());
}

// SAM-5 §7.9: UADE_DEPTH tells whether more than this one wait.
std::optional<attention_bytes> connection::pending_attention(const lun_bytes& lun) {
    const auto unit = runner_->nexus().find(lun);
    const auto waiting = unit ? unit->pending_attention() : std::nullopt;
    if (!waiting) return std::nullopt;
    constexpr unsigned one = 1, several = 2;
    const auto depth = (waiting->more ? several : one) << 4;
    const auto key = static_cast<unsigned>(waiting->first.key);
    return attention_bytes{static_cast<std::uint8_t>(depth | key), waiting->first.asc, waiting->first.ascq};
}

// PREEMPT AND ABORT, SPC-4 §5.12.11.5: the tasks of the named nexuses end before the command does.
void connection::abort_others(const scsi_task& task, const std::vector<scsi::nexus_id>& whose) {
    const auto all = when_all_gone([self = shared_from_this(), index = task.index, order = task.order] {
        asio::post(self->loop_->context(), [self, index, order] {
            if (self->phase_ == phase::full_feature) self->runner_->others_aborted(index, order);
        });
    });
    const std::optional<lun_bytes> lun = task.lun;
    for (const auto& one : core_->sessions_beside(*record_)) {
        if (std::find(whose.begin(), whose.end(), one->nexus.load()) == whose.end()) continue;
        if (one != record_) {
            abort_in(one, lun, true, all);
            continue;
        }
        session_->abort_tasks(lun, &task);
        waiters_.push_back({lun, true, [all] {}});
        loop_->poller().defer(*this);
    }
}

// RFC 7143 §11.5: CLEAR TASK SET and the resets concern all sessions of the logical unit, or of the target.
void connection::manage(const management_request& request) {
    const bool whole_target =
        request.function == task_function::target_warm_reset || request.function == task_function::target_cold_reset;
    const std::optional<lun_bytes> lun = whole_target ? std::nullopt : std::optional(request.lun);
    const bool tell_nexus = request.function == task_function::clear_task_set;
    auto all = when_all_gone([self = shared_from_this(), request] {
        asio::post(self->loop_->context(), [self, request] {
            if (self->phase_ != phase::full_feature) return;
            self->reset_units(request);
            self->session_->management_done(request.initiator_task_tag, task_response::function_complete);
            if (self->close_after_send_) self->say_dropped();  // a cold reset
            self->loop_->poller().defer(*self);
        });
    });
    if (request.function == task_function::i_t_nexus_reset) return;
    for (const auto& one : core_->sessions_beside(*record_)) {
        if (one != record_) abort_in(one, lun, tell_nexus, all);
    }
}

void connection::reset_units(const management_request& request) {
    core_->log.warn("{} task management function={} from=initiator", prefix(), static_cast<unsigned>(request.function));
    if (request.function == task_function::logical_unit_reset) {
        if (const auto unit = runner_->nexus().find(request.lun)) unit->reset_unit(scsi::reset_kind::logical_unit);
        return;
    }
    if (request.function == task_function::i_t_nexus_reset) return runner_->nexus().reset();
    if (request.function == task_function::clear_task_set || !record_->where) return;
    const bool cold = request.function == task_function::target_cold_reset;
    for (const auto& unit : record_->units->units()) {
        unit->reset(cold ? scsi::reset_kind::hard : scsi::reset_kind::logical_unit);
    }
    if (!cold) return;
    // RFC 7143 §11.5.1: a cold reset ends all sessions of the target; this one when its answer has left.
    for (const auto& one : core_->sessions_beside(*record_)) {
        if (one == record_) continue;
        asio::post(one->loop->context(), [one] {
            if (const auto owner = one->owner.lock()) owner->drop("target cold reset");
        });
    }
    // Its own session is told after the function's response, which management_done() sends.
    reason_ = "target cold reset";
    close_after_send_ = true;
}

void connection::abort_for(const std::optional<lun_bytes>& lun, bool tell_nexus, std::function<void()> done) {
    if (phase_ == phase::closed || !session_) return done();
    bool any = false;
    session_->for_each_task([&](const scsi_task& task) { any = any || !lun || task.unit == unit_key(*lun); });
    if (phase_ == phase::full_feature) {
        if (any && session_->parameters().fast_abort) tell_fast_abort(lun);
        session_->abort_tasks(lun);
    }
    if (any && tell_nexus && lun && runner_) {
        if (const auto unit = runner_->nexus().find(*lun)) unit->commands_cleared();
    }
    waiters_.push_back({lun, true, std::move(done)});
    loop_->poller().defer(*this);
    check_waiters();
}

// RFC 7143 §4.2.3.4: one message for each unit whose tasks end by the wish of another session.
void connection::tell_fast_abort(const std::optional<lun_bytes>& lun) {
    std::vector<lun_bytes> told;
    session_->for_each_task([&](const scsi_task& task) {
        if (lun && task.unit != unit_key(*lun)) return;
        if (std::find(told.begin(), told.end(), task.unit) == told.end()) told.push_back(task.unit);
    });
    for (const auto& unit : told) session_->send_async(async_event::tasks_terminated, {.lun = unit});
}

void connection::when_idle(const lun_bytes& lun, std::function<void()> done) {
    if (phase_ == phase::closed || !session_) return done();
    waiters_.push_back({lun, false, std::move(done)});
    check_waiters();
}

void connection::ask_logout(std::uint16_t seconds) {
    if (phase_ != phase::full_feature) return;
    asked_logout_ = true;
    session_->send_async(async_event::logout_request, {.third = seconds});
    loop_->poller().defer(*this);
}

void connection::terminate(std::string_view reason, std::function<void()> done) {
    if (phase_ == phase::closed) return done();
    waiters_.push_back({std::nullopt, true, std::move(done)});
    close(reason);
}

// RFC 7143 §11.9.1: Parameter2 and Parameter3 are the times to wait and to retain; nothing is retained at level 0.
void connection::say_dropped() {
    const auto wait = static_cast<std::uint16_t>(session_->parameters().default_time2wait);
    session_->send_async(async_event::session_drop, {.second = wait});
}

void connection::drop(std::string_view reason) {
    if (phase_ == phase::full_feature) {
        say_dropped();
        send_now();
    }
    terminate(reason, [] {});
}

// RFC 7143 appendix C.
std::optional<std::string> connection::send_targets(std::string_view value, session_type type) {
    std::string reply;
    const auto add = [&](const target& one) {
        append_pair(reply, "TargetName", one.options.name);
        reply += target_addresses();
    };
    if (type == session_type::discovery) {
        if (value == "All") {
            for (const auto& one : core_->visible_to(record_->info.initiator_name)) add(*one);
            return reply;
        }
        if (value.empty()) return std::nullopt;
    } else if (value == "All") {
        return std::nullopt;
    }
    const auto name = value.empty() ? record_->info.target_name : normalise_name(value).value_or("");
    if (type == session_type::normal && name != record_->info.target_name) return reply;
    const auto found = core_->find_target(name);
    if (found && !found->closing && found->admits(record_->info.initiator_name)) add(*found);
    return reply;
}

// The address that the initiator came to works for it; other portals are told when they are addresses it may reach.
std::string connection::target_addresses() const {
    std::string reply;
    const auto tag = "," + std::to_string(core_->options.portal_group_tag);
    append_pair(reply, "TargetAddress", local_.text() + tag);
    for (const auto& portal : core_->portals) {
        if (portal.is_wildcard() || portal.is_loopback() != local_.is_loopback() || portal.text() == local_.text())
            continue;
        append_pair(reply, "TargetAddress", portal.text() + tag);
    }
    return reply;
}

}  // namespace obd::iscsi

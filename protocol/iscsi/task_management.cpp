// Task management functions. RFC 7143 §4.2.3.3, §11.5-6. The session ends its own tasks; what reaches further (other
// sessions' tasks, resets) the host does.
#include <algorithm>

#include "protocol/iscsi/session.hpp"

namespace obd::iscsi {
namespace {

constexpr std::size_t managements_limit = 32;

// Functions that name a logical unit; the two target resets and TASK REASSIGN do not.
bool names_unit(task_function function) {
    return function >= task_function::abort_task && function <= task_function::logical_unit_reset;
}

}  // namespace

pdu_verdict session::on_task_management(const pdu_view& pdu) {
    const auto bhs = load<task_management_request_bhs>(pdu.header);
    end_of_command(load<basic_bhs>(pdu.header));
    const auto function = static_cast<task_function>(bhs.function & 0x7f);
    const auto lun = load<std::array<std::byte, 8>>(pdu.header, offsetof(task_management_request_bhs, lun));
    const auto answer = [&](task_response response) {
        send_management_response(bhs.initiator_task_tag, response);
        return pdu_verdict::go_on;
    };
    if (managements_.size() >= managements_limit) return answer(task_response::function_rejected);
    if (names_unit(function) && !host_.unit_exists(lun)) return answer(task_response::lun_does_not_exist);
    managements_.push_back({{bhs.initiator_task_tag, function, lun}, false});
    switch (function) {
        case task_function::abort_task: {
            bool waits = false;
            const auto response = abort_one(bhs, waits);
            if (waits) return pdu_verdict::go_on;
            managements_.pop_back();
            answer(response);
            return release_held();
        }
        case task_function::abort_task_set:
        case task_function::clear_task_set:
        case task_function::logical_unit_reset:
            abort_tasks(lun);
            break;
        case task_function::target_warm_reset:
        case task_function::target_cold_reset:
            abort_tasks(std::nullopt);
            break;
        case task_function::task_reassign:
            managements_.pop_back();
            return answer(task_response::reassignment_not_supported);
        case task_function::clear_aca:
            managements_.pop_back();
            return answer(task_response::function_not_supported);
        default:
            managements_.pop_back();
            return answer(task_response::function_not_supported);
    }
    check_management();
    return pdu_verdict::go_on;
}

// RFC 7143 §11.6.1: a task that is not here, but whose RefCmdSN is still to come before this request, counts as
// received and aborted; otherwise it does not exist (any more).
task_response session::abort_one(const task_management_request_bhs& bhs, bool& waits) {
    scsi_task* task = find_task(bhs.referenced_task_tag);
    if (task != nullptr &&
        task->lun == load<std::array<std::byte, 8>>(bytes_of(bhs), offsetof(task_management_request_bhs, lun))) {
        // The pending entry then stands for this task: concerns() compares the LUN and `aborting` tells the rest.
        waits = !abort_task(*task);
        return task_response::function_complete;
    }
    const serial32 referenced{bhs.ref_cmd_sn};
    const bool in_window = !before(referenced, window_.expected()) && !before(window_.max(), referenced);
    if (!in_window || !before(referenced, serial32{bhs.cmd_sn})) return task_response::task_does_not_exist;
    // An acknowledgement NOP keeps its place in the order, instead of the command if that is held already.
    basic_bhs nop{};
    nop.opcode_byte = static_cast<std::uint8_t>(opcode::nop_out);
    nop.initiator_task_tag = reserved_tag;
    nop.cmd_sn = bhs.ref_cmd_sn;
    std::erase_if(held_, [&](const held_pdu& held) { return held.cmd_sn == referenced; });
    const auto header = bytes_of(nop);
    held_.push_back({referenced, {header.begin(), header.end()}, {}, {}});
    return task_response::function_complete;
}

bool session::abort_task(scsi_task& task) {
    if (task.state == task_state::aborting) return false;
    if (task.state == task_state::running && host_.abort(task) == session_host::stop::later) {
        task.state = task_state::aborting;
        task.unsolicited_open = false;
        release_window(task);
        return false;
    }
    free_task(task);
    return true;
}

void session::abort_tasks(const std::optional<std::array<std::byte, 8>>& lun) {
    // free_task() would begin tasks that waited for one of these.
    unblocking_ = true;
    for_each_task([&](scsi_task& task) {
        if (!lun || task.lun == *lun) abort_task(task);
    });
    unblocking_ = false;
    if (blocked_ != 0) unblock();
}

bool session::aborting(const std::optional<std::array<std::byte, 8>>& lun) const {
    return std::any_of(tasks_.begin(), tasks_.end(), [&](const scsi_task& task) {
        return task.state == task_state::aborting && (!lun || task.lun == *lun);
    });
}

bool session::concerns(const management_request& request, const scsi_task& task) const {
    return !names_unit(request.function) || request.lun == task.lun;
}

void session::task_ended(scsi_task& task) {
    free_task(task);
    check_management();
}

// Passes on, or answers, every function whose tasks are all gone.
void session::check_management() {
    for (std::size_t i = 0; i < managements_.size();) {
        auto& pending = managements_[i];
        const bool waits = std::any_of(tasks_.begin(), tasks_.end(), [&](const scsi_task& task) {
            return task.state == task_state::aborting && concerns(pending.request, task);
        });
        if (waits || pending.passed_on) {
            ++i;
            continue;
        }
        const management_request request = pending.request;
        if (request.function == task_function::abort_task || request.function == task_function::abort_task_set) {
            managements_.erase(managements_.begin() + static_cast<std::ptrdiff_t>(i));
            send_management_response(request.initiator_task_tag, task_response::function_complete);
            continue;
        }
        pending.passed_on = true;
        host_.manage(request);  // may answer at once and so change the list
        i = 0;
    }
}

void session::management_done(std::uint32_t initiator_task_tag, task_response response) {
    const auto found = std::find_if(managements_.begin(), managements_.end(), [&](const pending_management& pending) {
        return pending.passed_on && pending.request.initiator_task_tag == initiator_task_tag;
    });
    if (found == managements_.end()) return;
    managements_.erase(found);
    send_management_response(initiator_task_tag, response);
}

void session::send_management_response(std::uint32_t initiator_task_tag, task_response response) {
    task_management_response_bhs bhs{};
    bhs.opcode_byte = static_cast<std::uint8_t>(opcode::task_management_response);
    bhs.flags = final_bit;
    bhs.response = static_cast<std::uint8_t>(response);
    bhs.initiator_task_tag = initiator_task_tag;
    status_numbers(bhs);
    host_.send(bytes_of(bhs), {}, {});
}

}  // namespace obd::iscsi

// Task management functions. RFC 7143 §4.2.3, §11.5-6, and those of RFC 7144. The session ends its own tasks; what
// reaches further (other sessions' tasks, resets, unit attentions) the host does.
#include <algorithm>
#include <utility>

#include "protocol/iscsi/session.hpp"

namespace obd::iscsi {
namespace {

constexpr std::size_t managements_limit = 32;
constexpr std::uint32_t query_level = 2;  // iSCSIProtocolLevel of RFC 7144

bool is_query(task_function function) {
    return function == task_function::query_task || function == task_function::query_task_set ||
           function == task_function::query_asynchronous_event;
}

bool is_target_reset(task_function function) {
    return function == task_function::target_warm_reset || function == task_function::target_cold_reset;
}

// Functions that name a logical unit; the two target resets, TASK REASSIGN and I_T NEXUS RESET do not.
bool names_unit(task_function function) {
    return (function >= task_function::abort_task && function <= task_function::logical_unit_reset) ||
           is_query(function);
}

// Functions on a set of tasks: those that came before the function, by CmdSN.
bool concerns_many(task_function function) {
    return function == task_function::abort_task_set || function == task_function::clear_task_set ||
           function == task_function::logical_unit_reset || function == task_function::i_t_nexus_reset ||
           function == task_function::query_task_set || is_target_reset(function);
}

}  // namespace

lun_bytes unit_key(const lun_bytes& lun) {
    auto key = lun;
    // SAM-5 §4.7.7: flat space addressing (01b) of a LUN below 256 is the same unit as its peripheral address.
    if (key[0] == std::byte{0x40}) key[0] = std::byte{0};
    return key;
}

pdu_verdict session::on_task_management(const pdu_view& pdu) {
    const auto bhs = load<task_management_request_bhs>(pdu.header);
    end_of_command(load<basic_bhs>(pdu.header));
    const auto function = static_cast<task_function>(bhs.function & 0x7f);
    const auto lun = load<lun_bytes>(pdu.header, offsetof(task_management_request_bhs, lun));
    const auto answer = [&](task_response response) {
        send_management_response(bhs.initiator_task_tag, response);
        return pdu_verdict::go_on;
    };
    if (bhs.initiator_task_tag == reserved_tag) return format_error(pdu);
    if (managements_.size() >= managements_limit) return answer(task_response::function_rejected);
    if (names_unit(function) && !host_.unit_exists(lun)) return answer(task_response::lun_does_not_exist);
    if (function == task_function::task_reassign) return answer(task_response::reassignment_not_supported);
    const bool from_rfc7144 = is_query(function) || function == task_function::i_t_nexus_reset;
    const bool known = (function >= task_function::abort_task && function <= task_function::target_cold_reset &&
                        function != task_function::clear_aca) ||
                       (from_rfc7144 && agreed_.protocol_level >= query_level);
    if (!known) return answer(task_response::function_not_supported);
    if (function == task_function::abort_task) return on_abort_task(bhs);
    if (function == task_function::query_task) {
        const scsi_task* task = find_task(bhs.referenced_task_tag);
        const bool there = task != nullptr && task->state != task_state::aborting && task->unit == unit_key(lun);
        return answer(there ? task_response::function_succeeded : task_response::function_complete);
    }
    const serial32 cmd_sn{bhs.cmd_sn};
    if (is_target_reset(function)) plug(cmd_sn);
    managements_.push_back({{bhs.initiator_task_tag, function, lun}, cmd_sn});
    begin_management(managements_.size() - 1);
    return release_held();
}

// RFC 7143 §4.2.3.3: the target waits for all commands before the function to be received, in the order of CmdSN. A
// number that is not in the window any more, or not yet, says nothing.
bool session::waits_for_commands(const pending_management& pending) const {
    return concerns_many(pending.request.function) && before(window_.expected(), pending.cmd_sn) &&
           !before(window_.max() + 1, pending.cmd_sn);
}

void session::begin_management(std::size_t index) {
    auto& pending = managements_[index];
    if (waits_for_commands(pending)) return;
    pending.now = management_step::waits_for_tasks;
    const auto request = pending.request;
    switch (request.function) {
        case task_function::abort_task_set:
        case task_function::clear_task_set:
        case task_function::logical_unit_reset:
            end_tasks(request.lun,
                      agreed_.fast_abort ? data_out_on_its_way::is_dropped : data_out_on_its_way::is_awaited);
            break;
        case task_function::target_warm_reset:
        case task_function::target_cold_reset:
        case task_function::i_t_nexus_reset:
            end_tasks({}, agreed_.fast_abort ? data_out_on_its_way::is_dropped : data_out_on_its_way::is_awaited);
            break;
        case task_function::query_task_set:
        case task_function::query_asynchronous_event:
            return answer_query(index);
        default:
            break;
    }
    check_management();
}

void session::answer_query(std::size_t index) {
    const auto request = managements_[index].request;
    managements_.erase(managements_.begin() + static_cast<std::ptrdiff_t>(index));
    std::optional<attention_bytes> attention;
    bool there = false;
    if (request.function == task_function::query_asynchronous_event) {
        attention = host_.pending_attention(request.lun);
        there = attention.has_value();
    } else {
        for_each_task([&](const scsi_task& task) {
            there = there || (task.state != task_state::aborting && task.unit == unit_key(request.lun));
        });
    }
    send_management_response(request.initiator_task_tag,
                             there ? task_response::function_succeeded : task_response::function_complete,
                             attention.value_or(attention_bytes{}));
}

// Commands came that functions waited for.
void session::begin_due_managements() {
    for (std::size_t i = 0; i < managements_.size(); ++i) {
        if (managements_[i].now != management_step::waits_for_commands || waits_for_commands(managements_[i])) continue;
        begin_management(i);
        i = static_cast<std::size_t>(-1);  // the list may be another one
    }
}

// RFC 7143 §4.2.3.3: for target resets the commands that have not come yet count as received, up to the function.
void session::plug(serial32 cmd_sn) {
    if (!before(window_.expected(), cmd_sn) || before(window_.max() + 1, cmd_sn)) return;
    std::erase_if(held_, [&](const held_pdu& held) {
        if (!before(held.cmd_sn, cmd_sn)) return false;
        held_bytes_ -= held.ahs.size() + held.data.size();
        return true;
    });
    while (window_.expected() != cmd_sn) {
        window_.accept(window_.expected());
        window_.release();
    }
}

pdu_verdict session::on_abort_task(const task_management_request_bhs& bhs) {
    bool waits = false;
    const auto response = abort_one(bhs, waits);
    if (waits) {
        const auto lun = load<lun_bytes>(bytes_of(bhs), offsetof(task_management_request_bhs, lun));
        pending_management pending{{bhs.initiator_task_tag, task_function::abort_task, lun}, serial32{bhs.cmd_sn}};
        pending.now = management_step::waits_for_tasks;
        pending.task_order = find_task(bhs.referenced_task_tag)->order;
        managements_.push_back(pending);
        return pdu_verdict::go_on;
    }
    send_management_response(bhs.initiator_task_tag, response);
    return release_held();
}

// RFC 7143 §11.6.1: a task that is not here, but whose RefCmdSN is still to come before this request, counts as
// received and aborted; otherwise it does not exist (any more).
task_response session::abort_one(const task_management_request_bhs& bhs, bool& waits) {
    scsi_task* task = find_task(bhs.referenced_task_tag);
    const auto lun = load<lun_bytes>(bytes_of(bhs), offsetof(task_management_request_bhs, lun));
    if (task != nullptr && task->unit == unit_key(lun)) {
        waits = !abort_task(*task, data_out_on_its_way::is_dropped);
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
    std::erase_if(held_, [&](const held_pdu& held) {
        if (held.cmd_sn != referenced) return false;
        held_bytes_ -= held.ahs.size() + held.data.size();
        return true;
    });
    const auto header = bytes_of(nop);
    held_.push_back({referenced, {header.begin(), header.end()}, {}, {}});
    return task_response::function_complete;
}

/// True when it is gone.
bool session::abort_task(scsi_task& task, data_out_on_its_way data) {
    if (task.state == task_state::aborting) return false;
    const bool works = task.state == task_state::running && host_.abort(task) == session_host::stop::later;
    const bool sends = task.r2t_count != 0 || task.unsolicited_open;
    task.awaits_data = sends && data == data_out_on_its_way::is_awaited;
    if (!works && !task.awaits_data) {
        free_task(task);
        return true;
    }
    if (task.state == task_state::blocked) --blocked_;
    task.state = task_state::aborting;
    task.device_works = works;
    if (task.awaits_data) ++awaiting_data_;
    release_window(task);
    return false;
}

// Data-Out of a task that is being aborted: only the ends of its sequences matter.
void session::swallow(scsi_task& task, const data_out_bhs& bhs) {
    if (!task.awaits_data || (bhs.flags & final_bit) == 0) return;
    if (bhs.target_transfer_tag == reserved_tag) {
        task.unsolicited_open = false;
    } else {
        const auto end = task.r2ts.begin() + task.r2t_count;
        const auto kept = std::remove_if(task.r2ts.begin(), end, [&](const outstanding_r2t& one) {
            return one.target_transfer_tag == bhs.target_transfer_tag;
        });
        task.r2t_count = static_cast<std::uint8_t>(kept - task.r2ts.begin());
    }
    if (task.r2t_count == 0 && !task.unsolicited_open) data_is_complete(task);
}

void session::data_is_complete(scsi_task& task) {
    task.awaits_data = false;
    --awaiting_data_;
    if (task.device_works) return;
    free_task(task);
    check_management();
}

void session::stop_awaiting_data() {
    for_each_task([&](scsi_task& task) {
        if (task.state == task_state::aborting && task.awaits_data) data_is_complete(task);
    });
}

void session::end_tasks(const std::optional<lun_bytes>& lun, data_out_on_its_way data, const scsi_task* but) {
    // free_task() would begin tasks that waited for one of these.
    const bool already = std::exchange(unblocking_, true);
    for_each_task([&](scsi_task& task) {
        if (&task != but && (!lun || task.unit == unit_key(*lun))) abort_task(task, data);
    });
    unblocking_ = already;
    if (blocked_ != 0) unblock();
}

void session::abort_tasks(const std::optional<lun_bytes>& lun, const scsi_task* but) {
    if (!lun) stop_awaiting_data();
    end_tasks(lun, data_out_on_its_way::is_dropped, but);
}

bool session::aborting(const std::optional<lun_bytes>& lun) const {
    return std::any_of(tasks_.begin(), tasks_.end(), [&](const scsi_task& task) {
        return task.state == task_state::aborting && (!lun || task.unit == unit_key(*lun));
    });
}

// RFC 7143 §4.2.3.2: ABORT TASK is about one task, the others about all of a unit or of the target.
bool session::concerns(const pending_management& pending, const scsi_task& task) const {
    const auto& request = pending.request;
    if (request.function == task_function::abort_task) return pending.task_order == task.order;
    return !names_unit(request.function) || unit_key(request.lun) == task.unit;
}

void session::task_ended(scsi_task& task) {
    task.device_works = false;
    if (task.awaits_data) return;
    free_task(task);
    check_management();
}

// Passes on, or answers, every function whose tasks are all gone.
void session::check_management() {
    for (std::size_t i = 0; i < managements_.size();) {
        auto& pending = managements_[i];
        const bool waits = std::any_of(tasks_.begin(), tasks_.end(), [&](const scsi_task& task) {
            return task.state == task_state::aborting && concerns(pending, task);
        });
        if (waits || pending.now != management_step::waits_for_tasks) {
            ++i;
            continue;
        }
        const management_request request = pending.request;
        if (request.function == task_function::abort_task || request.function == task_function::abort_task_set) {
            managements_.erase(managements_.begin() + static_cast<std::ptrdiff_t>(i));
            send_management_response(request.initiator_task_tag, task_response::function_complete);
            continue;
        }
        pending.now = management_step::passed_on;
        host_.manage(request);  // may answer at once and so change the list
        i = 0;
    }
}

void session::management_done(std::uint32_t initiator_task_tag, task_response response) {
    const auto found = std::find_if(managements_.begin(), managements_.end(), [&](const pending_management& pending) {
        return pending.now == management_step::passed_on && pending.request.initiator_task_tag == initiator_task_tag;
    });
    if (found == managements_.end()) return;
    managements_.erase(found);
    send_management_response(initiator_task_tag, response);
}

void session::send_management_response(std::uint32_t initiator_task_tag, task_response response,
                                       const attention_bytes& information) {
    task_management_response_bhs bhs{};
    bhs.opcode_byte = static_cast<std::uint8_t>(opcode::task_management_response);
    bhs.flags = final_bit;
    bhs.response = static_cast<std::uint8_t>(response);
    bhs.additional_response_information = information;
    bhs.initiator_task_tag = initiator_task_tag;
    status_numbers(bhs);
    host_.send(bytes_of(bhs), {}, {});
}

}  // namespace obd::iscsi

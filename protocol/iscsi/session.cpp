#include "protocol/iscsi/session.hpp"

#include <algorithm>
#include <numeric>

namespace obd::iscsi {
namespace {

// Commands that came ahead of their turn may hold this much data. No initiator does it over one connection.
constexpr std::size_t held_bytes_limit = 1 << 20;

}  // namespace

session::session(session_parameters agreed, serial32 cmd_sn, serial32 stat_sn, session_host& host)
    : agreed_(agreed),
      host_(host),
      window_(cmd_sn, limits::tasks_per_connection),
      stat_sn_(stat_sn),
      task_memory_(std::make_unique<std::array<scsi_task, slots>>()),
      tasks_(*task_memory_) {
    tags_.fill(reserved_tag);
    for (std::size_t i = 0; i < slots; ++i) {
        tasks_[i].index = static_cast<std::uint16_t>(i);
        free_slots_[slots - 1 - i] = static_cast<std::uint16_t>(i);
    }
    free_count_ = slots;
}

pdu_verdict session::close(std::string_view reason) {
    close_reason_ = reason;
    return pdu_verdict::close;
}

pdu_verdict session::on_pdu(const pdu_view& pdu) {
    const auto bhs = load<basic_bhs>(pdu.header);
    if (bhs.code() == opcode::scsi_data_out) return on_data_out(pdu);
    if (!pdu.data_intact) return on_damaged(pdu);
    switch (bhs.code()) {
        case opcode::scsi_command:
        case opcode::nop_out:
        case opcode::task_management_request:
        case opcode::text_request:
        case opcode::logout_request:
            return on_window_pdu(pdu, bhs);
        case opcode::snack_request:
            // RFC 7143 §11.16: nothing can be asked for again at ErrorRecoveryLevel 0.
            reject(pdu, reject_reason::protocol_error);
            return pdu_verdict::go_on;
        case opcode::login_request:
            reject(pdu, reject_reason::protocol_error);
            close_reason_ = "login request in full-feature phase";
            return pdu_verdict::close_after_send;
        default:
            break;
    }
    reject(pdu, reject_reason::command_not_supported);
    return pdu_verdict::go_on;
}

// RFC 7143 §4.2.2.1.
pdu_verdict session::on_window_pdu(const pdu_view& pdu, const basic_bhs& bhs) {
    if (bhs.immediate()) return dispatch(pdu);
    switch (window_.accept(serial32{bhs.cmd_sn})) {
        case command_window::verdict::outside:
            return pdu_verdict::go_on;
        case command_window::verdict::ahead:
            return hold(pdu, serial32{bhs.cmd_sn});
        case command_window::verdict::in_order:
            break;
    }
    const auto verdict = dispatch(pdu);
    if (!managements_.empty()) begin_due_managements();
    if (held_.empty() || verdict != pdu_verdict::go_on) return verdict;
    return release_held();
}

pdu_verdict session::dispatch(const pdu_view& pdu) {
    const auto bhs = load<basic_bhs>(pdu.header);
    if (bhs.code() == opcode::scsi_command) return on_command(pdu);
    auto verdict = pdu_verdict::go_on;
    if (bhs.code() == opcode::nop_out) verdict = on_nop_out(pdu);
    if (bhs.code() == opcode::task_management_request) verdict = on_task_management(pdu);
    if (bhs.code() == opcode::text_request) verdict = on_text(pdu);
    if (bhs.code() == opcode::logout_request) verdict = on_logout(pdu);
    return verdict;
}

// Everything but SCSI commands gives its place in the window back when it is handled.
void session::end_of_command(const basic_bhs& bhs) {
    if (!bhs.immediate()) window_.release();
}

pdu_verdict session::hold(const pdu_view& pdu, serial32 cmd_sn) {
    const bool known =
        std::any_of(held_.begin(), held_.end(), [&](const held_pdu& held) { return held.cmd_sn == cmd_sn; });
    if (known) return pdu_verdict::go_on;
    held_bytes_ += pdu.ahs.size() + pdu.data.size();
    if (held_bytes_ > held_bytes_limit) return close("too much data in commands out of order");
    held_.push_back({cmd_sn,
                     {pdu.header.begin(), pdu.header.end()},
                     {pdu.ahs.begin(), pdu.ahs.end()},
                     {pdu.data.begin(), pdu.data.end()}});
    return pdu_verdict::go_on;
}

pdu_verdict session::release_held() {
    while (true) {
        const auto next = std::find_if(held_.begin(), held_.end(),
                                       [&](const held_pdu& held) { return held.cmd_sn == window_.expected(); });
        if (next == held_.end()) return pdu_verdict::go_on;
        const held_pdu held = std::move(*next);
        held_.erase(next);
        held_bytes_ -= held.ahs.size() + held.data.size();
        if (window_.accept(held.cmd_sn) != command_window::verdict::in_order) return pdu_verdict::go_on;
        const auto verdict = dispatch({held.header, held.ahs, held.data, true});
        if (!managements_.empty()) begin_due_managements();
        if (verdict != pdu_verdict::go_on) return verdict;
    }
}

// RFC 7143 §7.8: the PDU is rejected; a command that is lost with it leaves a hole in CmdSN that only recovery could
// fill.
pdu_verdict session::on_damaged(const pdu_view& pdu) {
    reject(pdu, reject_reason::data_digest_error);
    if (load<basic_bhs>(pdu.header).immediate()) return pdu_verdict::go_on;
    close_reason_ = "data digest error";
    return pdu_verdict::close_after_send;
}

io_buffer session::copy(const_bytes data) {
    if (data.empty()) return {};
    auto buffer = host_.allocate(data.size());
    std::copy(data.begin(), data.end(), buffer.data());
    return buffer;
}

// RFC 7143 §7.13, §11.17: what breaks the protocol is told so, with its header.
void session::reject(const pdu_view& pdu, reject_reason reason) {
    reject_bhs bhs{};
    bhs.opcode_byte = static_cast<std::uint8_t>(opcode::reject);
    bhs.flags = final_bit;
    bhs.reason = static_cast<std::uint8_t>(reason);
    bhs.initiator_task_tag = reserved_tag;
    bhs.data_segment_bytes = static_cast<std::uint32_t>(bhs_bytes);
    status_numbers(bhs);
    auto data = copy(pdu.header);
    const auto bytes = data.bytes();
    host_.send(bytes_of(bhs), bytes, std::move(data));
}

// RFC 7143 §7.7: illegal or inconsistent fields end the connection; the Reject tells why.
pdu_verdict session::format_error(const pdu_view& pdu) {
    reject(pdu, reject_reason::invalid_pdu_field);
    close_reason_ = "a PDU with a format error";
    return pdu_verdict::close_after_send;
}

// RFC 7143 §11.18-19.
pdu_verdict session::on_nop_out(const pdu_view& pdu) {
    const auto bhs = load<nop_out_bhs>(pdu.header);
    const auto basic = load<basic_bhs>(pdu.header);
    if (bhs.initiator_task_tag == reserved_tag) {
        // The answer to our ping, or a mere acknowledgement. It is immediate; otherwise it took a CmdSN.
        if (bhs.target_transfer_tag == ping_tag_) ping_tag_ = reserved_tag;
        end_of_command(basic);
        return pdu_verdict::go_on;
    }
    if (bhs.target_transfer_tag != reserved_tag) {
        end_of_command(basic);
        reject(pdu, reject_reason::protocol_error);
        return pdu_verdict::go_on;
    }
    end_of_command(basic);
    nop_in_bhs answer{};
    answer.opcode_byte = static_cast<std::uint8_t>(opcode::nop_in);
    answer.flags = final_bit;
    answer.lun = bhs.lun;
    answer.initiator_task_tag = bhs.initiator_task_tag;
    answer.target_transfer_tag = reserved_tag;
    auto data = copy(pdu.data.first(std::min<std::size_t>(pdu.data.size(), agreed_.initiator_max_recv_bytes)));
    answer.data_segment_bytes = static_cast<std::uint32_t>(data.size());
    status_numbers(answer);
    const auto bytes = data.bytes();
    host_.send(bytes_of(answer), bytes, std::move(data));
    return pdu_verdict::go_on;
}

void session::ask_ping() {
    if (next_transfer_tag_ == reserved_tag) ++next_transfer_tag_;
    ping_tag_ = next_transfer_tag_++;
    nop_in_bhs bhs{};
    bhs.opcode_byte = static_cast<std::uint8_t>(opcode::nop_in);
    bhs.flags = final_bit;
    bhs.initiator_task_tag = reserved_tag;
    bhs.target_transfer_tag = ping_tag_;
    bhs.stat_sn = stat_sn_.value;  // §11.19: the next one; this PDU does not use it up
    window_numbers(bhs);
    host_.send(bytes_of(bhs), {}, {});
}

void session::send_async(async_event event, const async_parameters& with) {
    async_message_bhs bhs{};
    bhs.opcode_byte = static_cast<std::uint8_t>(opcode::async_message);
    bhs.flags = final_bit;
    const auto lun = load<decltype(bhs.lun)>(with.lun);
    bhs.lun = lun;
    bhs.initiator_task_tag = reserved_tag;
    bhs.event = static_cast<std::uint8_t>(event);
    bhs.parameter1 = with.first;
    bhs.parameter2 = with.second;
    bhs.parameter3 = with.third;
    status_numbers(bhs);
    host_.send(bytes_of(bhs), {}, {});
}

// RFC 7143 §11.14-15. With one connection, closing it and closing the session are the same.
pdu_verdict session::on_logout(const pdu_view& pdu) {
    constexpr std::uint8_t close_session = 0, close_connection = 1;
    constexpr std::uint8_t closed = 0, recovery_not_supported = 2;
    const auto bhs = load<logout_request_bhs>(pdu.header);
    const std::uint8_t reason = bhs.reason & 0x7f;
    end_of_command(load<basic_bhs>(pdu.header));
    if (reason > 2) return format_error(pdu);
    const bool ends = reason == close_session || reason == close_connection;
    if (ends) abort_tasks(std::nullopt);
    logout_response_bhs answer{};
    answer.opcode_byte = static_cast<std::uint8_t>(opcode::logout_response);
    answer.flags = final_bit;
    answer.response = ends ? closed : recovery_not_supported;
    answer.initiator_task_tag = bhs.initiator_task_tag;
    answer.time2wait = static_cast<std::uint16_t>(agreed_.default_time2wait);
    answer.time2retain = 0;  // nothing is kept at ErrorRecoveryLevel 0
    status_numbers(answer);
    host_.send(bytes_of(answer), {}, {});
    if (!ends) return pdu_verdict::go_on;
    close_reason_ = "logout";
    logged_out_ = true;
    return pdu_verdict::close_after_send;
}

}  // namespace obd::iscsi

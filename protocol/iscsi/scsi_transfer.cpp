// SCSI commands of a session: tasks, Data-Out and R2T, Data-In and responses. RFC 7143 §4.2, §11.3-4, §11.7-8.
#include <algorithm>

#include "base/result.hpp"
#include "protocol/iscsi/session.hpp"

namespace obd::iscsi {
namespace {

constexpr std::uint8_t good = 0x00;
constexpr std::uint8_t check_condition = 0x02;
constexpr std::uint8_t ordered_attribute = 2;
constexpr std::uint8_t head_of_queue_attribute = 3;

// Fixed format, current, ABORTED COMMAND. SPC-4 §4.5.3.
std::array<std::byte, 18> aborted_command_sense(transport_sense code) {
    std::array<std::byte, 18> sense{};
    sense[0] = std::byte{0x70};
    sense[2] = std::byte{0x0b};
    sense[7] = std::byte{10};
    sense[12] = static_cast<std::byte>(static_cast<std::uint16_t>(code) >> 8);
    sense[13] = static_cast<std::byte>(static_cast<std::uint16_t>(code) & 0xff);
    return sense;
}

struct residual {
    std::uint32_t count = 0;
    bool over = false;
    bool under = false;
};

// RFC 7143 §11.4.5: overflow when the command had more than the initiator expected, underflow when it had less.
constexpr residual residual_of(std::uint32_t expected, std::uint32_t had) {
    if (had > expected) return {had - expected, true, false};
    if (had < expected) return {expected - had, false, true};
    return {};
}

}  // namespace

scsi_task* session::find_task(std::uint32_t initiator_task_tag) {
    if (active_ == 0 || initiator_task_tag == reserved_tag) return nullptr;
    const auto found = std::find(tags_.begin(), tags_.end(), initiator_task_tag);
    return found == tags_.end() ? nullptr : &tasks_[static_cast<std::size_t>(found - tags_.begin())];
}

scsi_task* session::take_slot(bool immediate) {
    if (free_count_ == 0 || (immediate && immediate_active_ == immediate_slots)) return nullptr;
    scsi_task& task = tasks_[free_slots_[--free_count_]];
    ++active_;
    if (immediate) ++immediate_active_;
    return &task;
}

void session::release_window(scsi_task& task) {
    if (!task.counted) return;
    task.counted = false;
    window_.release();
}

void session::free_task(scsi_task& task) {
    release_window(task);
    if (task.has_host_state) {
        task.has_host_state = false;
        host_.forget(task);
    }
    if (placed_tag_ == task.initiator_task_tag) orphan_ = std::move(task.out);
    task.out.reset();
    if (!task.long_cdb.empty()) task.long_cdb.clear();
    if (!task.sense.empty()) task.sense.clear();
    if (task.attribute == ordered_attribute) --ordered_;
    if (task.immediate) --immediate_active_;
    if (task.state == task_state::blocked) --blocked_;
    if (task.awaits_data) --awaiting_data_;
    task.awaits_data = false;
    task.state = task_state::free;
    tags_[task.index] = reserved_tag;
    free_slots_[free_count_++] = task.index;
    --active_;
    if (blocked_ != 0) unblock();
}

pdu_verdict session::on_command(const pdu_view& pdu) {
    const auto bhs = load<scsi_command_bhs>(pdu.header);
    const bool immediate = (bhs.opcode_byte & immediate_bit) != 0;
    const bool writes = (bhs.flags & command_flag::write) != 0;
    const auto refuse = [&](reject_reason reason) {
        reject(pdu, reason);
        if (!immediate) window_.release();
        return pdu_verdict::go_on;
    };
    if (bhs.initiator_task_tag == reserved_tag) return format_error(pdu);
    if (!writes && (!pdu.data.empty() || (bhs.flags & final_bit) == 0)) return format_error(pdu);
    if (find_task(bhs.initiator_task_tag) != nullptr) return refuse(reject_reason::task_in_progress);
    scsi_task* slot = take_slot(immediate);
    if (slot == nullptr) return refuse(reject_reason::immediate_command_reject);
    scsi_task& task = *slot;
    tags_[task.index] = bhs.initiator_task_tag;
    task.state = task_state::running;
    task.immediate = immediate;
    task.counted = !immediate;
    task.unsolicited_open = false;
    task.reads = (bhs.flags & command_flag::read) != 0;
    task.writes = writes;
    task.attribute = bhs.flags & command_flag::attribute_mask;
    task.priority = bhs.priority & 0x0f;
    task.initiator_task_tag = bhs.initiator_task_tag;
    task.cmd_sn = bhs.cmd_sn;
    task.order = ++command_order_;
    task.lun = load<lun_bytes>(pdu.header, offsetof(scsi_command_bhs, lun));
    task.unit = unit_key(task.lun);
    task.cdb = bhs.cdb;
    task.expected_out = writes ? std::uint32_t{bhs.expected_transfer_bytes} : 0;
    task.room_in = task.reads && !writes ? std::uint32_t{bhs.expected_transfer_bytes} : 0;
    task.takes = task.gives = 0;
    task.received = task.next_r2t = task.r2t_sn = task.data_out_sn = 0;
    task.r2t_count = 0;
    task.device_works = task.awaits_data = false;
    task.broken = transport_sense::none;
    task.sent = task.data_in_sn = 0;
    if (task.attribute == ordered_attribute) ++ordered_;
    if (!pdu.ahs.empty() && !read_ahs(task, pdu.ahs)) {
        free_task(task);
        return format_error(pdu);
    }
    if (writes) expect_unsolicited(task, bhs, pdu.data.size());
    start(task, pdu.data);
    return pdu_verdict::go_on;
}

void session::start(scsi_task& task, const_bytes immediate) {
    if (task.broken != transport_sense::none) {
        task.received = static_cast<std::uint32_t>(immediate.size());
        if (!task.unsolicited_open) return fail_transport(task);
        task.state = task_state::receiving;
        return;
    }
    if (must_wait(task)) return block(task, immediate);
    host_.begin(task, immediate);
}

// RFC 7143 §11.2.2: the extended CDB holds the bytes after the sixteenth.
bool session::read_ahs(scsi_task& task, const_bytes ahs) {
    byte_reader reader(ahs);
    while (reader.remaining() >= 4) {
        const auto length = reader.big<std::uint16_t>();
        const auto type = static_cast<ahs_type>(reader.big<std::uint8_t>());
        if (length == 0) return false;
        const auto body = reader.take(length);
        reader.skip(std::min<std::size_t>(padding_of(length + 3u), reader.remaining()));
        if (!reader.ok()) return false;
        if (type == ahs_type::extended_cdb && length > 1) {
            task.long_cdb.assign(task.cdb.begin(), task.cdb.end());
            task.long_cdb.insert(task.long_cdb.end(), body.begin() + 1, body.end());
        } else if (type == ahs_type::bidirectional_read_length && length == 5) {
            if (task.reads && task.writes) task.room_in = byte_reader(body.subspan(1)).big<std::uint32_t>();
        } else {
            return false;
        }
    }
    return true;
}

// RFC 7143 §4.2.5.2, RFC 7143 §13.10, §13.11, §13.14: what the initiator may send without being asked.
void session::expect_unsolicited(scsi_task& task, const scsi_command_bhs& bhs, std::size_t immediate_bytes) {
    task.unsolicited_open = (bhs.flags & final_bit) == 0;
    const bool forbidden_immediate = immediate_bytes != 0 && !agreed_.immediate_data;
    const bool too_much = immediate_bytes > std::min(agreed_.first_burst_bytes, task.expected_out);
    const bool forbidden_pdus = task.unsolicited_open && agreed_.initial_r2t;
    if (forbidden_immediate || too_much || forbidden_pdus) task.broken = transport_sense::unexpected_unsolicited_data;
}

// SAM-5 §8.6: an ordered task begins when all older ones have ended, and simple ones do not pass it.
bool session::must_wait(const scsi_task& task) const {
    if (ordered_ == 0 || task.attribute == head_of_queue_attribute) return false;
    const bool ordered = task.attribute == ordered_attribute;
    return std::any_of(tasks_.begin(), tasks_.end(), [&](const scsi_task& other) {
        if (other.state == task_state::free || other.order >= task.order || other.unit != task.unit) return false;
        return ordered || other.attribute == ordered_attribute;
    });
}

void session::block(scsi_task& task, const_bytes immediate) {
    task.state = task_state::blocked;
    ++blocked_;
    // What comes before its turn is kept: immediate data, and what the initiator may send unasked.
    const std::size_t unasked = task.unsolicited_open ? std::min(agreed_.first_burst_bytes, task.expected_out) : 0;
    const std::size_t kept = std::max(unasked, immediate.size());
    if (kept == 0) return;
    task.out = host_.allocate(kept);
    std::copy(immediate.begin(), immediate.end(), task.out.data());
    task.received = static_cast<std::uint32_t>(immediate.size());
}

void session::unblock() {
    if (unblocking_) return;
    unblocking_ = true;
    while (blocked_ != 0) {
        scsi_task* next = nullptr;
        for (auto& task : tasks_) {
            if (task.state != task_state::blocked || must_wait(task)) continue;
            if (next == nullptr || task.order < next->order) next = &task;
        }
        if (next == nullptr) break;
        --blocked_;
        next->state = task_state::running;
        const io_buffer held = std::move(next->out);
        start(*next, held.bytes().first(std::min<std::size_t>(next->received, held.size())));
    }
    unblocking_ = false;
}

void session::take_data(scsi_task& task, std::uint32_t bytes, const_bytes immediate) {
    task.takes = bytes;
    const std::uint32_t kept = std::min(bytes, task.expected_out);
    task.received = static_cast<std::uint32_t>(immediate.size());
    if (kept != 0) {
        task.out = host_.allocate(kept);
        std::copy_n(immediate.begin(), std::min<std::size_t>(kept, immediate.size()), task.out.data());
    }
    task.next_r2t = task.received;
    task.state = task_state::receiving;
    advance(task);
}

bool session::in_sequence(const scsi_task& task, const data_out_bhs& bhs) const {
    const std::uint64_t end = std::uint64_t{bhs.buffer_offset} + bhs.data_segment_bytes;
    if (bhs.data_sn != task.data_out_sn || bhs.buffer_offset != task.received) return false;
    if (bhs.target_transfer_tag == reserved_tag) return task.unsolicited_open && end <= task.expected_out;
    return task.r2t_count != 0 && task.r2ts[0].target_transfer_tag == bhs.target_transfer_tag &&
           end <= task.r2ts[0].end;
}

mutable_bytes session::place(const pdu_frame& frame) {
    if (frame.code() != opcode::scsi_data_out) return {};
    const auto bhs = load<data_out_bhs>(frame.header);
    scsi_task* task = find_task(bhs.initiator_task_tag);
    if (task == nullptr || !in_sequence(*task, bhs) || task->broken != transport_sense::none) return {};
    if (task->state != task_state::receiving && task->state != task_state::blocked) return {};
    if (std::uint64_t{task->received} + frame.data_bytes > task->out.size()) return {};
    placed_tag_ = task->initiator_task_tag;
    return task->out.bytes().subspan(task->received, frame.data_bytes);
}

pdu_verdict session::on_data_out(const pdu_view& pdu) {
    const auto bhs = load<data_out_bhs>(pdu.header);
    placed_tag_ = reserved_tag;
    scsi_task* task = find_task(bhs.initiator_task_tag);
    if (!pdu.data_intact) {
        reject(pdu, reject_reason::data_digest_error);
        if (task != nullptr) task->broken = transport_sense::protocol_service_crc_error;
    }
    // Data of a task that was aborted or has ended is swallowed: it was on the way already.
    if (task != nullptr && task->state == task_state::aborting)
        swallow(*task, bhs);
    else if (task != nullptr)
        receive(*task, bhs, pdu);
    orphan_.reset();
    return pdu_verdict::go_on;
}

void session::receive(scsi_task& task, const data_out_bhs& bhs, const pdu_view& pdu) {
    const bool solicited = bhs.target_transfer_tag != reserved_tag;
    if (solicited && (task.r2t_count == 0 || task.r2ts[0].target_transfer_tag != bhs.target_transfer_tag)) {
        reject(pdu, reject_reason::invalid_pdu_field);
        return;
    }
    if (!in_sequence(task, bhs)) {
        // RFC 7143 §7.9: at ErrorRecoveryLevel 0 nothing is asked for again; the command fails once its data has ended.
        if (task.broken == transport_sense::none) {
            task.broken =
                solicited ? transport_sense::protocol_service_crc_error : transport_sense::unexpected_unsolicited_data;
        }
        if ((bhs.flags & final_bit) != 0) end_of_sequence(task, solicited);
        return;
    }
    const auto bytes = static_cast<std::uint32_t>(pdu.data.size());
    if (task.received < task.out.size()) {
        const auto kept = std::min<std::size_t>(bytes, task.out.size() - task.received);
        std::byte* to = task.out.data() + task.received;
        if (pdu.data.data() != to) std::copy_n(pdu.data.begin(), kept, to);
    }
    task.received += bytes;
    ++task.data_out_sn;
    if (!solicited && task.received > agreed_.first_burst_bytes)
        task.broken = transport_sense::unexpected_unsolicited_data;
    if ((bhs.flags & final_bit) != 0) end_of_sequence(task, solicited);
}

void session::end_of_sequence(scsi_task& task, bool solicited) {
    task.data_out_sn = 0;
    if (solicited) {
        const std::uint32_t end = task.r2ts[0].end;
        if (task.received != end && task.broken == transport_sense::none) {
            task.broken =
                transport_sense::not_enough_unsolicited_data;  // §11.4.7.2 calls it "incorrect amount of data"
        }
        task.received = end;
        std::copy(task.r2ts.begin() + 1, task.r2ts.begin() + task.r2t_count, task.r2ts.begin());
        --task.r2t_count;
    } else if (task.unsolicited_open) {
        task.unsolicited_open = false;
        task.next_r2t = task.received;
    }
    advance(task);
}

void session::advance(scsi_task& task) {
    if (task.unsolicited_open) return;
    if (task.state == task_state::finishing) {
        const std::vector<std::byte> sense = std::move(task.sense);
        return send_response(task, task.status, sense);
    }
    if (task.state != task_state::receiving) return;
    if (task.broken != transport_sense::none) {
        if (task.r2t_count == 0) fail_transport(task);
        return;
    }
    if (task.received >= task.out.size()) {
        task.state = task_state::running;
        return host_.data_arrived(task);
    }
    send_r2ts(task);
}

void session::send_r2ts(scsi_task& task) {
    const auto most = std::min<std::size_t>(agreed_.max_outstanding_r2t, r2t_per_task);
    while (task.r2t_count < most && task.next_r2t < task.out.size()) {
        const auto left = static_cast<std::uint32_t>(task.out.size()) - task.next_r2t;
        const std::uint32_t desired = std::min(left, agreed_.max_burst_bytes);
        if (next_transfer_tag_ == reserved_tag) ++next_transfer_tag_;
        ready_to_transfer_bhs bhs{};
        bhs.opcode_byte = static_cast<std::uint8_t>(opcode::ready_to_transfer);
        bhs.flags = final_bit;
        bhs.initiator_task_tag = task.initiator_task_tag;
        bhs.target_transfer_tag = next_transfer_tag_;
        bhs.stat_sn = stat_sn_.value;  // §11.8: the next one, which this PDU does not use up
        window_numbers(bhs);
        bhs.r2t_sn = task.r2t_sn++;
        bhs.buffer_offset = task.next_r2t;
        bhs.desired_bytes = desired;
        task.next_r2t += desired;
        task.r2ts[task.r2t_count++] = {next_transfer_tag_++, task.next_r2t};
        const auto lun = load<decltype(bhs.lun)>(task.lun);
        bhs.lun = lun;
        host_.send(bytes_of(bhs), {}, {});
    }
}

void session::fail_transport(scsi_task& task) {
    task.takes = task.gives = 0;
    const auto sense = aborted_command_sense(task.broken);
    send_response(task, check_condition, sense);
}

void session::data_in(scsi_task& task, io_buffer data, std::uint32_t bytes, slice which) {
    if (which == slice::last && bytes == 0) return send_response(task, good, {});
    if (which == slice::last) release_window(task);
    const std::byte* at = data.data();
    std::uint32_t left = bytes;
    while (left != 0) {
        const std::uint32_t burst_left = agreed_.max_burst_bytes - task.sent % agreed_.max_burst_bytes;
        const std::uint32_t count = std::min({agreed_.initiator_max_recv_bytes, left, burst_left});
        data_in_bhs bhs{};
        bhs.opcode_byte = static_cast<std::uint8_t>(opcode::scsi_data_in);
        bhs.data_segment_bytes = count;
        bhs.initiator_task_tag = task.initiator_task_tag;
        bhs.target_transfer_tag = reserved_tag;
        bhs.data_sn = task.data_in_sn++;
        bhs.buffer_offset = task.sent;
        task.sent += count;
        left -= count;
        // §11.7.1: F ends a sequence, which is as long as MaxBurstLength or ends with the command's data.
        if (count == burst_left) bhs.flags = final_bit;
        if (left == 0 && which == slice::last) {
            const auto rest = residual_of(task.room_in, task.gives);
            bhs.flags =
                static_cast<std::uint8_t>(final_bit | data_in_flag::status | (rest.over ? data_in_flag::overflow : 0) |
                                          (rest.under ? data_in_flag::underflow : 0));
            bhs.residual = rest.count;
            status_numbers(bhs);
        } else {
            window_numbers(bhs);
        }
        host_.send(bytes_of(bhs), {at, count}, left == 0 ? std::move(data) : io_buffer{});
        at += count;
    }
    if (which == slice::last) free_task(task);
}

void session::finish(scsi_task& task, std::uint8_t status, const_bytes sense) {
    if (task.unsolicited_open) {
        task.state = task_state::finishing;
        task.status = status;
        task.sense.assign(sense.begin(), sense.end());
        return;
    }
    send_response(task, status, sense);
}

void session::send_response(scsi_task& task, std::uint8_t status, const_bytes sense) {
    release_window(task);
    scsi_response_bhs bhs{};
    bhs.opcode_byte = static_cast<std::uint8_t>(opcode::scsi_response);
    bhs.status = status;
    bhs.initiator_task_tag = task.initiator_task_tag;
    bhs.exp_data_sn = task.data_in_sn + task.r2t_sn;
    unsigned flags = final_bit;
    const auto in = residual_of(task.room_in, task.gives);
    const auto out = residual_of(task.expected_out, task.takes);
    const auto& main = task.writes ? out : in;
    flags |= (main.over ? response_flag::overflow : 0u) | (main.under ? response_flag::underflow : 0u);
    bhs.residual = main.count;
    if (task.reads && task.writes) {
        flags |= (in.over ? response_flag::bidirectional_overflow : 0u) |
                 (in.under ? response_flag::bidirectional_underflow : 0u);
        bhs.bidirectional_residual = in.count;
    }
    bhs.flags = static_cast<std::uint8_t>(flags);
    io_buffer data;
    if (!sense.empty()) {
        // §11.4.7: SenseLength, then the sense data.
        data = host_.allocate(sense.size() + 2);
        store(data.bytes(), wire::big_uint16_t(static_cast<std::uint16_t>(sense.size())));
        std::copy(sense.begin(), sense.end(), data.data() + 2);
        bhs.data_segment_bytes = static_cast<std::uint32_t>(data.size());
    }
    status_numbers(bhs);
    const auto bytes = data.bytes();
    host_.send(bytes_of(bhs), bytes, std::move(data));
    free_task(task);
}

}  // namespace obd::iscsi

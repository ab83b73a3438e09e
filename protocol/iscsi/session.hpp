// The full-feature phase of a session over its one connection: RFC 7143 chapters 4, 7 and 11. A pure state machine:
// PDUs and the ends of tasks go in, calls on `session_host` come out. Belongs to one thread.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/limits.hpp"
#include "protocol/iscsi/bhs.hpp"
#include "protocol/iscsi/command_window.hpp"
#include "protocol/iscsi/io_buffer.hpp"
#include "protocol/iscsi/parameters.hpp"
#include "protocol/iscsi/pdu_reader.hpp"
#include "protocol/iscsi/task.hpp"

namespace obd::iscsi {

/// A task management function beyond this session's own tasks, which the host carries out.
struct management_request {
    std::uint32_t initiator_task_tag = 0;
    task_function function = task_function::abort_task;
    lun_bytes lun{};
};

/// UADE_DEPTH and sense key, ASC, ASCQ of a unit attention that waits. SAM-5 §7.9.
using attention_bytes = std::array<std::uint8_t, 3>;

/// What a session asks of whoever owns its socket and its logical units. Calls may come back into the session (begin →
/// finish), but never destroy it.
class session_host {
public:
    virtual ~session_host() = default;

    /// Queues one PDU; the host adds padding and digests. `header` is borrowed for the call. `data` lies in `owner`, or
    /// in the owner that comes with a later PDU of the same task; the host releases owners in order, after they were
    /// sent.
    virtual void send(const_bytes header, const_bytes data, io_buffer owner) = 0;
    virtual io_buffer allocate(std::size_t bytes) = 0;

    /// A command's turn has come. `immediate` is the data that is here already, borrowed for the call. The host
    /// answers, now or later, with finish() or data_in(), or now with take_data().
    virtual void begin(scsi_task& task, const_bytes immediate) = 0;
    /// All that take_data() asked for is in task.out.
    virtual void data_arrived(scsi_task& task) = 0;
    /// Stop working on a task that is running. `ended`: nothing of it will touch the medium any more. `later`: the host
    /// calls task_ended() when that is so.
    enum class stop { ended, later };
    virtual stop abort(scsi_task& task) = 0;

    /// A task with `has_host_state` has ended: drop what you keep for it.
    virtual void forget(scsi_task& task) = 0;

    virtual bool unit_exists(const lun_bytes& lun) = 0;
    /// The unit attention that the next command to this unit would report, which stays.
    virtual std::optional<attention_bytes> pending_attention(const lun_bytes& lun) {
        static_cast<void>(lun);
        return std::nullopt;
    }
    /// The session's own tasks that the function concerns have ended; the host does the rest (other sessions' tasks,
    /// resets) and calls management_done().
    virtual void manage(const management_request& request) = 0;

    /// The answer to SendTargets=`value`: pairs, or nothing when the value is not allowed here.
    virtual std::optional<std::string> send_targets(std::string_view value, session_type type) = 0;
};

enum class pdu_verdict {
    go_on,
    close,             ///< now; close_reason() says why
    close_after_send,  ///< when what is queued has left: logout
};

class session {
public:
    session(session_parameters agreed, serial32 cmd_sn, serial32 stat_sn, session_host& host);

    pdu_verdict on_pdu(const pdu_view& pdu);
    /// Where the data of a PDU may be received to, before the PDU is complete: into the task's buffer. Empty: anywhere.
    /// The bytes stay valid until on_pdu() gets that PDU, also when the task is aborted in between.
    mutable_bytes place(const pdu_frame& frame);

    // The host's answers to begin().

    /// The command takes `bytes`; what is beyond the initiator's expectation is cut off. data_arrived() follows, maybe
    /// at once.
    void take_data(scsi_task& task, std::uint32_t bytes, const_bytes immediate);
    enum class slice { more, last };
    /// Data-In from task.sent on: `bytes` of `data`. With the last one goes status GOOD, and the task is gone.
    void data_in(scsi_task& task, io_buffer data, std::uint32_t bytes, slice which);
    /// Status by itself. REQUIRES: task.takes and task.gives are set. The task is gone afterwards.
    void finish(scsi_task& task, std::uint8_t status, const_bytes sense);
    /// A running task that abort() said `later` about has ended.
    void task_ended(scsi_task& task);
    void management_done(std::uint32_t initiator_task_tag, task_response response);

    // What the owner may want at any time.

    /// Ends tasks on behalf of somebody else's task management function (all LUNs when there is none), without any
    /// response, but for one. They are all gone when aborting() says so: look again after task_ended().
    void abort_tasks(const std::optional<lun_bytes>& lun, const scsi_task* but = nullptr);
    /// Some task of that LUN (of any) is still being aborted.
    bool aborting(const std::optional<lun_bytes>& lun) const;
    /// A function waits for Data-Out that the initiator still owes for aborted tasks.
    bool awaiting_data() const { return awaiting_data_ != 0; }
    /// It has been waited for long enough: what still comes is dropped without anybody waiting for it.
    void stop_awaiting_data();

    void ask_ping();
    struct async_parameters {
        std::uint16_t first = 0, second = 0, third = 0;
        lun_bytes lun{};
    };
    void send_async(async_event event, const async_parameters& with);

    const session_parameters& parameters() const { return agreed_; }
    std::string_view close_reason() const { return close_reason_; }
    bool logged_out() const { return logged_out_; }
    std::size_t active_tasks() const { return active_; }
    /// Calls `visit` with every task that is not free.
    template <typename Visit>
    void for_each_task(Visit&& visit) {
        for (std::size_t i = 0; active_ != 0 && i < slots; ++i) {
            if (tasks_[i].state != task_state::free) visit(tasks_[i]);
        }
    }
    scsi_task& task_at(std::size_t index) { return tasks_[index]; }

    /// The window's tasks and some immediate ones beside it.
    static constexpr std::size_t immediate_slots = 16;
    static constexpr std::size_t slots = limits::tasks_per_connection + immediate_slots;

private:
    struct held_pdu {
        serial32 cmd_sn;
        std::vector<std::byte> header, ahs, data;
    };
    enum class management_step : std::uint8_t {
        waits_for_commands,  // with a lower CmdSN
        waits_for_tasks,     // that are being aborted
        passed_on,           // the host works on it
    };
    struct pending_management {
        management_request request;
        serial32 cmd_sn;
        management_step now = management_step::waits_for_commands;
        std::uint64_t task_order = 0;  // of the task of an ABORT TASK
    };
    enum class data_out_on_its_way { is_awaited, is_dropped };

    // session.cpp
    pdu_verdict dispatch(const pdu_view& pdu);
    pdu_verdict on_window_pdu(const pdu_view& pdu, const basic_bhs& bhs);
    pdu_verdict hold(const pdu_view& pdu, serial32 cmd_sn);
    pdu_verdict release_held();
    pdu_verdict on_damaged(const pdu_view& pdu);
    pdu_verdict on_nop_out(const pdu_view& pdu);
    pdu_verdict on_logout(const pdu_view& pdu);
    void reject(const pdu_view& pdu, reject_reason reason);
    pdu_verdict format_error(const pdu_view& pdu);
    pdu_verdict close(std::string_view reason);
    template <typename Bhs>
    void status_numbers(Bhs& bhs);
    template <typename Bhs>
    void window_numbers(Bhs& bhs) const;
    void end_of_command(const basic_bhs& bhs);
    io_buffer copy(const_bytes data);

    // text_negotiation.cpp
    pdu_verdict on_text(const pdu_view& pdu);
    bool answer_text(std::string& reply);
    void send_text(const text_request_bhs& request);

    // scsi_transfer.cpp
    pdu_verdict on_command(const pdu_view& pdu);
    bool read_ahs(scsi_task& task, const_bytes ahs);
    void expect_unsolicited(scsi_task& task, const scsi_command_bhs& bhs, std::size_t immediate_bytes);
    void start(scsi_task& task, const_bytes immediate);
    bool must_wait(const scsi_task& task) const;
    void block(scsi_task& task, const_bytes immediate);
    void unblock();
    pdu_verdict on_data_out(const pdu_view& pdu);
    bool in_sequence(const scsi_task& task, const data_out_bhs& bhs) const;
    void receive(scsi_task& task, const data_out_bhs& bhs, const pdu_view& pdu);
    void end_of_sequence(scsi_task& task, bool solicited);
    void advance(scsi_task& task);
    void send_r2ts(scsi_task& task);
    void fail_transport(scsi_task& task);
    void send_response(scsi_task& task, std::uint8_t status, const_bytes sense);
    void release_window(scsi_task& task);
    scsi_task* take_slot(bool immediate);
    scsi_task* find_task(std::uint32_t initiator_task_tag);
    void free_task(scsi_task& task);

    // task_management.cpp
    pdu_verdict on_task_management(const pdu_view& pdu);
    pdu_verdict on_abort_task(const task_management_request_bhs& bhs);
    task_response abort_one(const task_management_request_bhs& bhs, bool& waits);
    bool waits_for_commands(const pending_management& pending) const;
    void begin_management(std::size_t index);
    void begin_due_managements();
    void answer_query(std::size_t index);
    void plug(serial32 cmd_sn);
    void end_tasks(const std::optional<lun_bytes>& lun, data_out_on_its_way data, const scsi_task* but = nullptr);
    bool abort_task(scsi_task& task, data_out_on_its_way data);
    void swallow(scsi_task& task, const data_out_bhs& bhs);
    void data_is_complete(scsi_task& task);
    void check_management();
    bool concerns(const pending_management& pending, const scsi_task& task) const;
    void send_management_response(std::uint32_t initiator_task_tag, task_response response,
                                  const attention_bytes& information = {});

    session_parameters agreed_;
    session_host& host_;
    command_window window_;
    serial32 stat_sn_;
    std::string_view close_reason_;
    bool logged_out_ = false;

    std::unique_ptr<std::array<scsi_task, slots>> task_memory_;
    std::array<scsi_task, slots>& tasks_;
    std::array<std::uint32_t, slots> tags_;  // ITT of each slot, beside each other for a quick search
    std::array<std::uint16_t, slots> free_slots_;
    std::size_t free_count_ = 0;
    std::size_t active_ = 0;
    std::size_t immediate_active_ = 0;
    std::size_t blocked_ = 0;
    std::size_t awaiting_data_ = 0;
    std::size_t ordered_ = 0;  // ordered tasks that are not done
    bool unblocking_ = false;
    std::uint64_t command_order_ = 0;

    std::uint32_t next_transfer_tag_ = 1;
    std::uint32_t placed_tag_ = reserved_tag;  // ITT of the task into whose buffer a PDU is being received
    io_buffer orphan_;                         // that buffer, when its task went away meanwhile

    std::vector<held_pdu> held_;
    std::size_t held_bytes_ = 0;
    std::vector<pending_management> managements_;

    std::string text_collected_;
    std::string text_pending_;
    std::uint32_t text_tag_ = reserved_tag;
    std::uint32_t ping_tag_ = reserved_tag;
};

template <typename Bhs>
void session::window_numbers(Bhs& bhs) const {
    bhs.exp_cmd_sn = window_.expected().value;
    bhs.max_cmd_sn = window_.max().value;
}

template <typename Bhs>
void session::status_numbers(Bhs& bhs) {
    bhs.stat_sn = stat_sn_.value;
    ++stat_sn_;
    window_numbers(bhs);
}

}  // namespace obd::iscsi

// Runs the SCSI commands of one session on its logical units: what is hot completes in place, the rest suspends into
// coroutines ("flights") with cancellation and a deadline. Belongs to the session's thread.
#pragma once

#include <chrono>
#include <memory>
#include <vector>

#include "base/block_device.hpp"
#include "protocol/iscsi/session.hpp"
#include "protocol/net/late_operations.hpp"
#include "protocol/net/net_loop.hpp"
#include "protocol/net/server_core.hpp"
#include "protocol/net/to_sense.hpp"
#include "protocol/scsi/device_server.hpp"

namespace obd::iscsi {

/// The runner's connection.
class runner_owner {
public:
    virtual ~runner_owner() = default;
    virtual std::size_t queued_bytes() const = 0;
    /// Sends what is queued, as far as the socket takes it. Closes nothing.
    virtual void send_now() = 0;
    /// A task ended outside of a turn: send, and look again at who waits for tasks.
    virtual void something_ended() = 0;
    virtual void report(const scsi_task& task, const failure& what) = 0;
    /// Aborts all tasks of these nexuses on the task's unit but the task itself, then calls runner.others_aborted().
    virtual void abort_others(const scsi_task& task, const std::vector<scsi::nexus_id>& whose) = 0;
};

struct flight;

struct runner_limits {
    std::chrono::milliseconds deadline;  ///< of a command on its device
    std::uint32_t tasks_per_unit;        ///< that wait, of all sessions
};

class task_runner {
public:
    task_runner(session& of, std::unique_ptr<scsi::i_t_nexus> nexus, std::shared_ptr<net_loop> loop,
                session_record& record, runner_owner& owner, std::shared_ptr<late_operations> late,
                const runner_limits& limits);
    ~task_runner();
    task_runner(const task_runner&) = delete;
    task_runner& operator=(const task_runner&) = delete;

    // As session_host has them.
    void begin(scsi_task& task, const_bytes immediate);
    void data_arrived(scsi_task& task);
    session_host::stop abort(scsi_task& task);
    void forget(scsi_task& task);

    /// The socket took what was queued: reads that waited for that go on.
    void output_has_room();
    /// Ends commands that are past their deadline, and lets go of aborted ones whose device does not return.
    void tick(steady_time now);
    /// The answer to runner_owner::abort_others(). `order` is the task's: it may be another one's place by now.
    void others_aborted(std::size_t task_index, std::uint64_t order);

    scsi::i_t_nexus& nexus() { return *nexus_; }

private:
    friend struct flight;
    enum class step : std::uint8_t { none, parameters, operation };
    struct running {
        step now = step::none;
        bool wants_output = false;  ///< a read that waits until the socket has taken what is queued
        bool wants_memory = false;  ///< a read that waits for other flights to land
        bool expired = false;
        std::uint32_t read_total = 0;
        std::uint32_t held_bytes = 0;    ///< of Data-Out memory
        std::uint32_t flying_bytes = 0;  ///< of read memory
        std::shared_ptr<scsi::unit_nexus> unit;
        scsi::operation operation;
        std::shared_ptr<flight> flying;
        steady_time since{};
        std::optional<scsi::completed> held_reply;  ///< goes out when the tasks that it aborts have ended
    };

    scsi::command command_of(const scsi_task& task) const;
    running& keep(scsi_task& task, scsi::routed& from, step now);
    void begin_read(scsi_task& task, scsi::routed& from);
    void begin_operation(scsi_task& task, scsi::routed& from, const_bytes immediate);
    void take_data(scsi_task& task, running& state, std::uint32_t bytes, const_bytes immediate);
    void run_parameters(scsi_task& task, running& state);
    void run_operation(scsi_task& task, running& state);
    void read_on(scsi_task& task, running& state);
    bool send_slice(scsi_task& task, running& state, io_buffer data, std::uint32_t bytes);
    void launch_read(scsi_task& task, running& state, io_buffer buffer, std::uint32_t bytes);
    void launch(scsi_task& task, running& state, const_bytes out);
    void fly(std::shared_ptr<flight> one, scsi_task& task, running& state);
    void landed(flight& one);
    void landed_read(scsi_task& task, running& state, flight& one);
    bool is_refused(scsi_task& task, const scsi::routed& from);
    void give_up_on(std::size_t index);
    void reply(scsi_task& task, const scsi::completed& outcome);
    void fail(scsi_task& task, scsi::unit_nexus& unit, const failure& what, media_access access);
    void refuse(scsi_task& task, running& state, const scsi::sense& why);
    void detach(running& state);
    std::uint32_t block_bytes(const running& state) const;

    session& session_;
    std::unique_ptr<scsi::i_t_nexus> nexus_;
    std::shared_ptr<net_loop> loop_;
    session_record& record_;
    runner_owner& owner_;
    std::shared_ptr<late_operations> late_;
    const runner_limits limits_;
    std::vector<running> running_;           // by task index
    std::vector<std::uint16_t> for_output_;  // tasks that want output, oldest first
    std::vector<std::uint16_t> for_memory_;
    std::size_t flying_bytes_ = 0;
    std::size_t held_bytes_ = 0;
    std::size_t flights_ = 0;
};

}  // namespace obd::iscsi

// One TCP connection: bytes from the socket through framing into the login engine and then the session, and everything
// queued meanwhile back out in one gathered send a turn. Shell of protocol/iscsi; belongs to one event loop's thread,
// but for the functions that say otherwise.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "protocol/iscsi/login.hpp"
#include "protocol/iscsi/session.hpp"
#include "protocol/net/endpoint.hpp"
#include "protocol/net/output_queue.hpp"
#include "protocol/net/server_core.hpp"
#include "protocol/net/socket_poller.hpp"
#include "protocol/net/task_runner.hpp"

namespace obd::iscsi {

class connection final : public pollable,
                         public session_host,
                         public login_policy,
                         public runner_owner,
                         public std::enable_shared_from_this<connection> {
public:
    connection(std::shared_ptr<server_core> core, std::shared_ptr<net_loop> loop, unique_descriptor socket);
    ~connection() override;

    /// Registers with the loop, which owns the connection from then on.
    void start();
    void tick(steady_time now);
    half_open_logins::entry as_half_open();
    /// Closes the socket at once; the session stays known until its tasks have left the medium alone. Not from within a
    /// session call.
    void close(std::string_view reason);

    // For other threads, by asio::post to the loop of the session's record. `done` is called on this loop's thread.

    /// Aborts what other sessions' task management functions concern; `done` when it is over.
    void abort_for(const std::optional<lun_bytes>& lun, bool tell_nexus, std::function<void()> done);
    /// `done` when no task of that LUN is left. Does not abort.
    void when_idle(const lun_bytes& lun, std::function<void()> done);
    /// RFC 7143 §11.9.1: the target asks to be logged out within that time.
    void ask_logout(std::uint16_t seconds);
    /// Ends tasks, closes, and calls `done` when nothing of the session is left.
    void terminate(std::string_view reason, std::function<void()> done);
    /// The same, and tells the initiator. RFC 7143 §11.9.1, event 3.
    void drop(std::string_view reason);

private:
    enum class phase : std::uint8_t { login, waiting, full_feature, draining, closed };
    struct directed_receive {  // a PDU whose data goes straight to its place
        bool active = false;
        std::vector<std::byte> header, ahs;
        mutable_bytes to;
        io_buffer own;  ///< when the session has no place for it
        std::uint32_t filled = 0;
        std::uint32_t tail_bytes = 0;
    };
    struct waiter {
        std::optional<lun_bytes> lun;
        bool aborting_only = false;
        std::function<void()> done;
    };

    // pollable
    void on_events(std::uint32_t events) override;
    void on_turn_end() override;

    // connection.cpp: receiving and sending
    void receive();
    std::size_t feed(const_bytes bytes);
    std::size_t feed_directed(const_bytes bytes);
    void begin_directed(const pdu_frame& frame, const_bytes data);
    void handle(const pdu_view& pdu);
    bool handle_frame(const pdu_frame& frame, const_bytes whole);
    bool stopped() const {
        return failed_ || close_after_send_ || (phase_ != phase::full_feature && phase_ != phase::login);
    }
    void stash_rest(const_bytes rest);
    void flush();
    void send_all();
    void take_up();
    void watch_patience(steady_time now);
    void watch();
    void fail(std::string_view reason);
    void finish_close();
    void check_waiters();

    // connection_login.cpp
    void on_login(const pdu_view& pdu);
    void complete_login();
    void make_record();
    void take_units();
    void refuse_login(login_status status);
    void enter_full_feature();
    void send_login(login_step step);
    void resume();
    admission admit(const login_identity& who, session_type type) override;
    login_status join(const login_identity& who) override;
    void fill_random(mutable_bytes bytes) override;

    // connection_session.cpp: session_host and runner_owner
    void send(const_bytes header, const_bytes data, io_buffer owner) override;
    io_buffer allocate(std::size_t bytes) override { return loop_->buffers().get(bytes); }
    void begin(scsi_task& task, const_bytes immediate) override { runner_->begin(task, immediate); }
    void data_arrived(scsi_task& task) override { runner_->data_arrived(task); }
    stop abort(scsi_task& task) override { return runner_->abort(task); }
    void forget(scsi_task& task) override { runner_->forget(task); }
    bool unit_exists(const lun_bytes& lun) override { return runner_->nexus().find(lun) != nullptr; }
    std::optional<attention_bytes> pending_attention(const lun_bytes& lun) override;
    void manage(const management_request& request) override;
    void abort_others(const scsi_task& task, const std::vector<scsi::nexus_id>& whose) override;
    void say_dropped();
    void tell_fast_abort(const std::optional<lun_bytes>& lun);
    void reset_units(const management_request& request);
    std::optional<std::string> send_targets(std::string_view value, session_type type) override;
    std::string target_addresses() const;
    std::size_t queued_bytes() const override { return output_.bytes(); }
    void send_now() override;
    void something_ended() override { loop_->poller().defer(*this); }
    void report(const scsi_task& task, const failure& what) override;
    std::string prefix() const;

    const std::shared_ptr<server_core> core_;
    const std::shared_ptr<net_loop> loop_;
    unique_descriptor socket_;
    const std::uint64_t id_;
    const endpoint peer_;
    const endpoint local_;
    phase phase_ = phase::login;
    framing framing_;
    std::uint32_t watched_ = 0;
    bool blocked_ = false;  // the socket takes no more for now
    bool failed_ = false;   // to be closed at the end of the turn
    bool close_after_send_ = false;
    bool asked_logout_ = false;  // by us: the initiator's logout is none of its own wish
    bool backlog_ = false;       // whole PDUs may wait in stash_ until the socket has taken more
    std::string reason_;

    std::vector<std::byte> stash_;  // the beginning of a PDU whose rest has not come
    directed_receive directed_;
    output_queue output_;

    std::unique_ptr<login_engine> login_;
    std::optional<login_step> last_step_;     // the one that ends the login, while something is waited for
    std::unique_ptr<initiator_lease> lease_;  // on the units of the initiator, where it has some of its own
    std::shared_ptr<session_record> record_;
    std::unique_ptr<session> session_;
    std::unique_ptr<task_runner> runner_;
    std::vector<waiter> waiters_;
    asio::steady_timer delay_;

    steady_time opened_;
    steady_time last_activity_;
    std::optional<steady_time> pinged_;
    std::optional<steady_time> awaits_data_since_;
};

}  // namespace obd::iscsi

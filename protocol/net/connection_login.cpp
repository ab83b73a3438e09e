// The login phase of a connection: what the login engine asks about targets and sessions, and what happens between its
// last answer and the first command.
#include <spdlog/spdlog.h>
#include <sys/random.h>

#include <boost/asio/post.hpp>

#include "protocol/net/connection.hpp"

namespace obd::iscsi {

void connection::on_login(const pdu_view& pdu) {
    const auto bhs = load<login_request_bhs>(pdu.header);
    if (load<basic_bhs>(pdu.header).code() != opcode::login_request) {
        // RFC 7143 §6.3: before the first login request the connection ends at once, afterwards with a login response.
        if (!login_) return fail("not a login request");
        login_step step;
        step.reply.opcode_byte = static_cast<std::uint8_t>(opcode::login_response);
        login_engine::refuse(step, login_status::invalid_during_login);
        return send_login(std::move(step));
    }
    if (!login_) {
        const login_options options{.preferences = {}, .portal_group_tag = core_->options.portal_group_tag};
        login_ = std::make_unique<login_engine>(options, *this);
    }
    auto step = login_->on_request(bhs, pdu.data);
    if (step.then == login_step::next::full_feature) {
        last_step_ = std::move(step);
        return complete_login();
    }
    if (step.wrong_secret) {
        // A guesser waits longer each time; the connection does nothing else meanwhile.
        phase_ = phase::waiting;
        delay_.expires_after(core_->penalty_for(peer_.host()));
        last_step_ = std::move(step);
        delay_.async_wait([self = shared_from_this()](boost::system::error_code error) {
            if (error || self->phase_ != phase::waiting) return;
            self->send_login(std::move(*self->last_step_));
            self->resume();
        });
        return;
    }
    send_login(std::move(step));
}

void connection::send_login(login_step step) {
    if (step.then == login_step::next::close) {
        const auto status = static_cast<login_status>(step.reply.status_class << 8 | step.reply.status_detail);
        const std::string who = login_ ? login_->identity().initiator_name : std::string();
        if (core_->may_warn())
            core_->log.warn("{} login refused initiator={} peer={} status=\"{}\"", prefix(), who, peer_.text(),
                            to_string(status));
        reason_ = "login refused";
        close_after_send_ = true;
    }
    io_buffer data;
    if (!step.text.empty()) {
        data = loop_->buffers().get(step.text.size());
        std::copy_n(as_bytes(step.text).begin(), step.text.size(), data.data());
    }
    const auto bytes = data.bytes();
    send(bytes_of(step.reply), bytes, std::move(data));
}

/// The end of waiting: as at the end of a turn.
void connection::resume() {
    if (phase_ == phase::waiting) phase_ = phase::login;
    loop_->poller().defer(*this);
}

void connection::make_record() {
    const auto& who = login_->identity();
    record_ = std::make_shared<session_record>();
    record_->isid = who.isid;
    record_->connection_id = who.connection_id;
    record_->owner = weak_from_this();
    record_->loop = loop_.get();
    record_->where = who.target_name.empty() ? nullptr : core_->find_target(who.target_name);
    if (record_->where) record_->units = record_->where->inventory;
    const auto& agreed = login_->agreed();
    record_->info = {.id = 0,
                     .initiator_name = who.initiator_name,
                     .initiator_alias = who.initiator_alias,
                     .isid = to_hex(who.isid),
                     .tsih = who.tsih,
                     .target_name = who.target_name,
                     .peer_address = peer_.text(),
                     .portal = local_.text(),
                     .header_digest = agreed.header_digest,
                     .data_digest = agreed.data_digest,
                     .commands = 0,
                     .read_bytes = 0,
                     .written_bytes = 0,
                     .since = std::chrono::system_clock::now()};
}

/// Waits for the units that the initiator has for itself, then goes on with complete_login().
void connection::take_units() {
    auto handler = [self = shared_from_this()](result<std::unique_ptr<initiator_lease>> lease) {
        if (self->phase_ != phase::waiting) return;  // the login timed out: the lease ends with this function
        if (lease) {
            self->lease_ = std::move(*lease);
            self->record_->units = self->lease_->units();
            return self->complete_login();
        }
        const auto& why = lease.error();
        self->core_->log.error("{} no units for initiator={} target={} error=\"{}\"", self->prefix(),
                               self->record_->info.initiator_name, self->record_->info.target_name, why.message());
        const bool full = why.is(errc::out_of_space) || why.is(errc::limit_exceeded);
        self->refuse_login(full ? login_status::out_of_resources : login_status::service_unavailable);
    };
    record_->where->apart->acquire(record_->info.initiator_name, record_->isid, loop_->context(), std::move(handler));
}

void connection::refuse_login(login_status status) {
    record_.reset();
    lease_.reset();
    login_engine::refuse(*last_step_, status);
    send_login(std::move(*last_step_));
    resume();
}

// RFC 7143 §6.3.5: a session with the same names and ISID ends, with all of its tasks, before this one begins.
void connection::complete_login() {
    const auto& who = login_->identity();
    if (!record_) make_record();
    core_->half_open.remove(id_);
    phase_ = phase::waiting;
    const bool normal = !who.target_name.empty();
    if (normal && record_->where && record_->where->apart && !lease_) return take_units();
    const auto entered = core_->enter_session(record_);
    if (entered.older) {
        core_->log.info("{} reinstates session={}", prefix(), entered.older->info.id);
        auto go_on = [self = shared_from_this()] {
            asio::post(self->loop_->context(), [self] {
                if (self->phase_ == phase::waiting) self->complete_login();
            });
        };
        asio::post(entered.older->loop->context(), [older = entered.older, go_on] {
            if (const auto owner = older->owner.lock()) return owner->terminate("session reinstatement", go_on);
            go_on();
        });
        return;
    }
    const bool gone = normal && (!record_->where || record_->where->closing);
    if (!entered.ok || gone || core_->closing) {
        if (entered.ok) core_->drop_session(record_);
        return refuse_login(entered.ok ? login_status::service_unavailable : login_status::out_of_resources);
    }
    enter_full_feature();
}

void connection::enter_full_feature() {
    last_step_->reply.tsih = record_->info.tsih;
    send_login(std::move(*last_step_));  // without digests still
    last_step_.reset();
    const auto& agreed = login_->agreed();
    framing_ = {agreed.header_digest, agreed.data_digest,
                std::max(agreed.target_max_recv_bytes, target_preferences{}.max_recv_bytes)};
    session_ = std::make_unique<session>(agreed, login_->cmd_sn(), login_->stat_sn(), *this);
    std::unique_ptr<scsi::i_t_nexus> nexus;
    const scsi::initiator_port port{record_->info.initiator_name, record_->isid};
    if (record_->units) {
        nexus = record_->units->add_nexus(port);
    } else {
        // A discovery session takes no SCSI commands, but an initiator may send some: they find no logical unit.
        scsi::lun_inventory nothing{scsi::target_port{}};
        nexus = nothing.add_nexus(port);
    }
    record_->nexus = nexus->id();
    const runner_limits bounds{core_->options.command_deadline, core_->options.tasks_per_unit};
    runner_ = std::make_unique<task_runner>(*session_, std::move(nexus), loop_, *record_, *this, core_->late, bounds);
    login_.reset();
    phase_ = phase::full_feature;
    core_->forgive(peer_.host());
    core_->log.info("{} session begins target={} peer={} isid={} tsih={}", prefix(), record_->info.target_name,
                    peer_.text(), record_->info.isid, record_->info.tsih);
    if (core_->options.on_session_begin) core_->options.on_session_begin(record_->snapshot());
    resume();
}

admission connection::admit(const login_identity& who, session_type type) {
    admission verdict;
    if (core_->closing) {
        verdict.status = login_status::service_unavailable;
        return verdict;
    }
    if (type == session_type::discovery) {
        verdict.auth = core_->options.discovery_auth;
    } else {
        const auto where = core_->find_target(who.target_name);
        if (!where) {
            verdict.status = login_status::not_found;
        } else if (where->closing) {
            verdict.status = login_status::target_removed;
        } else if (!where->admits(who.initiator_name)) {
            verdict.status = login_status::authorization_failure;
        } else if (const auto moved = where->moved()) {
            // RFC 7143 §11.13.5: "A redirection response MAY be issued by a target prior to or after completing a
            // security negotiation"
            const bool for_good = moved->how == redirection::kind::permanent;
            verdict.status = for_good ? login_status::moved_permanently : login_status::moved_temporarily;
            verdict.moved_to = moved->address;
        } else {
            verdict.target_alias = where->options.alias;
            verdict.auth = where->options.auth;
        }
    }
    if (verdict.auth && verdict.auth->user.empty()) verdict.auth.reset();
    return verdict;
}

// RFC 7143 §6.3.4: the same connection of the same session is reinstated; another one would be the second of a session,
// and MaxConnections is 1.
login_status connection::join(const login_identity& who) {
    const auto session = core_->same_nexus(who);
    if (!session || session->info.tsih != who.tsih) return login_status::session_does_not_exist;
    if (session->connection_id != who.connection_id) return login_status::too_many_connections;
    return login_status::success;
}

void connection::fill_random(mutable_bytes bytes) {
    while (!bytes.empty()) {
        const auto count = ::getrandom(bytes.data(), bytes.size(), 0);
        if (count > 0) bytes = bytes.subspan(static_cast<std::size_t>(count));
    }
}

}  // namespace obd::iscsi

#include "protocol/net/connection.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <spdlog/spdlog.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>

#include "base/crc32c.hpp"

namespace obd::iscsi {
namespace {

// A data segment that is not all there yet is received to its place when it is at least this long; shorter ones wait.
constexpr std::uint32_t directed_bytes = 4096;
// A peer that does not read its answers is not read from: commands would only make more of them.
constexpr std::size_t stop_reading_at = 2 << 20;
// One turn reads this often from one socket, then others have theirs.
constexpr int reads_per_turn = 4;

}  // namespace

connection::connection(std::shared_ptr<server_core> core, std::shared_ptr<net_loop> loop, unique_descriptor socket)
    : core_(std::move(core)),
      loop_(std::move(loop)),
      socket_(std::move(socket)),
      id_(core_->next_connection.fetch_add(1)),
      peer_(peer_endpoint(socket_.get())),
      local_(local_endpoint(socket_.get())),
      delay_(loop_->context()),
      opened_(std::chrono::steady_clock::now()),
      last_activity_(opened_) {
    core_->open_connections.fetch_add(1);
}

connection::~connection() {
    core_->open_connections.fetch_sub(1);
    core_->half_open.remove(id_);
}

void connection::start() {
    const int on = 1;
    ::setsockopt(socket_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    watched_ = EPOLLIN;
    if (!loop_->poller().add(socket_.get(), watched_, *this)) return;
    loop_->add(shared_from_this());
    core_->log.debug("{} connected peer={}", prefix(), peer_.text());
}

void connection::on_events(std::uint32_t events) {
    const auto self = shared_from_this();
    if ((events & EPOLLOUT) != 0) blocked_ = false;
    if ((events & EPOLLIN) != 0) {
        receive();
    } else if ((events & (EPOLLHUP | EPOLLERR)) != 0) {
        fail("the peer is gone");
    }
    flush();
    if (failed_) return close(reason_);
    if (!waiters_.empty()) check_waiters();
    watch();
}

void connection::on_turn_end() {
    const auto self = shared_from_this();
    if (phase_ == phase::draining) {
        if (!session_->aborting(std::nullopt)) finish_close();
        return;
    }
    if (phase_ == phase::closed) return;
    flush();
    if (failed_) return close(reason_);
    if (!waiters_.empty()) check_waiters();
    watch();
}

// Level-triggered: what stays in the socket is reported again, so a short read is the end of the turn without another
// look.
void connection::receive() {
    for (int i = 0; i < reads_per_turn && !stopped() && !backlog_; ++i) {
        const auto scratch = loop_->scratch();
        std::copy(stash_.begin(), stash_.end(), scratch.begin());
        const auto room = scratch.subspan(stash_.size());
        std::array<iovec, 2> into{};
        std::size_t wanted_there = 0;
        int vectors = 0;
        if (directed_.active && directed_.filled < directed_.to.size()) {
            const auto rest = directed_.to.subspan(directed_.filled);
            wanted_there = rest.size();
            into[static_cast<std::size_t>(vectors++)] = {rest.data(), rest.size()};
        }
        into[static_cast<std::size_t>(vectors++)] = {room.data(), room.size()};
        const auto count = ::readv(socket_.get(), into.data(), vectors);
        if (count == 0) return fail("the peer closed the connection");
        if (count < 0) {
            if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) fail("receive error");
            return;
        }
        last_activity_ = std::chrono::steady_clock::now();
        pinged_.reset();
        const auto bytes = static_cast<std::size_t>(count);
        const auto there = std::min(bytes, wanted_there);
        directed_.filled += static_cast<std::uint32_t>(there);
        const auto received = scratch.first(stash_.size() + bytes - there);
        stash_.clear();
        stash_rest(received.subspan(feed(received)));
        if (bytes < wanted_there + room.size()) return;
    }
}

/// How many bytes are done with.
std::size_t connection::feed(const_bytes bytes) {
    std::size_t position = 0;
    if (directed_.active) {
        position = feed_directed(bytes);
        if (directed_.active) return position;
    }
    while (!stopped()) {
        if (output_.bytes() >= stop_reading_at) {
            // Small requests can ask for much: the rest waits until the peer has read.
            send_now();
            backlog_ = output_.bytes() >= stop_reading_at;
            if (backlog_) break;
        }
        const auto rest = bytes.subspan(position);
        const auto found = look(framing_, rest);
        if (found.verdict == framing_verdict::incomplete) break;
        if (found.verdict != framing_verdict::framed) {
            fail(found.verdict == framing_verdict::bad_header_digest ? "header digest error" : "data segment too long");
            break;
        }
        const auto& frame = found.frame;
        if (rest.size() >= frame.total_bytes()) {
            position += frame.total_bytes();
            handle_frame(frame, rest);
        } else if (frame.data_bytes >= directed_bytes && rest.size() - frame.head_bytes < frame.data_bytes) {
            begin_directed(frame, rest.subspan(frame.head_bytes));
            return bytes.size();
        } else {
            break;
        }
    }
    return failed_ || close_after_send_ ? bytes.size() : position;
}

void connection::stash_rest(const_bytes rest) {
    stash_.assign(rest.begin(), rest.end());
}

bool connection::handle_frame(const pdu_frame& frame, const_bytes whole) {
    pdu_view pdu{frame.header, frame.ahs, whole.subspan(frame.head_bytes, frame.data_bytes), true};
    if (framing_.data_digest && frame.data_bytes != 0) {
        pdu.data_intact =
            data_digest_matches(pdu.data, whole.subspan(frame.head_bytes + frame.data_bytes, frame.tail_bytes));
    }
    handle(pdu);
    return true;
}

void connection::begin_directed(const pdu_frame& frame, const_bytes data) {
    directed_.active = true;
    directed_.header.assign(frame.header.begin(), frame.header.end());
    directed_.ahs.assign(frame.ahs.begin(), frame.ahs.end());
    directed_.to = session_ ? session_->place(frame) : mutable_bytes{};
    if (directed_.to.empty()) {
        directed_.own = loop_->buffers().get(frame.data_bytes);
        directed_.to = directed_.own.bytes();
    }
    std::copy(data.begin(), data.end(), directed_.to.begin());
    directed_.filled = static_cast<std::uint32_t>(data.size());
    directed_.tail_bytes = frame.tail_bytes;
}

std::size_t connection::feed_directed(const_bytes bytes) {
    if (directed_.filled < directed_.to.size() || bytes.size() < directed_.tail_bytes) return 0;
    const auto tail = bytes.first(directed_.tail_bytes);
    pdu_view pdu{directed_.header, directed_.ahs, directed_.to, true};
    if (framing_.data_digest) pdu.data_intact = data_digest_matches(pdu.data, tail);
    directed_.active = false;
    handle(pdu);
    directed_.own.reset();
    directed_.to = {};
    return tail.size();
}

void connection::handle(const pdu_view& pdu) {
    if (phase_ == phase::login) return on_login(pdu);
    switch (session_->on_pdu(pdu)) {
        case pdu_verdict::go_on:
            break;
        case pdu_verdict::close:
            fail(session_->close_reason());
            break;
        case pdu_verdict::close_after_send:
            if (lease_ && !asked_logout_ && session_->logged_out()) lease_->set_end(session_end::logged_out);
            reason_ = session_->close_reason();
            close_after_send_ = true;
            break;
    }
}

void connection::send_now() {
    if (socket_.get() < 0 || blocked_ || output_.empty()) return;
    const auto before = output_.bytes();
    switch (output_.send(socket_.get())) {
        case output_queue::outcome::drained:
            break;
        case output_queue::outcome::blocked:
            blocked_ = true;
            break;
        case output_queue::outcome::failed:
            fail("send error");
            break;
    }
    if (output_.bytes() != before) last_activity_ = std::chrono::steady_clock::now();
}

void connection::send_all() {
    while (!failed_) {
        send_now();
        if (blocked_ || failed_) return;
        if (runner_) runner_->output_has_room();
        if (output_.empty()) return;
    }
}

// PDUs that came while too much was queued.
void connection::take_up() {
    backlog_ = false;
    const auto waiting = std::exchange(stash_, {});
    stash_rest(const_bytes(waiting).subspan(feed(waiting)));
}

void connection::flush() {
    send_all();
    while (backlog_ && !failed_ && !close_after_send_ && output_.bytes() < stop_reading_at) {
        take_up();
        send_all();
    }
    if (close_after_send_ && output_.empty()) fail(reason_);
}

// Registers for what is waited for now; costs a system call only when that changes.
void connection::watch() {
    if (socket_.get() < 0) return;
    const bool reads =
        (phase_ == phase::login || phase_ == phase::full_feature) && output_.bytes() < stop_reading_at && !backlog_;
    const std::uint32_t wanted = (reads ? std::uint32_t{EPOLLIN} : 0u) | (blocked_ ? std::uint32_t{EPOLLOUT} : 0u);
    if (wanted == watched_) return;
    watched_ = wanted;
    loop_->poller().modify(socket_.get(), wanted, *this);
}

void connection::fail(std::string_view reason) {
    if (failed_) return;
    failed_ = true;
    reason_ = reason;
}

void connection::close(std::string_view reason) {
    if (phase_ == phase::draining || phase_ == phase::closed) return;
    const auto self = shared_from_this();
    core_->log.info("{} closed reason=\"{}\"", prefix(), reason);
    loop_->poller().remove(socket_.get(), *this);
    socket_.reset();
    output_.clear();
    delay_.cancel();
    phase_ = phase::draining;
    if (session_) session_->abort_tasks(std::nullopt);
    output_.clear();
    directed_ = {};
    if (!session_ || !session_->aborting(std::nullopt)) finish_close();
}

void connection::finish_close() {
    const auto self = shared_from_this();
    phase_ = phase::closed;
    loop_->poller().undefer(*this);
    runner_.reset();
    lease_.reset();  // who waits for the session to be unknown finds its units closed
    if (record_) {
        core_->drop_session(record_);
        if (session_ && core_->options.on_session_end) core_->options.on_session_end(record_->snapshot());
    }
    const auto waiters = std::move(waiters_);
    for (const auto& one : waiters) one.done();
    loop_->remove(self);
}

void connection::check_waiters() {
    std::vector<std::function<void()>> ready;
    std::erase_if(waiters_, [&](waiter& one) {
        bool busy = session_ != nullptr && session_->aborting(one.lun);
        if (session_ && !one.aborting_only) {
            session_->for_each_task(
                [&](const scsi_task& task) { busy = busy || !one.lun || task.unit == unit_key(*one.lun); });
        }
        if (!busy) ready.push_back(std::move(one.done));
        return !busy;
    });
    for (const auto& done : ready) done();
}

void connection::watch_patience(steady_time now) {
    if (!session_->awaiting_data()) {
        awaits_data_since_.reset();
    } else if (!awaits_data_since_) {
        awaits_data_since_ = now;
    } else if (now - *awaits_data_since_ >= core_->options.data_out_patience) {
        awaits_data_since_.reset();
        session_->stop_awaiting_data();
        loop_->poller().defer(*this);
    }
}

half_open_logins::entry connection::as_half_open() {
    return {.connection_id = id_, .host = peer_.host(), .owner = weak_from_this(), .loop = loop_};
}

void connection::tick(steady_time now) {
    const auto& options = core_->options;
    if (phase_ == phase::closed) return;
    if (runner_) runner_->tick(now);
    if (phase_ == phase::draining) return;
    if (phase_ != phase::full_feature) {
        // A login that is complete waits for the tasks of the session that it reinstates, which have a deadline.
        const auto more = record_ ? options.command_deadline : std::chrono::milliseconds(0);
        if (now - opened_ > options.login_timeout + more) close("login timeout");
        return;
    }
    watch_patience(now);
    if (pinged_ && now - *pinged_ > options.keepalive_timeout) return close("the initiator does not answer");
    if (!pinged_ && options.keepalive_idle.count() != 0 && now - last_activity_ > options.keepalive_idle) {
        session_->ask_ping();
        pinged_ = now;
        loop_->poller().defer(*this);
    }
}

}  // namespace obd::iscsi

#include "protocol/net/listener.hpp"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <boost/asio/post.hpp>
#include <cerrno>

#include "base/limits.hpp"
#include "protocol/net/connection.hpp"

namespace obd::iscsi {
namespace {

// Accepted in one turn before connections get theirs.
constexpr int accepts_per_turn = 64;
unique_descriptor open_spare() {
    return unique_descriptor(::open("/dev/null", O_RDONLY | O_CLOEXEC));
}

}  // namespace

listener::listener(std::shared_ptr<server_core> core, std::shared_ptr<net_loop> own, unique_descriptor socket)
    : core_(std::move(core)), own_(std::move(own)), socket_(std::move(socket)), spare_(open_spare()) {}

void listener::start() {
    own_->poller().add(socket_.get(), EPOLLIN, *this);
}

void listener::stop() {
    if (socket_.get() < 0) return;
    own_->poller().remove(socket_.get(), *this);
    socket_.reset();
}

void listener::on_events(std::uint32_t) {
    for (int i = 0; i < accepts_per_turn && socket_.get() >= 0; ++i) {
        unique_descriptor accepted(::accept4(socket_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
        if (accepted.get() >= 0) {
            deal(std::move(accepted));
            continue;
        }
        if (errno == EMFILE || errno == ENFILE) shed();
        if (errno != ECONNABORTED && errno != EINTR) return;
    }
}

void listener::shed() {
    if (core_->may_warn()) core_->log.error("out of file descriptors: a connection is turned away");
    spare_.reset();
    unique_descriptor(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC)).reset();
    spare_ = open_spare();
    errno = EMFILE;
}

void listener::deal(unique_descriptor socket) {
    const bool full = core_->open_connections >= limits::connections_per_portal * core_->portals.size();
    if (core_->closing || full) {
        if (core_->may_warn())
            core_->log.warn("connection refused peer={} reason=\"{}\"", peer_endpoint(socket.get()).text(),
                            core_->closing ? "shutting down" : "too many connections");
        return;
    }
    const auto loop = core_->loops[next_++ % core_->loops.size()];
    auto one = std::make_shared<connection>(core_, loop, std::move(socket));
    if (auto oldest = core_->half_open.add(one->as_half_open())) {
        asio::post(oldest->loop->context(), [gone = oldest->owner] {
            if (const auto owner = gone.lock()) owner->close("newer logins need its place");
        });
    }
    if (loop == own_) return one->start();
    asio::post(loop->context(), [one = std::move(one)] { one->start(); });
}

}  // namespace obd::iscsi

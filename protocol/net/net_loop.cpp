#include "protocol/net/net_loop.hpp"

#include <vector>

#include "protocol/net/connection.hpp"

namespace obd::iscsi {
namespace {

// One turn takes at most this much from one socket.
constexpr std::size_t scratch_bytes = 256 << 10;
// Unused payload memory a loop keeps: what some connections at full depth cycle through.
constexpr std::size_t keep_bytes = 32 << 20;

}  // namespace

net_loop::net_loop(asio::io_context& context, socket_poller& poller, std::chrono::milliseconds tick)
    : context_(context),
      poller_(poller),
      buffers_(keep_bytes),
      scratch_(buffers_.get(scratch_bytes)),
      tick_(tick),
      timer_(context) {}

void net_loop::add(std::shared_ptr<connection> one) {
    connections_.insert(std::move(one));
    arm();
}

void net_loop::remove(const std::shared_ptr<connection>& one) {
    connections_.erase(one);
}

void net_loop::arm() {
    if (ticking_ || connections_.empty()) return;
    ticking_ = true;
    timer_.expires_after(tick_);
    timer_.async_wait([self = shared_from_this()](boost::system::error_code error) {
        self->ticking_ = false;
        if (error) return;
        const auto now = std::chrono::steady_clock::now();
        const std::vector<std::shared_ptr<connection>> all(self->connections_.begin(), self->connections_.end());
        for (const auto& one : all) one->tick(now);
        self->arm();
    });
}

void net_loop::close_all() {
    const std::vector<std::shared_ptr<connection>> all(connections_.begin(), connections_.end());
    for (const auto& one : all) one->close("the target shuts down");
}

}  // namespace obd::iscsi

// Accepts connections on one portal and deals them out to the event loops. Belongs to the thread of its own loop.
#pragma once

#include <memory>

#include "protocol/net/endpoint.hpp"
#include "protocol/net/server_core.hpp"
#include "protocol/net/socket_poller.hpp"

namespace obd::iscsi {

class listener final : public pollable, public std::enable_shared_from_this<listener> {
public:
    /// `own` is the loop that accepts.
    listener(std::shared_ptr<server_core> core, std::shared_ptr<net_loop> own, unique_descriptor socket);

    void start();
    void stop();

private:
    void on_events(std::uint32_t events) override;
    /// Out of descriptors: gives up the spare one to take the connection and close it, so that it does not stay ready
    /// for ever.
    void shed();
    void deal(unique_descriptor socket);

    const std::shared_ptr<server_core> core_;
    const std::shared_ptr<net_loop> own_;
    unique_descriptor socket_;
    unique_descriptor spare_;
    std::size_t next_ = 0;
};

}  // namespace obd::iscsi

// The iSCSI target as its owner sees it: portals, targets with logical units, sessions. server/ drives it.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/block_device.hpp"
#include "base/result.hpp"
#include "protocol/iscsi/authenticator.hpp"
#include "protocol/net/event_loops.hpp"
#include "protocol/scsi/ports.hpp"
#include "protocol/scsi/task.hpp"

namespace spdlog {
class logger;
}

namespace obd::iscsi {

struct session_info;

struct target_server_options {
    std::vector<std::string> portals;  ///< "127.0.0.1:3260", "[::1]:3260", "0.0.0.0:3260"; port 0 takes a free one
    std::uint16_t portal_group_tag = 1;
    std::optional<chap_credentials> discovery_auth;
    std::chrono::milliseconds login_timeout{15'000};
    std::chrono::milliseconds keepalive_idle{
        30'000};  ///< silence after which a NOP-In asks whether the peer lives; 0: never
    std::chrono::milliseconds keepalive_timeout{30'000};  ///< silence after that which ends the connection
    /// A command is failed with a retryable status when its device has not completed it by then (below Linux's 30 s).
    std::chrono::milliseconds command_deadline{25'000};
    /// For the audit log: a session entered the full-feature phase, a session ended. Called on any thread; must not
    /// block.
    std::function<void(const session_info&)> on_session_begin;
    std::function<void(const session_info&)> on_session_end;
};

struct target_options {
    std::string name;  ///< iqn.…, eui.… or naa.…
    std::string alias;
    std::optional<chap_credentials> auth;
    std::vector<std::string> allowed_initiators;  ///< empty: everyone; others do not see the target in SendTargets
};

struct lun_options {
    std::uint16_t lun = 0;
    std::shared_ptr<block_device> device;
    scsi::identity identity;
    /// Reservations with APTPL and saved mode pages (scsi::unit_options has the rules): what was kept, and who keeps
    /// it.
    std::optional<scsi::persistent_state> restored;
    std::function<result<void>(const scsi::persistent_state&)> persist;
};

struct session_info {
    std::uint64_t id;  ///< of this server, never reused
    std::string initiator_name;
    std::string initiator_alias;
    std::string isid;  ///< 12 hex digits
    std::uint16_t tsih;
    std::string target_name;  ///< empty: a discovery session
    std::string peer_address;
    std::string portal;
    bool header_digest;
    bool data_digest;
    std::uint64_t commands;
    std::uint64_t read_bytes;
    std::uint64_t written_bytes;
    std::chrono::system_clock::time_point since;
};

/// Thread-safe. REQUIRES: `loops` and `log` outlive it.
class target_server {
public:
    /// Binds every portal, then listens. The failure names the portal.
    static result<std::unique_ptr<target_server>> start(target_server_options options, event_loops& loops,
                                                        spdlog::logger& log);
    virtual ~target_server() = default;

    /// As bound, with the real port.
    virtual std::vector<std::string> portals() const = 0;

    /// Creates the target. already_exists, or invalid_argument for a bad name.
    virtual result<void> add_target(target_options options) = 0;
    /// Adds a logical unit; sessions of the target are told (REPORTED LUNS DATA HAS CHANGED).
    virtual result<void> add_lun(const std::string& target, lun_options options) = 0;
    /// Stops new commands for the unit, waits for those under way (bounded by the command deadline), forgets the
    /// device.
    virtual asio::awaitable<result<void>> remove_lun(const std::string& target, std::uint16_t lun) = 0;
    /// Asks the target's sessions to log out (async message), ends them after `grace`, removes it.
    virtual asio::awaitable<result<void>> remove_target(const std::string& target, std::chrono::milliseconds grace) = 0;
    /// The device's geometry().size grew: CAPACITY DATA HAS CHANGED.
    virtual result<void> capacity_changed(const std::string& target, std::uint16_t lun) = 0;

    virtual std::vector<session_info> sessions() const = 0;

    /// Stops accepting, asks every session to log out, ends what is left after `grace`.
    virtual asio::awaitable<void> shutdown(std::chrono::milliseconds grace) = 0;
};

}  // namespace obd::iscsi

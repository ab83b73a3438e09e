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

namespace asio = boost::asio;

struct session_info;

struct target_server_options {
    std::vector<std::string> portals;  ///< "127.0.0.1:3260", "[::1]:3260", "0.0.0.0:3260"; port 0 takes a free one
    std::uint16_t portal_group_tag = 1;
    std::optional<chap_credentials> discovery_auth;
    std::chrono::milliseconds login_timeout{15'000};
    /// Connections that have not logged in: a further one puts the oldest out, of its own address or of all.
    std::size_t half_open_logins = 1024;
    std::size_t half_open_logins_per_address = 256;
    std::chrono::milliseconds keepalive_idle{
        30'000};  ///< silence after which a NOP-In asks whether the peer lives; 0: never
    std::chrono::milliseconds keepalive_timeout{30'000};  ///< silence after that which ends the connection
    /// A command is failed with a retryable status when its device has not completed it by then (below Linux's 30 s).
    std::chrono::milliseconds command_deadline{25'000};
    /// Commands that wait for one logical unit's device, of all sessions: a further one gets TASK SET FULL.
    std::uint32_t tasks_per_unit = 16384;
    /// A task management function waits so long for Data-Out that its initiator still owes for aborted tasks (RFC 7143
    /// §4.2.3.3): several initiators never send it.
    std::chrono::milliseconds data_out_patience{1'000};
    /// For the audit log: a session entered the full-feature phase, a session ended. Called on any thread; must not
    /// block.
    std::function<void(const session_info&)> on_session_begin;
    std::function<void(const session_info&)> on_session_end;
};

struct lun_options {
    std::uint16_t lun = 0;
    std::shared_ptr<block_device> device;
    scsi::identity identity;
    bool removable = false;  ///< initiators may eject the medium and load it again (RMB)
    /// Reservations with APTPL and saved mode pages (scsi::unit_options has the rules): what was kept, and who keeps
    /// it.
    std::optional<scsi::persistent_state> restored;
    std::function<result<void>(const scsi::persistent_state&)> persist;
};

/// How the last session of an initiator ended.
enum class session_end {
    logged_out,  ///< by the initiator's own wish, on every path
    lost,        ///< the connection broke, or the target asked for it: the initiator may be back for what it had
};

/// Logical units that each initiator has for itself. Thread-safe.
class initiator_units {
public:
    virtual ~initiator_units() = default;
    /// Awaited on an event loop at the end of the login of an initiator's first session, after authentication; its
    /// further sessions share what this gives. A failure refuses the login: out_of_space and limit_exceeded with "out
    /// of resources", others with "service unavailable". Bounded in time by its own means; when the login timeout ends
    /// the login first, closed() follows. Never called again for a name before its closed().
    virtual asio::awaitable<result<std::vector<lun_options>>> open(std::string initiator_name) = 0;
    /// The last session has ended and its commands have left the devices. Called on any thread; must neither block nor
    /// call the target server.
    virtual void closed(const std::string& initiator_name, session_end how) = 0;
};

/// Where a target has moved. RFC 7143 §11.13.5.
struct redirection {
    enum class kind { temporary, permanent };
    std::string address;  ///< "host:port", "[v6]:port"; §13.8 wants no portal group tag here
    kind how = kind::temporary;
};

struct target_options {
    std::string name;  ///< iqn.…, eui.… or naa.…
    std::string alias;
    std::optional<chap_credentials> auth;
    std::vector<std::string> allowed_initiators;  ///< empty: everyone; others do not see the target in SendTargets
    std::shared_ptr<initiator_units> per_initiator = nullptr;  ///< add_lun() is refused then
    std::optional<redirection> redirect = std::nullopt;        ///< logins are sent there; discovery goes on as always
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
    /// The same for the unit that this initiator has for itself; not_found when it has no session.
    virtual result<void> capacity_changed(const std::string& target, const std::string& initiator,
                                          std::uint16_t lun) = 0;
    /// Later logins are redirected, or are not any more. Sessions stay.
    virtual result<void> set_redirect(const std::string& target, std::optional<redirection> redirect) = 0;
    /// Asks the initiator's sessions with the target to log out, ends them after `grace`. `busy` if some outlive that.
    virtual asio::awaitable<result<void>> end_sessions(std::string target, std::string initiator,
                                                       std::chrono::milliseconds grace) = 0;

    virtual std::vector<session_info> sessions() const = 0;

    /// Stops accepting, asks every session to log out, ends what is left after `grace`.
    virtual asio::awaitable<void> shutdown(std::chrono::milliseconds grace) = 0;
};

}  // namespace obd::iscsi

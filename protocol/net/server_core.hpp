// What all connections of a target server share: its targets, its sessions, its options. Thread-safe.
#pragma once

#include <array>
#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/iscsi/login.hpp"
#include "protocol/net/endpoint.hpp"
#include "protocol/net/half_open_logins.hpp"
#include "protocol/net/initiator_table.hpp"
#include "protocol/net/late_operations.hpp"
#include "protocol/net/net_loop.hpp"
#include "protocol/net/target_server.hpp"
#include "protocol/scsi/device_server.hpp"

namespace obd::iscsi {

/// One iSCSI target. Its options do not change, but where it redirects to.
class target {
public:
    target(target_options with, scsi::target_port port);

    bool admits(std::string_view initiator) const;
    std::optional<redirection> moved() const;
    void set_redirect(std::optional<redirection> to);

    const target_options options;                          ///< name and allowed initiators in folded form
    const std::shared_ptr<scsi::lun_inventory> inventory;  ///< what its sessions share
    const std::shared_ptr<initiator_table> apart;          ///< instead: the units of each initiator; or nothing
    std::atomic<bool> closing{false};

private:
    mutable std::mutex mutex_;
    std::optional<redirection> redirect_;
};

/// One session, as other threads may see it.
struct session_record {
    session_info info;  ///< but the counters
    std::array<std::byte, 6> isid{};
    std::uint16_t connection_id = 0;
    std::shared_ptr<target> where;               ///< nothing: discovery
    std::shared_ptr<scsi::lun_inventory> units;  ///< that the session sees; set before it is known to others
    std::weak_ptr<connection> owner;
    net_loop* loop = nullptr;
    std::atomic<scsi::nexus_id> nexus{};  ///< nothing before the full-feature phase
    // Written by the session's thread alone.
    std::atomic<std::uint64_t> commands{0}, read_bytes{0}, written_bytes{0};

    session_info snapshot() const;
};

/// One more, by the only thread that writes.
inline void count(std::atomic<std::uint64_t>& counter, std::uint64_t more) {
    counter.store(counter.load(std::memory_order_relaxed) + more, std::memory_order_relaxed);
}

class server_core {
public:
    server_core(target_server_options with, spdlog::logger& to) : options(std::move(with)), log(to) {}

    const target_server_options options;
    spdlog::logger& log;
    std::vector<std::shared_ptr<net_loop>> loops;  ///< fixed after start
    std::vector<endpoint> portals;                 ///< as bound; fixed after start
    std::atomic<bool> closing{false};
    std::atomic<std::size_t> open_connections{0};
    half_open_logins half_open{{options.half_open_logins, options.half_open_logins_per_address}};
    const std::shared_ptr<late_operations> late = std::make_shared<late_operations>();
    std::atomic<std::uint64_t> next_connection{1};

    /// A line that a peer can provoke: at most so many a second, the rest is not logged. Thread-safe.
    bool may_warn();

    // Targets.
    result<void> add_target(target_options with);
    std::shared_ptr<target> find_target(std::string_view name) const;
    std::shared_ptr<target> drop_target(std::string_view name);
    /// What `initiator` may see, in order of name.
    std::vector<std::shared_ptr<target>> visible_to(std::string_view initiator) const;

    // Sessions.
    struct entry {
        bool ok = false;
        std::shared_ptr<session_record>
            older;  ///< must end first: a login with its names reinstates it (RFC 7143 §6.3.5)
    };
    /// Gives the record its id and, when it has none, its TSIH, and makes it known, unless there is an older one or too
    /// many.
    entry enter_session(const std::shared_ptr<session_record>& one);
    void drop_session(const std::shared_ptr<session_record>& one);
    /// The session that a login with these names reinstates, or nothing. RFC 7143 §6.3.5: same initiator name, ISID,
    /// target.
    std::shared_ptr<session_record> same_nexus(const login_identity& who) const;
    /// Of one target, or all.
    std::vector<std::shared_ptr<session_record>> sessions_of(const target* where) const;
    /// Those that share logical units with `one`, itself among them.
    std::vector<std::shared_ptr<session_record>> sessions_beside(const session_record& one) const;

    // Wrong CHAP secrets: the delay before the next answer to that address. It grows with each one, and answers to one
    // address go out one after the other: more connections do not make guessing quicker.
    std::chrono::milliseconds penalty_for(const std::string& host);
    void forgive(const std::string& host);

private:
    mutable std::mutex mutex_;
    std::map<std::string, std::shared_ptr<target>, std::less<>> targets_;
    std::vector<std::shared_ptr<session_record>> sessions_;
    struct wrong_secrets {
        unsigned count = 0;
        std::chrono::steady_clock::time_point last_answer{};
    };
    std::map<std::string, wrong_secrets> failures_;
    std::atomic<std::int64_t> warning_second_{0};
    std::atomic<unsigned> warnings_{0};
    std::uint64_t next_session_ = 1;
    std::uint16_t next_tsih_ = 1;
};

}  // namespace obd::iscsi

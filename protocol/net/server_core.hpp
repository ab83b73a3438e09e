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
#include "protocol/net/net_loop.hpp"
#include "protocol/net/target_server.hpp"
#include "protocol/scsi/device_server.hpp"

namespace obd::iscsi {

/// One iSCSI target. Its options do not change.
struct target {
    target(target_options with, scsi::target_port port) : options(std::move(with)), inventory(std::move(port)) {}

    bool admits(std::string_view initiator) const;

    const target_options options;  ///< name and allowed initiators in folded form
    scsi::lun_inventory inventory;
    std::atomic<bool> closing{false};
};

/// One session, as other threads may see it.
struct session_record {
    session_info info;  ///< but the counters
    std::array<std::byte, 6> isid{};
    std::uint16_t connection_id = 0;
    std::shared_ptr<target> where;  ///< nothing: discovery
    std::weak_ptr<connection> owner;
    net_loop* loop = nullptr;
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
    std::atomic<std::size_t> logins_under_way{0};
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
    std::size_t session_count(const target* where) const;

    // Wrong CHAP secrets: the delay before the next answer to that address.
    std::chrono::milliseconds penalty_for(const std::string& host);
    void forgive(const std::string& host);

private:
    mutable std::mutex mutex_;
    std::map<std::string, std::shared_ptr<target>, std::less<>> targets_;
    std::vector<std::shared_ptr<session_record>> sessions_;
    std::map<std::string, unsigned> failures_;
    std::atomic<std::int64_t> warning_second_{0};
    std::atomic<unsigned> warnings_{0};
    std::uint64_t next_session_ = 1;
    std::uint16_t next_tsih_ = 1;
};

}  // namespace obd::iscsi

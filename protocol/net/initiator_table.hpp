// The logical units of a target that gives each initiator units of its own (target_options::per_initiator).
//
// The first session of an initiator has its units opened; its other sessions, from whatever port, share them; when the
// last one has ended they are closed. A login that reinstates a session holds the units before the older session lets
// them go, so a dropped connection that comes back at once never closes anything.
#pragma once

#include <array>
#include <boost/asio/io_context.hpp>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "protocol/net/target_server.hpp"
#include "protocol/scsi/device_server.hpp"

namespace obd::iscsi {

/// A logical unit as lun_options asks for it.
std::shared_ptr<scsi::logical_unit> make_unit(lun_options options);

class initiator_table;

/// One session's hold on the units of its initiator. Its end is the session's end, by a lost connection unless it was
/// told otherwise.
class initiator_lease {
public:
    using port_id = std::array<std::byte, 6>;  ///< the ISID

    initiator_lease(std::shared_ptr<initiator_table> table, std::string initiator, port_id isid,
                    std::shared_ptr<scsi::lun_inventory> units);
    ~initiator_lease();
    initiator_lease(const initiator_lease&) = delete;
    initiator_lease& operator=(const initiator_lease&) = delete;

    const std::shared_ptr<scsi::lun_inventory>& units() const noexcept { return units_; }
    void set_end(session_end how) noexcept { how_ = how; }

private:
    const std::shared_ptr<initiator_table> table_;
    const std::string initiator_;
    const port_id isid_;
    const std::shared_ptr<scsi::lun_inventory> units_;
    session_end how_ = session_end::lost;
};

/// Thread-safe.
class initiator_table : public std::enable_shared_from_this<initiator_table> {
public:
    using port_id = initiator_lease::port_id;
    using lease_handler = std::function<void(result<std::unique_ptr<initiator_lease>>)>;

    /// REQUIRES: `owner`.
    initiator_table(std::shared_ptr<initiator_units> owner, scsi::target_port port);

    /// The handler runs on `loop`, never before this returns. A lease that nobody takes ends the session it was for.
    void acquire(const std::string& initiator, port_id isid, boost::asio::io_context& loop, lease_handler handler);
    /// Of an initiator with a session.
    std::shared_ptr<scsi::lun_inventory> find(const std::string& initiator) const;

private:
    friend class initiator_lease;
    struct waiter {
        port_id isid;
        boost::asio::io_context* loop;
        lease_handler handler;
    };
    struct slot {
        std::shared_ptr<scsi::lun_inventory> units;  ///< nothing while they are being opened
        std::vector<waiter> waiting;
        std::size_t users = 0;
        std::set<port_id> lost;  ///< ports whose connection was lost and that have not come back
    };

    result<std::shared_ptr<scsi::lun_inventory>> make_inventory(std::vector<lun_options> units) const;
    void opened(const std::string& initiator, result<std::vector<lun_options>> units);
    void hand_out(const std::string& initiator, slot& from, waiter to);
    void release(const std::string& initiator, const port_id& isid, session_end how) noexcept;

    const std::shared_ptr<initiator_units> owner_;
    const scsi::target_port port_;
    mutable std::mutex mutex_;
    std::map<std::string, slot> slots_;
};

}  // namespace obd::iscsi

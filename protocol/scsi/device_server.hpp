// The SCSI side of a target as protocol/net uses it.
//
//   lun_inventory   a target's logical units by LUN; one per iSCSI target, shared by all threads
//   logical_unit    one disk: identity, device, mode pages, reservations; shared by all sessions
//   i_t_nexus       one session's way into the inventory; used by the session's thread alone
//   unit_nexus      one session's way into one logical unit: the unit attentions that wait there
//
// The life of a command (task.hpp has the steps):
//
//   routed task = nexus.begin(bhs.lun, command);          // no lock, no allocation for an ordinary READ or WRITE
//   if wants_parameters: decision = task.unit->parameters(command, list);
//   if operation:        run it on task.unit->device(), then completed = task.unit->finish(operation, command, result)
//   if that failed:      completed = task.unit->check_condition(to_sense(failure))
//   The operation is destroyed when it has ended, one way or another: `operation::lease` may hold a state of the unit.
//
// `task.unit` keeps the unit and its device alive while the task runs, also after the LUN was removed.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <vector>

#include "base/result.hpp"
#include "protocol/scsi/ports.hpp"
#include "protocol/scsi/sense.hpp"
#include "protocol/scsi/task.hpp"

namespace obd::scsi {

/// The LUN field of a PDU, as it came. SAM-5 §4.7.
using lun_field = std::array<std::byte, 8>;

/// SAM-5 §4.7.7.5 and §4.7.7.3: peripheral device addressing below 256, flat space addressing above.
lun_field encode_lun(std::uint16_t lun);

/// Highest LUN of flat space addressing.
inline constexpr std::uint16_t max_lun = 0x3fff;

enum class reset_kind {
    logical_unit,  ///< LOGICAL UNIT RESET and TARGET WARM RESET: 29h/03h to every nexus
    hard,          ///< TARGET COLD RESET: 29h/00h to every nexus
};

struct unit_options {
    std::shared_ptr<block_device> device;
    identity id;
    /// RMB: the medium can be ejected and loaded (START STOP UNIT), and PREVENT ALLOW MEDIUM REMOVAL matters.
    bool removable = false;
    /// What `persist` was given last, before a restart.
    std::optional<persistent_state> restored;
    /// Keeps the state on stable storage before it returns; called with the unit's lock held: it must not call back.
    /// Without one, APTPL and saved pages are refused as not supported.
    std::function<result<void>(const persistent_state&)> persist;
};

/// The unit attention that a nexus's next command would report.
struct waiting_attention {
    sense first;
    bool more = false;  ///< others wait behind it
};

class unit_nexus;
class i_t_nexus;
class unit_core;       // unit_core.hpp: what a unit's nexuses share
class inventory_core;  // lun_inventory.cpp

/// Thread-safe.
class logical_unit {
public:
    /// REQUIRES: options.device.
    explicit logical_unit(unit_options options);
    ~logical_unit();
    logical_unit(const logical_unit&) = delete;
    logical_unit& operator=(const logical_unit&) = delete;

    const identity& id() const noexcept;
    const std::shared_ptr<block_device>& device() const noexcept;

    /// The device grew: CAPACITY DATA HAS CHANGED (2Ah/09h) to every nexus.
    void capacity_changed();
    /// Releases RESERVE(6), forgets PREVENT, restores saved mode pages, raises the unit attention. The caller has
    /// aborted the tasks. Persistent reservations stay (SPC-4 §5.13.1).
    void reset(reset_kind kind);
    persistent_state state() const;

    /// A nexus of its own, outside any inventory: for tests and for single-unit targets.
    std::shared_ptr<unit_nexus> attach(nexus_id id, const initiator_port& from, const target_port& to);

private:
    friend class inventory_core;
    std::shared_ptr<unit_core> core_;
};

/// Thread-safe. Lives as long as the session or a task of it; after detach() it only finishes tasks.
class unit_nexus {
public:
    virtual ~unit_nexus() = default;

    virtual decision begin(const command& what) = 0;
    /// REQUIRES: begin() gave wants_parameters for the same command; `list` is what arrived: never more than was
    /// wanted.
    virtual decision parameters(const command& what, const_bytes list) = 0;
    /// The status of an operation that ran on the device without a failure.
    virtual completed finish(const operation& done, const command& what, const operation_result& found) = 0;
    /// How long an operation had to wait for its device; one that was done in place need not be told. By the session's
    /// thread.
    virtual void took(const operation&, std::chrono::microseconds) noexcept {}

    /// CHECK CONDITION in the format that the unit's control mode page asks for.
    virtual completed check_condition(const sense& what) const = 0;
    virtual block_device& device() const noexcept = 0;

    /// Another nexus's task management function aborted this one's commands: 2Fh/00h. SAM-5 §5.14, TAS = 0.
    virtual void commands_cleared() = 0;
    /// Resets the unit, for LOGICAL UNIT RESET that came through this nexus.
    virtual void reset_unit(reset_kind kind) = 0;
    /// Commands of all nexuses that wait for the unit's device or for data; the runner counts them.
    virtual std::atomic<std::uint32_t>& task_count() const noexcept = 0;
    /// QUERY ASYNCHRONOUS EVENT (SAM-5 §7.9): looks without taking.
    virtual std::optional<waiting_attention> pending_attention() const { return std::nullopt; }
    /// I_T NEXUS RESET (SAM-5 §6.3.4): as a nexus loss, but the nexus goes on and is told, 29h/07h.
    virtual void nexus_reset() {}
    /// I_T nexus loss (SAM-5 §6.3.4): releases RESERVE(6), forgets PREVENT. i_t_nexus does it when it ends.
    virtual void detach() = 0;
};

/// What i_t_nexus::begin() decided.
struct routed {
    decision what;
    std::shared_ptr<unit_nexus> unit;  ///< nothing when no logical unit is behind it; `what` is `completed` then
};

/// One I_T nexus. NOT thread-safe: belongs to the thread of its session. Its end is an I_T nexus loss.
class i_t_nexus {
public:
    ~i_t_nexus();
    i_t_nexus(const i_t_nexus&) = delete;
    i_t_nexus& operator=(const i_t_nexus&) = delete;

    nexus_id id() const noexcept;
    /// Routes to the logical unit, or answers for the target: REPORT LUNS, INQUIRY of an absent unit, LOGICAL UNIT NOT
    /// SUPPORTED, the REPORT LUNS well-known logical unit.
    routed begin(const lun_field& lun, const command& what);
    /// The unit a task management function names, or nothing.
    std::shared_ptr<unit_nexus> find(const lun_field& lun);
    /// I_T NEXUS RESET on every unit. The caller has aborted the tasks.
    void reset();

private:
    friend class lun_inventory;
    struct state;
    explicit i_t_nexus(std::unique_ptr<state> from);
    std::unique_ptr<state> state_;
};

/// Thread-safe. Its nexuses may outlive it. A logical unit belongs to one inventory.
class lun_inventory {
public:
    explicit lun_inventory(target_port port);
    ~lun_inventory();
    lun_inventory(const lun_inventory&) = delete;
    lun_inventory& operator=(const lun_inventory&) = delete;

    const target_port& port() const noexcept;

    /// already_exists, or invalid_argument above max_lun. Raises REPORTED LUNS DATA HAS CHANGED (3Fh/0Eh).
    result<void> add(std::uint16_t lun, std::shared_ptr<logical_unit> unit);
    /// What was there, or nothing. Commands that began go on; later ones find no unit. Raises the same unit attention.
    std::shared_ptr<logical_unit> remove(std::uint16_t lun);
    std::shared_ptr<logical_unit> find(std::uint16_t lun) const;
    /// In order of LUN.
    std::vector<std::shared_ptr<logical_unit>> units() const;

    /// A new session of `port`. Its number is new in this inventory.
    std::unique_ptr<i_t_nexus> add_nexus(const initiator_port& port);

private:
    std::shared_ptr<inventory_core> core_;
};

}  // namespace obd::scsi

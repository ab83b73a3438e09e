// What a logical unit's nexuses share, and one nexus of it. Inside protocol/scsi only.
//
// The hot path of begin() looks at three atomics: whether a unit attention waits for this nexus, whether anything
// stands in the way of the whole unit (`hurdles`), and whether writes are refused. All else is behind the unit's lock.
#pragma once

#include <atomic>
#include <mutex>
#include <vector>

#include "protocol/scsi/device_server.hpp"
#include "protocol/scsi/request.hpp"
#include "protocol/scsi/reservations.hpp"
#include "protocol/scsi/unit_attention.hpp"

namespace obd::scsi {

class nexus_core;

enum class medium_move { eject, load };
enum class sanitize_begin { begun, refused, not_kept };
enum class sanitize_end { done, failed };
/// Commands that are processed while the medium is being sanitized, or must be. SBC-4, "Performing a sanitize
/// operation".
bool passes_sanitize(opcode code) noexcept;

/// Commands and blocks, for the statistics log page.
struct unit_statistics {
    std::uint64_t read_commands = 0;
    std::uint64_t write_commands = 0;
    std::uint64_t blocks_received = 0;     ///< from initiators
    std::uint64_t blocks_transmitted = 0;  ///< to initiators
    std::uint64_t read_intervals = 0;      ///< of 100 us each, in which commands were processed
    std::uint64_t write_intervals = 0;

    unit_statistics& operator+=(const unit_statistics& other);
};

/// Finds the unit that a designator of VPD page 83h names, for EXTENDED COPY.
class unit_directory {
public:
    virtual ~unit_directory() = default;
    /// `designator` is the identification descriptor without its header; nothing when no unit has it.
    virtual std::shared_ptr<unit_core> find_unit(std::uint8_t designator_type, const_bytes designator) const = 0;
};

class unit_core {
public:
    explicit unit_core(unit_options options);

    const identity id;
    const std::shared_ptr<block_device> device;
    const bool removable;

    /// Bits of `hurdles`.
    static constexpr std::uint32_t reserved = 1;
    static constexpr std::uint32_t no_medium = 2;
    static constexpr std::uint32_t unsanitized = 4;
    std::atomic<std::uint32_t> hurdles{0};
    std::atomic<std::uint32_t> tasks{0};  ///< unit_nexus::task_count()

    std::atomic<bool> descriptor_sense{false};
    std::atomic<bool> software_write_protect{false};
    std::atomic<bool> write_cache_enabled{true};

    sense_format format() const noexcept {
        return descriptor_sense.load(std::memory_order_relaxed) ? sense_format::descriptor : sense_format::fixed;
    }
    bool can_save() const noexcept { return static_cast<bool>(persist_); }
    /// Read only by itself or by the SWP bit: what a command that writes is told.
    std::optional<sense> write_protection() const noexcept;
    bool write_protected() const noexcept { return write_protection().has_value(); }

    void join(nexus_core& nexus);
    void leave(nexus_core& nexus);
    /// To every nexus but `except`.
    void raise(attention what, const nexus_core* except = nullptr);
    void reset(reset_kind kind);
    persistent_state state() const;
    unit_statistics statistics() const;

    mode_settings current_mode() const;
    mode_settings saved_mode() const;
    /// MODE SELECT from `by`. False when `save` was asked for and the owner could not keep it: nothing has changed
    /// then.
    bool set_mode(const mode_settings& wanted, bool save, const nexus_core& by);

    /// Whether a reservation of either kind keeps `from` from a command.
    bool conflicts(const nexus_core& from, access how, opcode code) const;
    /// RESERVE and RELEASE of SPC-2. False: RESERVATION CONFLICT.
    bool reserve_unit(const nexus_core& by);
    bool release_unit(const nexus_core& by);

    /// Persistent reservations: `apply` under the lock, with notices delivered and the state kept.
    answer reserve_out_from(const nexus_core& by, const reserve_out& what);
    /// A copy, for PERSISTENT RESERVE IN.
    reservations reservations_now() const;

    /// PREVENT of one nexus.
    void prevent_removal(nexus_core& by, bool prevent);
    /// False while any nexus prevents it. A medium that comes back is told to the others (28h/00h).
    bool move_medium(medium_move how, const nexus_core& by);

    // sanitize.cpp
    /// Refused when one runs, or when it would be easier to get out of than one that failed.
    sanitize_begin begin_sanitize(unfinished_sanitize mode);
    void end_sanitize(sanitize_end how);
    /// False when there is no way out.
    bool exit_sanitize_failure();
    /// What every command that looks at the medium is told, if a sanitize operation runs or has failed.
    std::optional<sense> sanitize_condition() const;

private:
    friend class nexus_core;
    void update_hurdles();  // REQUIRES: lock_
    bool save();            // REQUIRES: lock_

    mutable std::mutex lock_;
    std::function<result<void>(const persistent_state&)> persist_;
    reservations reservations_;
    const nexus_core* reserved_by_ = nullptr;  ///< RESERVE(6)
    mode_settings current_;
    mode_settings saved_;
    std::vector<nexus_core*> nexuses_;
    bool ejected_ = false;
    bool sanitizing_ = false;
    unfinished_sanitize sanitize_ = unfinished_sanitize::none;  ///< also while it runs
    unit_statistics of_gone_nexuses_;
};

/// The outcome of one EXTENDED COPY, kept for RECEIVE COPY RESULTS. SPC-4 §6.26.
struct copy_record {
    std::uint8_t list_id;
    enum class state : std::uint8_t { running = 0, done = 1, failed = 2 } now;
    std::uint16_t segments;
    std::uint64_t bytes;
};

class nexus_core final : public unit_nexus, public std::enable_shared_from_this<nexus_core> {
public:
    nexus_core(std::shared_ptr<unit_core> unit, nexus_id id, initiator_port from, target_port to,
               std::shared_ptr<const unit_directory> directory);
    ~nexus_core() override;

    decision begin(const command& what) override;
    decision parameters(const command& what, const_bytes list) override;
    completed finish(const operation& done, const command& what, const operation_result& found) override;
    completed check_condition(const sense& what) const override;
    block_device& device() const noexcept override { return *unit->device; }
    void commands_cleared() override;
    std::atomic<std::uint32_t>& task_count() const noexcept override { return unit->tasks; }
    std::optional<waiting_attention> pending_attention() const override;
    void nexus_reset() override;
    void reset_unit(reset_kind kind) override { unit->reset(kind); }
    void detach() override;

    /// Takes the first unit attention that waits, for REQUEST SENSE and for begin().
    std::optional<attention> take_attention();
    /// REPORT LUNS clears REPORTED LUNS DATA HAS CHANGED. SPC-4 §6.33.
    void forget(attention what);
    reservation_nexus as_reservation_nexus() const { return {from, to.relative_port}; }
    void count(const operation& work, std::uint32_t block_bytes) noexcept;
    void took(const operation& work, std::chrono::microseconds time) noexcept override;

    /// Of the target, or this one; nothing when no unit has that designator.
    std::shared_ptr<unit_core> find_unit(std::uint8_t designator_type, const_bytes designator) const;
    void remember_copy(const copy_record& record);
    std::optional<copy_record> copy(std::uint8_t list_id) const;

    const std::shared_ptr<unit_core> unit;
    const nexus_id id;
    const initiator_port from;
    const target_port to;
    const std::shared_ptr<const unit_directory> directory;

private:
    friend class unit_core;
    decision conclude(answer said) const;
    std::optional<decision> obstacle(const command& what, const command_spec* spec);
    void add(attention what);  // REQUIRES: unit->lock_

    std::atomic<bool> attention_waits_{false};
    attention_queue attentions_;       // guarded by unit->lock_
    bool prevents_removal_ = false;    // guarded by unit->lock_
    bool attached_ = false;            // guarded by unit->lock_
    std::vector<copy_record> copies_;  // guarded by unit->lock_, at most max_copy_records

    // Written by the session's thread alone.
    std::atomic<std::uint64_t> read_commands_{0};
    std::atomic<std::uint64_t> write_commands_{0};
    std::atomic<std::uint64_t> blocks_received_{0};
    std::atomic<std::uint64_t> blocks_transmitted_{0};
    std::atomic<std::uint64_t> read_us_{0};
    std::atomic<std::uint64_t> write_us_{0};
    unit_statistics statistics() const;
};

inline constexpr std::size_t max_copy_records = 16;

}  // namespace obd::scsi

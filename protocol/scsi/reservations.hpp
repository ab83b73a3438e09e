// Persistent reservations of one logical unit. SPC-4 §5.13. Pure: the caller holds the unit's lock, delivers the
// notices and keeps the state.
#pragma once

#include <optional>
#include <vector>

#include "protocol/scsi/command_table.hpp"
#include "protocol/scsi/ports.hpp"
#include "protocol/scsi/unit_attention.hpp"

namespace obd::scsi {

/// The I_T nexus as reservations know it.
struct reservation_nexus {
    initiator_port port;
    std::uint16_t relative_target_port = 1;

    bool operator==(const reservation_nexus&) const = default;
};

/// The parameter list of PERSISTENT RESERVE OUT, decoded. SPC-4 §6.16.3 and §6.16.4.
struct reserve_out {
    std::uint8_t action = 0;
    std::uint8_t scope = 0;
    std::uint8_t type = 0;
    std::uint64_t key = 0;
    std::uint64_t action_key = 0;
    bool aptpl = false;
    bool all_target_ports = false;
    bool unregister = false;                                ///< UNREG of REGISTER AND MOVE
    std::uint16_t relative_target_port = 1;                 ///< of REGISTER AND MOVE
    std::optional<std::vector<initiator_port>> ports = {};  ///< SPEC_I_PT, or the one of REGISTER AND MOVE
};

/// A unit attention for the nexuses of a registration, and whether their tasks end with it.
struct reservation_notice {
    reservation_nexus to;
    attention what;
    bool abort_tasks = false;
};

struct reservation_outcome {
    enum class end { good, conflict, refused };
    end how = end::good;
    sense why{};  ///< when refused
    std::vector<reservation_notice> notices{};
};

/// Registrations one unit holds; more end in INSUFFICIENT REGISTRATION RESOURCES.
inline constexpr std::size_t max_registrations = 1024;

class reservations {
public:
    reservations() = default;
    /// After a restart: what `state()` gave, checked.
    explicit reservations(reservation_state restored);

    reservation_outcome apply(const reservation_nexus& from, const reserve_out& what);

    /// SPC-4 table 65, SBC-3 table 13.
    bool conflicts(const reservation_nexus& from, access how) const;
    bool held() const { return state_.held.has_value(); }
    bool any_registration() const { return !state_.registrations.empty(); }
    std::uint32_t generation() const { return generation_; }
    const reservation_state& state() const { return state_; }
    bool is_holder(std::size_t index) const;

private:
    using outcome = reservation_outcome;
    outcome register_key(const reservation_nexus& from, const reserve_out& what);
    outcome change_key(std::size_t mine, const reserve_out& what);
    outcome add_registrations(const reservation_nexus& from, const reserve_out& what);
    outcome reserve(std::size_t mine, const reserve_out& what);
    outcome release(std::size_t mine, const reserve_out& what);
    outcome clear(std::size_t mine);
    outcome preempt(std::size_t mine, const reserve_out& what);
    outcome move(std::size_t mine, const reserve_out& what);

    std::optional<std::size_t> find(const reservation_nexus& who) const;
    void remove(std::size_t index, std::vector<reservation_notice>& notices);
    void notify_others(const reservation_nexus& except, attention what, std::vector<reservation_notice>& notices) const;
    bool remove_by_key(std::uint64_t key, const reservation_nexus& preemptor, bool abort, bool keep_preemptor,
                       std::vector<reservation_notice>& notices);
    void let_go();

    reservation_state state_;
    std::uint32_t generation_ = 0;
};

}  // namespace obd::scsi

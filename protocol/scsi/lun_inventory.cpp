// A target's logical units by LUN. The map is immutable and replaced as a whole; a nexus keeps the one it knows and
// looks at one atomic number to learn that there is a newer one, so that routing takes no lock.
#include <algorithm>

#include "protocol/scsi/device_server.hpp"
#include "protocol/scsi/inquiry.hpp"
#include "protocol/scsi/report_luns.hpp"
#include "protocol/scsi/unit_core.hpp"

namespace obd::scsi {

namespace {

constexpr std::uint8_t absent = 0x7f;  // peripheral qualifier and device type
constexpr std::uint8_t well_known = 0x1e;

struct map_entry {
    std::uint16_t lun;
    std::shared_ptr<logical_unit> unit;
};
using lun_map = std::vector<map_entry>;  // in order of LUN

/// SAM-5 §4.7.7: single-level addresses only; both addressing methods are taken for any LUN they can express.
std::optional<std::uint16_t> decode_lun(const lun_field& field) {
    if (std::any_of(field.begin() + 2, field.end(), [](std::byte b) { return b != std::byte{0}; })) return {};
    const auto high = std::to_integer<unsigned>(field[0]);
    const auto low = std::to_integer<unsigned>(field[1]);
    const auto method = high >> 6;
    if (method == 0 && high == 0) return static_cast<std::uint16_t>(low);
    if (method == 1) return static_cast<std::uint16_t>((high & 0x3f) << 8 | low);
    return {};
}

}  // namespace

class inventory_core : public unit_directory {
public:
    explicit inventory_core(target_port where) : port(std::move(where)) {}

    const target_port port;
    std::atomic<std::uint64_t> version{0};
    std::atomic<std::uint64_t> last_nexus{0};

    std::shared_ptr<const lun_map> map() const {
        const std::scoped_lock hold(lock_);
        return map_;
    }

    result<void> add(std::uint16_t lun, std::shared_ptr<logical_unit> unit);
    std::shared_ptr<logical_unit> remove(std::uint16_t lun);
    std::shared_ptr<unit_core> find_unit(std::uint8_t type, const_bytes value) const override;
    static const std::shared_ptr<unit_core>& core_of(const logical_unit& unit) { return unit.core_; }

private:
    void publish(lun_map next);  // REQUIRES: lock_

    mutable std::mutex lock_;
    std::shared_ptr<const lun_map> map_ = std::make_shared<const lun_map>();
};

void inventory_core::publish(lun_map next) {
    map_ = std::make_shared<const lun_map>(std::move(next));
    version.fetch_add(1, std::memory_order_release);
    for (const auto& entry : *map_) core_of(*entry.unit)->raise(attentions::luns_changed);
}

result<void> inventory_core::add(std::uint16_t lun, std::shared_ptr<logical_unit> unit) {
    if (lun > max_lun) return fail(errc::invalid_argument, "lun " + std::to_string(lun) + " is above the highest one");
    const std::scoped_lock hold(lock_);
    auto next = *map_;
    const auto at = std::ranges::lower_bound(next, lun, {}, &map_entry::lun);
    if (at != next.end() && at->lun == lun) return fail(errc::already_exists, "lun " + std::to_string(lun));
    next.insert(at, {lun, std::move(unit)});
    publish(std::move(next));
    return {};
}

std::shared_ptr<logical_unit> inventory_core::remove(std::uint16_t lun) {
    const std::scoped_lock hold(lock_);
    auto next = *map_;
    const auto at = std::ranges::find(next, lun, &map_entry::lun);
    if (at == next.end()) return nullptr;
    auto gone = std::move(at->unit);
    next.erase(at);
    publish(std::move(next));
    return gone;
}

std::shared_ptr<unit_core> inventory_core::find_unit(std::uint8_t type, const_bytes value) const {
    const auto now = map();
    for (const auto& entry : *now) {
        const auto own = unit_designator(entry.unit->id(), type);
        if (!own.empty() && std::ranges::equal(own, value)) return core_of(*entry.unit);
    }
    return nullptr;
}

/// What one session knows of the inventory.
struct i_t_nexus::state {
    struct known_unit {
        std::uint16_t lun;
        std::shared_ptr<nexus_core> nexus;
    };

    std::shared_ptr<inventory_core> inventory;
    nexus_id id;
    initiator_port from;
    std::uint64_t version = 0;
    std::vector<known_unit> units;  // in order of LUN

    void refresh();
    nexus_core* at(std::uint16_t lun, std::shared_ptr<nexus_core>** slot);
    completed answer_for_target(const lun_field& lun, const command& what);
    completed inquiry_of(std::uint8_t peripheral, const_bytes cdb) const;
    completed report_luns(const command& what);
};

/// Keeps the nexuses of units that are still there, with what waits in them.
void i_t_nexus::state::refresh() {
    const auto newest = inventory->version.load(std::memory_order_acquire);
    if (newest == version) [[likely]]
        return;
    version = newest;
    const auto map = inventory->map();
    std::vector<known_unit> next;
    next.reserve(map->size());
    for (const auto& entry : *map) {
        const auto& core = inventory_core::core_of(*entry.unit);
        const auto old = std::ranges::find_if(
            units, [&](const known_unit& known) { return known.lun == entry.lun && known.nexus->unit == core; });
        auto nexus =
            old != units.end() ? old->nexus : std::make_shared<nexus_core>(core, id, from, inventory->port, inventory);
        next.push_back({entry.lun, std::move(nexus)});
    }
    std::swap(units, next);
    for (const auto& gone : next) {
        const bool kept = std::ranges::any_of(units, [&](const known_unit& now) { return now.nexus == gone.nexus; });
        if (!kept) gone.nexus->detach();
    }
}

i_t_nexus::i_t_nexus(std::unique_ptr<state> from) : state_(std::move(from)) {
    state_->refresh();
}

i_t_nexus::~i_t_nexus() {
    for (const auto& known : state_->units) known.nexus->detach();
}

nexus_id i_t_nexus::id() const noexcept {
    return state_->id;
}

std::shared_ptr<unit_nexus> i_t_nexus::find(const lun_field& lun) {
    state_->refresh();
    const auto number = decode_lun(lun);
    if (!number) return nullptr;
    const auto at = std::ranges::lower_bound(state_->units, *number, {}, &state::known_unit::lun);
    if (at == state_->units.end() || at->lun != *number) return nullptr;
    return at->nexus;
}

void i_t_nexus::reset() {
    state_->refresh();
    for (const auto& known : state_->units) known.nexus->nexus_reset();
}

routed i_t_nexus::begin(const lun_field& lun, const command& what) {
    // REPORT LUNS is about the target, whichever unit it is sent to (SPC-4 §6.33).
    const auto code = static_cast<opcode>(what.cdb[0]);
    auto unit = find(lun);
    if (code == opcode::report_luns && (unit != nullptr || lun == lun_field{} || lun == report_luns_well_known)) {
        return {.what = state_->report_luns(what), .unit = nullptr};
    }
    if (unit == nullptr) return {.what = state_->answer_for_target(lun, what), .unit = nullptr};
    auto decided = unit->begin(what);
    return {.what = std::move(decided), .unit = std::move(unit)};
}

completed i_t_nexus::state::report_luns(const command& what) {
    const auto* spec = find_command(what.cdb);
    if (const auto unknown = unknown_bit(*spec, what.cdb)) {
        auto refused = senses::invalid_field_in_cdb;
        refused.pointer = unknown;
        return check_condition(refused);
    }
    std::vector<std::uint16_t> luns;
    luns.reserve(units.size());
    for (const auto& known : units) luns.push_back(known.lun);
    auto reply = report_luns_of(luns, what.cdb, sense_format::fixed);
    // SPC-4 §6.33: "…shall clear any pending unit attention condition with an additional sense code set to REPORTED
    // LUNS DATA HAS CHANGED"
    if (reply.code == status::good) {
        for (const auto& known : units) known.nexus->forget(attentions::luns_changed);
    }
    return reply;
}

/// Of an absent unit, or of the well-known one, which has the two pages that every unit must have.
completed i_t_nexus::state::inquiry_of(std::uint8_t peripheral, const_bytes cdb) const {
    constexpr std::byte device_identification_page{0x83};
    const auto allocation_length = boost::endian::big_to_native(load<std::uint16_t>(cdb, 3));
    const auto page = cdb[2];
    if (cdb[1] == std::byte{0} && page == std::byte{0}) return give(bare_inquiry(peripheral), allocation_length);
    if (cdb[1] != std::byte{1} || peripheral != well_known) return check_condition(invalid_cdb_field(1, 0));
    if (page != std::byte{0} && page != device_identification_page) return check_condition(invalid_cdb_field(2));
    const auto body = page == std::byte{0} ? std::vector<std::byte>{std::byte{0}, device_identification_page}
                                           : target_identification(inventory->port);
    byte_writer out;
    out.big(peripheral).big(std::to_integer<std::uint8_t>(page));
    out.big(static_cast<std::uint16_t>(body.size())).put(body);
    return give(std::move(out).finish(), allocation_length);
}

/// SAM-5 §5.13 and SPC-4 §6.6.1: an absent unit answers INQUIRY with 7Fh and REQUEST SENSE with what is wrong; the
/// well-known unit answers INQUIRY, REQUEST SENSE and TEST UNIT READY.
completed i_t_nexus::state::answer_for_target(const lun_field& lun, const command& what) {
    const bool is_well_known = lun == report_luns_well_known;
    const auto code = static_cast<opcode>(what.cdb[0]);
    if (code == opcode::inquiry) return inquiry_of(is_well_known ? well_known : absent, what.cdb);
    if (code == opcode::request_sense) {
        const bool descriptor = (what.cdb[1] & std::byte{1}) != std::byte{0};
        const auto told = is_well_known ? sense{} : senses::logical_unit_not_supported;
        return give(encode(told, descriptor ? sense_format::descriptor : sense_format::fixed),
                    std::to_integer<std::uint64_t>(what.cdb[4]));
    }
    if (!is_well_known) return check_condition(senses::logical_unit_not_supported);
    if (code == opcode::test_unit_ready) return good();
    return check_condition(senses::invalid_operation_code);
}

lun_inventory::lun_inventory(target_port port) : core_(std::make_shared<inventory_core>(std::move(port))) {}
lun_inventory::~lun_inventory() = default;

const target_port& lun_inventory::port() const noexcept {
    return core_->port;
}

result<void> lun_inventory::add(std::uint16_t lun, std::shared_ptr<logical_unit> unit) {
    return core_->add(lun, std::move(unit));
}

std::shared_ptr<logical_unit> lun_inventory::remove(std::uint16_t lun) {
    return core_->remove(lun);
}

std::shared_ptr<logical_unit> lun_inventory::find(std::uint16_t lun) const {
    const auto map = core_->map();
    const auto at = std::ranges::find(*map, lun, &map_entry::lun);
    return at == map->end() ? nullptr : at->unit;
}

std::vector<std::shared_ptr<logical_unit>> lun_inventory::units() const {
    std::vector<std::shared_ptr<logical_unit>> all;
    const auto map = core_->map();
    for (const auto& entry : *map) all.push_back(entry.unit);
    return all;
}

std::unique_ptr<i_t_nexus> lun_inventory::add_nexus(const initiator_port& port) {
    auto state = std::make_unique<i_t_nexus::state>();
    state->inventory = core_;
    state->id = nexus_id{core_->last_nexus.fetch_add(1, std::memory_order_relaxed) + 1};
    state->from = port;
    return std::unique_ptr<i_t_nexus>(new i_t_nexus(std::move(state)));
}

}  // namespace obd::scsi

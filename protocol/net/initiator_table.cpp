#include "protocol/net/initiator_table.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <exception>

namespace obd::iscsi {

std::shared_ptr<scsi::logical_unit> make_unit(lun_options options) {
    return std::make_shared<scsi::logical_unit>(scsi::unit_options{.device = std::move(options.device),
                                                                   .id = std::move(options.identity),
                                                                   .removable = options.removable,
                                                                   .restored = std::move(options.restored),
                                                                   .persist = std::move(options.persist)});
}

initiator_lease::initiator_lease(std::shared_ptr<initiator_table> table, std::string initiator, port_id isid,
                                 std::shared_ptr<scsi::lun_inventory> units)
    : table_(std::move(table)), initiator_(std::move(initiator)), isid_(isid), units_(std::move(units)) {}

initiator_lease::~initiator_lease() {
    table_->release(initiator_, isid_, how_);
}

initiator_table::initiator_table(std::shared_ptr<initiator_units> owner, scsi::target_port port)
    : owner_(std::move(owner)), port_(std::move(port)) {}

void initiator_table::acquire(const std::string& initiator, port_id isid, boost::asio::io_context& loop,
                              lease_handler handler) {
    {
        const std::lock_guard lock(mutex_);
        const auto [found, first] = slots_.try_emplace(initiator);
        waiter one{isid, &loop, std::move(handler)};
        if (found->second.units) return hand_out(initiator, found->second, std::move(one));
        found->second.waiting.push_back(std::move(one));
        if (!first) return;
    }
    auto done = [self = shared_from_this(), initiator](const std::exception_ptr& thrown,
                                                       result<std::vector<lun_options>> units) {
        if (thrown) units = fail(errc::io_error, "opening the units of " + initiator + " threw an exception");
        self->opened(initiator, std::move(units));
    };
    boost::asio::co_spawn(loop, owner_->open(initiator), std::move(done));
}

result<std::shared_ptr<scsi::lun_inventory>> initiator_table::make_inventory(std::vector<lun_options> units) const {
    auto inventory = std::make_shared<scsi::lun_inventory>(port_);
    for (auto& one : units) {
        if (!one.device) return fail(errc::invalid_argument, "a logical unit without a device");
        const auto lun = one.lun;
        TRYV(inventory->add(lun, make_unit(std::move(one))));
    }
    return inventory;
}

void initiator_table::opened(const std::string& initiator, result<std::vector<lun_options>> units) {
    const bool made_any = units.has_value();
    auto inventory = made_any ? make_inventory(std::move(*units)) : std::move(units).error();
    const std::lock_guard lock(mutex_);
    auto& mine = slots_.at(initiator);
    auto waiting = std::move(mine.waiting);
    mine.waiting.clear();
    if (inventory) {
        mine.units = std::move(*inventory);
        for (auto& one : waiting) hand_out(initiator, mine, std::move(one));
        return;
    }
    slots_.erase(initiator);
    if (made_any) owner_->closed(initiator, session_end::lost);
    for (auto& one : waiting) {
        boost::asio::post(*one.loop, [handler = std::move(one.handler), why = inventory.error()] { handler(why); });
    }
}

/// The lease is made here, so that the units are held from now on, and released if the loop never runs the handler.
void initiator_table::hand_out(const std::string& initiator, slot& from, waiter to) {
    ++from.users;
    from.lost.erase(to.isid);
    // A handler that a loop keeps must be copyable; the lease is not.
    auto lease = std::make_shared<std::unique_ptr<initiator_lease>>(
        std::make_unique<initiator_lease>(shared_from_this(), initiator, to.isid, from.units));
    boost::asio::post(*to.loop, [handler = std::move(to.handler), lease] { handler(std::move(*lease)); });
}

std::shared_ptr<scsi::lun_inventory> initiator_table::find(const std::string& initiator) const {
    const std::lock_guard lock(mutex_);
    const auto found = slots_.find(initiator);
    return found == slots_.end() ? nullptr : found->second.units;
}

// closed() is called with the lock held, so that an open() of the same initiator always comes after it.
void initiator_table::release(const std::string& initiator, const port_id& isid, session_end how) noexcept {
    const std::lock_guard lock(mutex_);
    const auto found = slots_.find(initiator);
    auto& mine = found->second;
    if (how == session_end::lost) mine.lost.insert(isid);
    if (--mine.users != 0) return;
    const auto last = mine.lost.empty() ? session_end::logged_out : session_end::lost;
    slots_.erase(found);
    owner_->closed(initiator, last);
}

}  // namespace obd::iscsi

#include "server/clones/clone_set.hpp"

#include <spdlog/logger.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "server/catalog/names.hpp"
#include "server/clones/clone.hpp"

namespace obd::server {

/// From the event loops to the control thread. What it posts there keeps its order, so closed() comes before the open()
/// of the next login.
class clone_set::units_for_target final : public iscsi::initiator_units {
public:
    explicit units_for_target(std::shared_ptr<clone_set> of) : of_(std::move(of)) {}

    asio::awaitable<result<std::vector<iscsi::lun_options>>> open(std::string initiator) override {
        auto opening = of_->open(std::move(initiator));
        co_return co_await asio::co_spawn(of_->services_.control, std::move(opening), asio::use_awaitable);
    }
    void closed(const std::string& initiator, iscsi::session_end how) override {
        auto job = [of = of_, initiator, how] { of->closed(initiator, how); };
        asio::post(of_->services_.control, std::move(job));
    }

private:
    const std::shared_ptr<clone_set> of_;
};

clone_set::clone_set(clone_set_options options, byte_count quota, clone_services services)
    : options_(std::move(options)),
      services_(services),
      store_(options_.settings.root),
      quota_(quota),
      base_there_(services.control),
      under_way_(services.control) {
    base_there_.expires_at(asio::steady_timer::time_point::max());
}

clone_set::~clone_set() = default;

std::shared_ptr<clone_set> clone_set::create(clone_set_options options, byte_count quota, clone_services services,
                                             clone_listing found) {
    std::shared_ptr<clone_set> set(new clone_set(std::move(options), quota, services));
    for (const auto& what : found.damaged) {
        services.log.error("clones: {} export={}", what, set->options_.name);
    }
    for (auto& stored : found.clones) {
        auto name = stored.record.initiator;
        auto what = std::make_shared<clone>(services.control, std::move(stored));
        set->clones_.emplace(std::move(name), what);
        // Its initiator, if the daemon died under it, is about to come back.
        set->start_retiring(what, set->options_.limits.discard_after_loss);
    }
    return set;
}

std::shared_ptr<iscsi::initiator_units> clone_set::units() {
    return std::make_shared<units_for_target>(shared_from_this());
}

void clone_set::set_base(std::shared_ptr<const clone_base> base, std::string content_hex) {
    base_ = std::move(base);
    content_hex_ = std::move(content_hex);
    base_there_.cancel();
}

void clone_set::note(std::string_view what, const clone& which, std::string_view outcome) {
    const auto& record = which.stored.record;
    services_.audit.write(what, {{"pathname", options_.name},
                                 {"initiator", record.initiator},
                                 {"mode", std::string(to_string(record.mode))},
                                 {"result", std::string(outcome)}});
}

// Login.

/// Bounded by `open_patience`.
asio::awaitable<result<void>> clone_set::wait_for_base() {
    asio::steady_timer patience(services_.control, options_.limits.open_patience);
    patience.async_wait([self = weak_from_this()](boost::system::error_code over) {
        const auto set = self.lock();
        if (!over && set) set->base_there_.cancel();
    });
    const auto until = patience.expiry();
    while (!base_ && !closing_ && std::chrono::steady_clock::now() < until) {
        [[maybe_unused]] const auto [ignored] = co_await base_there_.async_wait(asio::as_tuple(asio::use_awaitable));
    }
    if (closing_) co_return fail(errc::unavailable, "the daemon is stopping, or the export goes away");
    if (!base_) co_return fail(errc::unavailable, "the image is not open yet: " + reason_);
    co_return result<void>{};
}

result<clone_set::clone_ptr> clone_set::find_or_plan(const std::string& initiator) {
    const auto found = clones_.find(initiator);
    if (found != clones_.end()) return found->second;
    if (clones_.size() >= options_.limits.clones) {
        return fail(errc::limit_exceeded, "export \"" + options_.name + "\" has " + std::to_string(clones_.size()) +
                                              " clones, and \"clones.limit\" allows no more");
    }
    stored_clone planned;
    planned.record.initiator = initiator;
    planned.record.mode = options_.settings.mode;
    planned.record.quota = quota_;
    planned.record.designator = clone_designator(content_hex_, initiator);
    planned.record.created_s =
        std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
    auto what = std::make_shared<clone>(services_.control, std::move(planned));
    clones_.emplace(initiator, what);
    return what;
}

asio::awaitable<result<void>> clone_set::make(clone_ptr what) {
    auto job = [this, record = what->stored.record] {
        return store_.make(record, options_.settings.kind, base_->config);
    };
    CO_TRY(what->stored, co_await services_.workers.run(std::move(job)));
    note("clone-create", *what);
    co_return result<void>{};
}

/// REQUIRES: the base is there; `busy` is held.
asio::awaitable<result<void>> clone_set::ensure_open(clone_ptr what) {
    if (what->image) co_return result<void>{};
    if (what->stored.folder.empty()) {
        CO_TRYV(co_await make(what));
    }
    CO_TRY(auto image, co_await services_.opener.open_clone(what->stored.folder, base_));
    what->image = std::move(image);
    if (const auto writable = what->writable()) writable->set_quota(what->stored.record.quota);
    export_device_options device;
    device.name = options_.name + " of " + what->stored.record.initiator;
    device.geometry = what->image->geometry();
    device.patience = options_.limits.open_patience;
    what->device = std::make_shared<export_device>(std::move(device));
    what->device->open(what->image);
    co_return result<void>{};
}

/// REQUIRES: the base is there; `busy` is held.
asio::awaitable<result<iscsi::lun_options>> clone_set::open_unit(clone_ptr what) {
    CO_TRYV(co_await ensure_open(what));
    const auto folder = what->stored.folder;
    auto job = [this, folder] { return store_.load_unit(folder); };
    iscsi::lun_options unit;
    CO_TRY(unit.restored, co_await services_.workers.run(std::move(job)));
    if (closing_) co_return fail(errc::unavailable, "the daemon is stopping, or the export goes away");
    unit.lun = options_.lun;
    unit.removable = options_.removable;
    unit.device = what->device;
    unit.identity = unit_identity(what->stored.record.designator, options_.target);
    unit.persist = [set = shared_from_this(), folder](const scsi::persistent_state& changed) {
        return set->store_.save_unit(folder, changed);
    };
    co_return unit;
}

asio::awaitable<result<std::vector<iscsi::lun_options>>> clone_set::open(std::string initiator) {
    const auto self = shared_from_this();
    const auto under_way = under_way_.enter();
    CO_TRYV(co_await wait_for_base());
    for (;;) {
        CO_TRY(const auto what, find_or_plan(initiator));
        what->used = true;
        ++what->turn;
        what->linger.cancel();
        const auto mine = co_await what->busy.enter();
        if (what->gone) continue;  // it was thrown away just now: the next one is new
        auto unit = co_await open_unit(what);
        if (unit) {
            services_.log.info("clone open export={} initiator={} mode={}", options_.name, initiator,
                               to_string(what->stored.record.mode));
            std::vector<iscsi::lun_options> units;
            units.push_back(std::move(*unit));
            co_return units;
        }
        note("clone-open", *what, unit.error().message());
        what->used = false;
        if (what->stored.folder.empty()) {
            clones_.erase(initiator);
        } else {
            start_retiring(what, options_.limits.discard_after_loss);
        }
        co_return in_context(std::move(unit).error(), "clone of " + initiator);
    }
}

// The end of the last session, and after.

void clone_set::closed(const std::string& initiator, iscsi::session_end how) {
    const auto found = clones_.find(initiator);
    if (found == clones_.end()) return;
    const bool wished = how == iscsi::session_end::logged_out;
    const auto& limits = options_.limits;
    found->second->used = false;
    start_retiring(found->second, wished ? limits.discard_after_logout : limits.discard_after_loss);
}

void clone_set::start_retiring(clone_ptr what, std::chrono::milliseconds discard_after) {
    // A failure has been reported inside; an exception can only be a lack of memory, which ends the daemon.
    auto report = [](std::exception_ptr error) {
        if (error) std::rethrow_exception(error);
    };
    auto retiring = retire(shared_from_this(), what, what->turn, discard_after);
    asio::co_spawn(services_.control, std::move(retiring), std::move(report));
}

/// Closes the layer of a clone that nobody comes back for, and throws the clone away when it is not to be kept.
/// `self` keeps the set alive: nobody waits for this.
asio::awaitable<void> clone_set::retire([[maybe_unused]] std::shared_ptr<clone_set> self, clone_ptr what,
                                        std::uint64_t turn, std::chrono::milliseconds discard_after) {
    const auto under_way = under_way_.enter();
    const auto until = std::chrono::steady_clock::now() + discard_after;
    const auto quiet = [&] { return turn == what->turn && !what->used && !what->gone && !closing_; };
    what->linger.expires_after(std::min(options_.limits.close_after, discard_after));
    [[maybe_unused]] const auto [first] = co_await what->linger.async_wait(asio::as_tuple(asio::use_awaitable));
    if (!quiet()) co_return;
    {
        const auto mine = co_await what->busy.enter();
        if (!quiet()) co_return;
        co_await close_layer(what);
    }
    if (!quiet() || what->stored.record.mode == clone_mode::keep) co_return;
    what->linger.expires_at(until);
    [[maybe_unused]] const auto [second] = co_await what->linger.async_wait(asio::as_tuple(asio::use_awaitable));
    const auto mine = co_await what->busy.enter();
    if (!quiet() || what->stored.record.mode == clone_mode::keep) co_return;
    const auto thrown = co_await throw_away(what);
    note("clone-discard", *what, thrown ? "success" : thrown.error().message());
}

/// REQUIRES: `busy` is held.
asio::awaitable<void> clone_set::close_layer(clone_ptr what) {
    const auto image = std::exchange(what->image, nullptr);
    what->device.reset();
    if (!image) co_return;
    const auto closed = co_await image->close();
    if (!closed) {
        services_.log.error("closing a clone: {} export={} initiator={}", closed.error().message(), options_.name,
                            what->stored.record.initiator);
    }
}

/// REQUIRES: `busy` is held, nobody uses it.
asio::awaitable<result<void>> clone_set::throw_away(clone_ptr what) {
    co_await close_layer(what);
    const auto& initiator = what->stored.record.initiator;
    if (!what->stored.folder.empty()) {
        auto job = [this, folder = what->stored.folder] { return store_.remove(folder); };
        auto removed = co_await services_.workers.run(std::move(job));
        if (!removed) {
            services_.log.error("removing a clone: {} export={} initiator={}", removed.error().message(), options_.name,
                                initiator);
            co_return std::move(removed).error();
        }
    }
    what->gone = true;
    clones_.erase(initiator);
    services_.log.info("clone removed export={} initiator={}", options_.name, initiator);
    co_return result<void>{};
}

// The end of the set.

asio::awaitable<void> clone_set::close() {
    closing_ = true;
    base_there_.cancel();
    for (const auto& [initiator, what] : clones_) what->linger.cancel();
    // All at once: each waits for a disk.
    auto report = [](std::exception_ptr error) {
        if (error) std::rethrow_exception(error);
    };
    for (const auto& [initiator, what] : clones_) {
        asio::co_spawn(services_.control, close_one(what), report);
    }
    co_await under_way_.wait_empty();
}

asio::awaitable<void> clone_set::close_one(clone_ptr what) {
    const auto under_way = under_way_.enter();
    const auto mine = co_await what->busy.enter();
    co_await close_layer(what);
}

asio::awaitable<void> clone_set::discard() {
    const auto all = clones_;
    for (const auto& [initiator, what] : all) {
        const auto mine = co_await what->busy.enter();
        if (what->stored.record.mode == clone_mode::keep) continue;
        const auto thrown = co_await throw_away(what);
        note("clone-discard", *what, thrown ? "success" : thrown.error().message());
    }
    auto job = [this] {
        store_.remove_empty_root();
        return 0;
    };
    [[maybe_unused]] const auto done = co_await services_.workers.run(std::move(job));
}

}  // namespace obd::server

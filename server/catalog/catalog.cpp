#include "server/catalog/catalog.hpp"

#include <spdlog/logger.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <set>

#include "protocol/scsi/device_server.hpp"
#include "server/catalog/entry.hpp"
#include "server/catalog/names.hpp"

namespace obd::server {

std::string_view to_string(export_state state) {
    switch (state) {
        case export_state::starting:
            return "starting";
        case export_state::ready:
            return "ready";
        case export_state::failed:
            return "failed";
        case export_state::detaching:
            return "detaching";
    }
    return "unknown";
}

std::string_view to_string(upper_kind kind) {
    switch (kind) {
        case upper_kind::none:
            return "none";
        case upper_kind::append:
            return "append";
        case upper_kind::sparse:
            return "sparse";
    }
    return "unknown";
}

catalog::catalog(catalog_options options, catalog_services services)
    : options_(std::move(options)),
      services_(services),
      opening_(services.control, options_.images_opening_at_once),
      saving_(services.control, 1),
      under_way_(services.control) {}

catalog::~catalog() = default;

// Listing.

export_view catalog::view_of(const entry& what, const std::vector<iscsi::session_info>& sessions) const {
    export_view view;
    view.record = what.record;
    view.state = what.state;
    view.reason = what.reason;
    if (what.record.seen) {
        const auto id = unit_identity(what.record.seen->designator, what.record.target);
        view.serial = id.serial;
        view.naa = id.naa;
    }
    if (what.image) view.layers = what.image->layers();
    if (what.clones) view.clones = what.clones->counts();
    if (const auto writable = layers::as_writable(what.image)) {
        const auto now = writable->statistics();
        view.upper_used = now.data_used + now.index_used;
    }
    std::set<std::string> names;
    for (const auto& session : sessions) {
        if (session.target_name == what.record.target) names.insert(session.initiator_name);
    }
    view.initiators.assign(names.begin(), names.end());
    return view;
}

std::vector<export_view> catalog::list() const {
    const auto sessions = services_.target.sessions();
    std::vector<export_view> views;
    for (const auto& [name, what] : entries_) views.push_back(view_of(*what, sessions));
    return views;
}

result<export_view> catalog::show(const std::string& name) const {
    const auto found = entries_.find(name);
    if (found == entries_.end()) return fail(errc::not_found, "export \"" + name + "\"");
    return view_of(*found->second, services_.target.sessions());
}

// Attaching.

result<std::uint16_t> catalog::free_lun(const std::string& target) const {
    std::set<std::uint16_t> taken;
    for (const auto& [name, what] : entries_) {
        if (what->record.target == target) taken.insert(what->record.lun);
    }
    std::uint16_t lun = 0;
    for (const auto used : taken) {
        if (used != lun) break;
        ++lun;
    }
    if (lun > scsi::max_lun) return fail(errc::limit_exceeded, "target " + target + " has no free LUN");
    return lun;
}

result<void> catalog::check_target_access(const attach_request& request, const export_record& record) const {
    const bool restricted = request.access.auth || !request.access.initiators.empty();
    for (const auto& [name, what] : entries_) {
        if (what->record.target != record.target) continue;
        if (what->record.clones || record.clones) {
            return fail(errc::already_exists, "target " + record.target + " is export \"" + name +
                                                  "\"; an export with clones has its target for itself");
        }
        if (what->record.lun == record.lun) {
            return fail(errc::already_exists, "LUN " + std::to_string(record.lun) + " of target " + record.target +
                                                  " is export \"" + name + "\"; choose another with --lun or --target");
        }
        if (restricted || request.redirect) {
            return fail(errc::invalid_argument,
                        "target " + record.target + " exists; who may use it is said when its first LUN is attached");
        }
    }
    return {};
}

result<export_record> catalog::plan(const attach_request& request) const {
    if (closing_) return fail(errc::unavailable, "the daemon is stopping");
    if (entries_.size() >= options_.exports) return fail(errc::limit_exceeded, "too many exports");
    export_record record;
    record.origin = request.origin;
    record.access = request.access;
    record.removable = request.removable;
    record.name = request.name;
    if (record.name.empty()) {
        record.name = request.origin.reference.empty() ? name_from_config(request.origin.config)
                                                       : name_from_reference(request.origin.reference);
    }
    TRYV(check_export_name(record.name));
    if (entries_.contains(record.name)) {
        return fail(errc::already_exists, "export \"" + record.name + "\"; choose another name with --name");
    }
    TRY(record.target, target_name(request.target.empty() ? record.name : request.target, options_.target_prefix));
    if (request.lun && *request.lun > scsi::max_lun) {
        return fail(errc::invalid_argument,
                    "LUN " + std::to_string(*request.lun) + ": the highest is " + std::to_string(scsi::max_lun));
    }
    record.lun = request.lun.value_or(0);
    if (!request.lun && !request.target.empty()) {
        TRY(record.lun, free_lun(record.target));
    }
    TRYV(check_target_access(request, record));
    if (record.origin.upper != upper_kind::none && record.origin.upper_dir.empty()) {
        record.origin.upper_dir = services_.store.default_upper_dir(record.name);
    }
    record.redirect = request.redirect;
    TRYV(plan_clones(request, record));
    return record;
}

catalog::entry_ptr catalog::insert(export_record record) {
    auto what = std::make_shared<entry>(services_.control, std::move(record));
    entries_.emplace(what->record.name, what);
    return what;
}

asio::awaitable<result<export_view>> catalog::attach(attach_request request) {
    const auto busy = under_way_.enter();
    CO_TRY(auto record, plan(request));
    const auto what = insert(std::move(record));
    auto opened = co_await open_and_publish(what);
    if (!opened) {
        what->kept = false;
        what->state = export_state::detaching;
        co_await unpublish(what, options_.detach_grace);
        entries_.erase(what->record.name);
        services_.log.error("attach failed: {} export={}", opened.error().message(), what->record.name);
        co_return in_context(std::move(opened).error(), "attach " + what->record.name);
    }
    services_.log.info("attached export={} target={} lun={} size={} layers={}", what->record.name, what->record.target,
                       what->record.lun, what->record.seen->geometry.size.value, what->image->layers().size());
    co_return view_of(*what, services_.target.sessions());
}

asio::awaitable<result<void>> catalog::open_and_publish(entry_ptr what) {
    {
        const auto slot = co_await opening_.enter();
        if (closing_) co_return fail(errc::unavailable, "the daemon is stopping");
        CO_TRY(auto opened, co_await services_.opener.open(opening::first, what->record.origin, std::nullopt));
        what->record.pinned = opened.pinned;
        const auto content = to_hex(opened.image->identity());
        what->record.seen = seen_unit{content, content, opened.image->geometry()};
        what->image = opened.image;
        if (what->record.clones && !opened.base) {
            co_return fail(errc::invalid_argument, "the image has a writable layer; clones need one without");
        }
        if (what->record.quota.value != 0 && !what->record.clones && !layers::as_writable(what->image)) {
            co_return fail(errc::invalid_argument, "a quota needs a writable layer");
        }
        CO_TRYV(co_await load_clones(what));
        what->device = make_device(*what);
        use_image(*what, std::move(opened));
    }
    // What an earlier export of this name left behind when the daemon was killed is not this one's.
    CO_TRYV(services_.store.forget_unit(what->record.name));
    CO_TRYV(publish(*what, std::nullopt));
    what->kept = true;
    CO_TRYV(co_await save());
    what->state = export_state::ready;
    co_return result<void>{};
}

std::shared_ptr<export_device> catalog::make_device(const entry& what) const {
    export_device_options options;
    options.name = what.record.name;
    options.geometry = what.record.seen->geometry;
    options.patience = options_.open_patience;
    if (services_.audit.enabled()) {
        options.on_slow = [&audit = services_.audit, name = what.record.name](const slow_operation& slow) {
            audit.write("export:" + std::string(slow.what), {{"pathname", name},
                                                             {"offset", std::to_string(slow.offset.value)},
                                                             {"size", std::to_string(slow.count.value)},
                                                             {"latency", std::to_string(slow.took.count())}});
        };
    }
    return std::make_shared<export_device>(std::move(options));
}

/// Makes the target if this is its first logical unit, then the unit. unpublish() undoes it, also when it failed.
result<void> catalog::publish(entry& what, std::optional<scsi::persistent_state> state) {
    const auto& record = what.record;
    const auto sibling = [&](const auto& other) {
        return other.second.get() != &what && other.second->published && other.second->record.target == record.target;
    };
    const bool first = std::none_of(entries_.begin(), entries_.end(), sibling);
    iscsi::lun_options lun;
    lun.lun = record.lun;
    lun.device = what.device;
    lun.identity = unit_identity(record.seen->designator, record.target);
    lun.removable = record.removable;
    lun.restored = std::move(state);
    lun.persist = [&store = services_.store, name = record.name](const scsi::persistent_state& changed) {
        return store.save_unit(name, changed);
    };
    if (first) {
        iscsi::target_options target{.name = record.target,
                                     .alias = record.name,
                                     .auth = record.access.auth,
                                     .allowed_initiators = record.access.initiators};
        target.redirect = record.redirect ? record.redirect : options_.redirect;
        if (what.clones) target.per_initiator = what.clones->units();
        TRYV(services_.target.add_target(std::move(target)));
    }
    what.published = true;
    if (what.clones) return {};
    return services_.target.add_lun(record.target, std::move(lun));
}

// Detaching.

/// Initiators log out or are cut off, the unit goes, its image is flushed and closed. Failures are logged: the export
/// is gone for its users all the same.
asio::awaitable<void> catalog::unpublish(entry_ptr what, std::chrono::milliseconds grace) {
    const auto& record = what->record;
    const auto sibling = [&](const auto& other) {
        return other.second != what && other.second->published && other.second->record.target == record.target;
    };
    const bool last = std::none_of(entries_.begin(), entries_.end(), sibling);
    if (what->device) what->device->give_up();
    if (what->published) {
        what->published = false;
        auto removing = last ? services_.target.remove_target(record.target, grace)
                             : services_.target.remove_lun(record.target, record.lun);
        const auto removed = co_await std::move(removing);
        if (!removed) services_.log.error("removing the unit: {} export={}", removed.error().message(), record.name);
    }
    if (what->clones) co_await what->clones->close();
    if (what->image) {
        const auto closed = co_await what->image->close();
        if (!closed) services_.log.error("closing the image: {} export={}", closed.error().message(), record.name);
    }
}

asio::awaitable<result<void>> catalog::detach(std::string name) {
    const auto busy = under_way_.enter();
    const auto found = entries_.find(name);
    if (found == entries_.end()) co_return fail(errc::not_found, "export \"" + name + "\"");
    const auto what = found->second;
    if (!what->kept) co_return fail(errc::busy, "export \"" + name + "\" is being attached or detached");

    // First the promise that it stays away after a restart, then the work.
    const auto before = what->state;
    what->kept = false;
    what->state = export_state::detaching;
    auto saved = co_await save();
    if (!saved) {
        what->kept = true;
        what->state = before;
        co_return in_context(std::move(saved).error(), "detach " + name);
    }
    what->stop();
    co_await unpublish(what, options_.detach_grace);
    co_await end_clones(what);
    auto job = [this, name] { return services_.store.forget_unit(name); };
    const auto forgotten = co_await services_.workers.run(std::move(job));
    if (!forgotten) services_.log.error("forgetting reservations: {} export={}", forgotten.error().message(), name);
    entries_.erase(name);
    services_.log.info("detached export={}", name);
    co_return result<void>{};
}

/// One writer at a time, each with the newest list.
asio::awaitable<result<void>> catalog::save() {
    const auto turn = co_await saving_.enter();
    std::vector<export_record> records;
    for (const auto& [name, what] : entries_) {
        if (what->kept) records.push_back(what->record);
    }
    auto job = [this, records = std::move(records)] { return services_.store.save_exports(records); };
    co_return co_await services_.workers.run(std::move(job));
}

asio::awaitable<void> catalog::close() {
    closing_ = true;
    for (const auto& [name, what] : entries_) {
        what->stop();
        if (what->device) what->device->give_up();
    }
    co_await under_way_.wait_empty();
    for (const auto& [name, what] : entries_) {
        if (what->clones) co_await what->clones->close();
        if (!what->image) continue;
        const auto closed = co_await what->image->close();
        if (!closed) services_.log.error("closing the image: {} export={}", closed.error().message(), name);
    }
}

}  // namespace obd::server

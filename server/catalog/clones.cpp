// Exports whose initiators have clones, quotas, and redirection.
#include <spdlog/logger.h>

#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "protocol/iscsi/text.hpp"
#include "server/catalog/catalog.hpp"
#include "server/catalog/entry.hpp"

namespace obd::server {
namespace {

/// As logins have it: names are compared in folded form.
std::string folded(const std::string& initiator) {
    return iscsi::normalise_name(initiator).value_or(initiator);
}

}  // namespace

/// Fills in what the request leaves to the configuration, and refuses what cannot go together.
result<void> catalog::plan_clones(const attach_request& request, export_record& record) const {
    const bool writable = record.origin.upper != upper_kind::none || request.clones;
    if (request.clones && record.origin.upper != upper_kind::none) {
        return fail(errc::invalid_argument, "clones stand on the image as it is: no writable layer below them");
    }
    record.quota = request.quota.value_or(writable ? options_.quota : byte_count{0});
    record.clones = request.clones;
    if (record.clones && record.clones->root.empty()) {
        const auto root = options_.clone_root;
        record.clones->root = root ? *root / record.name : services_.store.default_clone_root(record.name);
    }
    return {};
}

asio::awaitable<result<void>> catalog::load_clones(entry_ptr what) {
    if (!what->record.clones) co_return result<void>{};
    auto job = [root = what->record.clones->root] { return clone_store(root).load(); };
    CO_TRY(auto found, co_await services_.workers.run(std::move(job)));
    make_clones(*what, std::move(found));
    co_return result<void>{};
}

void catalog::make_clones(entry& what, clone_listing found) const {
    const auto& record = what.record;
    clone_set_options options;
    options.name = record.name;
    options.target = record.target;
    options.lun = record.lun;
    options.removable = record.removable;
    options.settings = *record.clones;
    options.limits = options_.clones;
    const clone_services services{.control = services_.control,
                                  .workers = services_.workers,
                                  .opener = services_.opener,
                                  .audit = services_.audit,
                                  .log = services_.log};
    what.clones = clone_set::create(std::move(options), record.quota, services, std::move(found));
}

/// The image is open: commands and logins that wait for it go on.
void catalog::use_image(entry& what, opened_image opened) const {
    what.image = std::move(opened.image);
    what.device->open(what.image);
    if (const auto writable = layers::as_writable(what.image)) writable->set_quota(what.record.quota);
    if (what.clones && opened.base) what.clones->set_base(std::move(opened.base), what.record.seen->designator);
}

asio::awaitable<void> catalog::end_clones(entry_ptr what) {
    if (!what->clones) co_return;
    co_await what->clones->close();
    co_await what->clones->discard();
    what->clones.reset();
}

result<std::shared_ptr<clone_set>> catalog::clones_of(const std::string& name) const {
    const auto found = entries_.find(name);
    if (found == entries_.end()) return fail(errc::not_found, "export \"" + name + "\"");
    if (!found->second->clones) {
        return fail(errc::invalid_argument, "export \"" + name + "\" was not attached with --clone-per-initiator");
    }
    return found->second->clones;
}

asio::awaitable<result<std::vector<clone_view>>> catalog::clones(std::string name) {
    CO_TRY(const auto set, clones_of(name));
    auto sessions = services_.target.sessions();
    co_return co_await set->list(std::move(sessions));
}

asio::awaitable<result<void>> catalog::keep_clone(std::string name, std::string initiator) {
    const auto busy = under_way_.enter();
    CO_TRY(const auto set, clones_of(name));
    co_return co_await set->keep(folded(initiator));
}

asio::awaitable<result<committed_layer>> catalog::commit_clone(std::string name, std::string initiator,
                                                               std::filesystem::path file) {
    const auto busy = under_way_.enter();
    CO_TRY(const auto set, clones_of(name));
    co_return co_await set->commit(folded(initiator), std::move(file));
}

asio::awaitable<result<void>> catalog::remove_clone(std::string name, std::string initiator, removal how) {
    const auto busy = under_way_.enter();
    CO_TRY(const auto set, clones_of(name));
    initiator = folded(initiator);
    const auto target = entries_.at(name)->record.target;
    if (how == removal::by_force && set->in_use(initiator)) {
        CO_TRYV(co_await services_.target.end_sessions(target, initiator, options_.detach_grace));
        // The end of the session is told to the set through this thread's queue: behind it this function goes on.
        co_await asio::post(services_.control, asio::use_awaitable);
    }
    co_return co_await set->remove(std::move(initiator));
}

asio::awaitable<result<export_view>> catalog::set_quota(std::string name, std::string initiator, byte_count quota) {
    const auto busy = under_way_.enter();
    const auto found = entries_.find(name);
    if (found == entries_.end()) co_return fail(errc::not_found, "export \"" + name + "\"");
    const auto what = found->second;
    if (!initiator.empty()) {
        CO_TRY(const auto set, clones_of(name));
        CO_TRYV(co_await set->set_quota(folded(initiator), quota));
        co_return view_of(*what, services_.target.sessions());
    }
    const auto writable = layers::as_writable(what->image);
    if (!writable && !what->clones) co_return fail(errc::read_only, "export \"" + name + "\"");
    const auto before = std::exchange(what->record.quota, quota);
    auto saved = co_await save();
    if (!saved) {
        what->record.quota = before;
        co_return std::move(saved).error();
    }
    if (writable) writable->set_quota(quota);
    if (what->clones) what->clones->set_default_quota(quota);
    services_.log.info("quota export={} bytes={}", name, quota.value);
    co_return view_of(*what, services_.target.sessions());
}

asio::awaitable<result<export_view>> catalog::set_redirect(std::string name,
                                                           std::optional<iscsi::redirection> redirect) {
    const auto busy = under_way_.enter();
    const auto found = entries_.find(name);
    if (found == entries_.end()) co_return fail(errc::not_found, "export \"" + name + "\"");
    const auto what = found->second;
    // Of the target: all exports of it say the same from now on.
    for (const auto& [other, one] : entries_) {
        if (one->record.target == what->record.target) one->record.redirect = redirect;
    }
    CO_TRYV(co_await save());
    CO_TRYV(services_.target.set_redirect(what->record.target, redirect ? redirect : options_.redirect));
    services_.log.info("redirect target={} to={}", what->record.target, redirect ? redirect->address : "nowhere");
    co_return view_of(*what, services_.target.sessions());
}

}  // namespace obd::server

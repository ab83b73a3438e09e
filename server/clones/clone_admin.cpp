// What users do to single clones.
#include <spdlog/logger.h>

#include "server/catalog/names.hpp"
#include "server/catalog/upper_folder.hpp"
#include "server/clones/clone.hpp"
#include "server/clones/commit_clone.hpp"
#include "server/state/durable_file.hpp"

namespace obd::server {

std::string_view to_string(clone_mode mode) {
    switch (mode) {
        case clone_mode::keep:
            return "keep";
        case clone_mode::discard:
            return "discard";
    }
    return "unknown";
}

std::optional<clone_mode> parse_clone_mode(std::string_view text) {
    for (const auto mode : {clone_mode::keep, clone_mode::discard}) {
        if (to_string(mode) == text) return mode;
    }
    return std::nullopt;
}

result<clone_set::clone_ptr> clone_set::find(const std::string& initiator) const {
    const auto found = clones_.find(initiator);
    const bool there = found != clones_.end() && !found->second->stored.folder.empty();
    if (!there) return fail(errc::not_found, "export \"" + options_.name + "\" has no clone of " + initiator);
    return found->second;
}

bool clone_set::in_use(const std::string& initiator) const {
    const auto found = clones_.find(initiator);
    return found != clones_.end() && found->second->used;
}

clone_counts clone_set::counts() const {
    clone_counts all;
    for (const auto& [initiator, what] : clones_) {
        ++all.all;
        if (what->image) ++all.open;
        if (what->stored.record.mode == clone_mode::discard) ++all.discarded_at_logout;
    }
    return all;
}

asio::awaitable<std::vector<clone_view>> clone_set::list(std::vector<iscsi::session_info> sessions) {
    const auto self = shared_from_this();
    std::map<std::string, clone_view> views;
    for (const auto& [initiator, what] : clones_) {
        if (what->stored.folder.empty()) continue;
        const auto& record = what->stored.record;
        auto& view = views[initiator];
        view.initiator = initiator;
        view.mode = record.mode;
        view.folder = what->stored.folder;
        view.serial = unit_identity(record.designator, options_.target).serial;
        view.quota = record.quota;
        view.created = std::chrono::system_clock::time_point(std::chrono::seconds(record.created_s));
        if (const auto writable = what->writable()) {
            const auto now = writable->statistics();
            view.open = true;
            view.used = now.data_used + now.index_used;
            view.size = now.virtual_size;
        }
    }
    for (const auto& session : sessions) {
        if (session.target_name != options_.target) continue;
        const auto found = views.find(session.initiator_name);
        if (found == views.end()) continue;
        ++found->second.sessions;
        found->second.read_bytes += session.read_bytes;
        found->second.written_bytes += session.written_bytes;
    }
    auto job = [views = std::move(views)]() mutable {
        std::vector<clone_view> all;
        for (auto& [initiator, view] : views) {
            if (!view.open) view.used = occupied_bytes(view.folder);
            all.push_back(std::move(view));
        }
        return all;
    };
    co_return co_await services_.workers.run(std::move(job));
}

asio::awaitable<result<void>> clone_set::keep(std::string initiator) {
    const auto self = shared_from_this();
    const auto under_way = under_way_.enter();
    CO_TRY(const auto what, find(initiator));
    const auto mine = co_await what->busy.enter();
    if (what->gone) co_return fail(errc::not_found, "the clone of " + initiator);
    auto changed = what->stored;
    changed.record.mode = clone_mode::keep;
    auto job = [this, changed] { return store_.save(changed); };
    CO_TRYV(co_await services_.workers.run(std::move(job)));
    what->stored = std::move(changed);
    note("clone-keep", *what);
    co_return result<void>{};
}

asio::awaitable<result<void>> clone_set::set_quota(std::string initiator, byte_count quota) {
    const auto self = shared_from_this();
    const auto under_way = under_way_.enter();
    CO_TRY(const auto what, find(initiator));
    const auto mine = co_await what->busy.enter();
    if (what->gone) co_return fail(errc::not_found, "the clone of " + initiator);
    auto changed = what->stored;
    changed.record.quota = quota;
    auto job = [this, changed] { return store_.save(changed); };
    CO_TRYV(co_await services_.workers.run(std::move(job)));
    what->stored = std::move(changed);
    if (const auto writable = what->writable()) writable->set_quota(quota);
    note("clone-quota", *what, std::to_string(quota.value));
    co_return result<void>{};
}

asio::awaitable<result<void>> clone_set::remove(std::string initiator) {
    const auto self = shared_from_this();
    const auto under_way = under_way_.enter();
    CO_TRY(const auto what, find(initiator));
    const auto mine = co_await what->busy.enter();
    if (what->gone) co_return fail(errc::not_found, "the clone of " + initiator);
    if (what->used) co_return fail(errc::busy, initiator + " is logged in to its clone; --force ends its sessions");
    auto thrown = co_await throw_away(what);
    note("clone-remove", *what, thrown ? "success" : thrown.error().message());
    co_return thrown;
}

/// REQUIRES: the base is there. Opens the layer if need be.
asio::awaitable<result<layers::snapshot_report>> clone_set::seal(clone_ptr what) {
    const auto mine = co_await what->busy.enter();
    if (what->gone) co_return fail(errc::not_found, "the clone of " + what->stored.record.initiator);
    CO_TRYV(co_await ensure_open(what));
    const auto writable = what->writable();
    if (!writable) co_return fail(errc::read_only, "the clone of " + what->stored.record.initiator);
    const auto& folder = what->stored.folder;
    auto request = snapshot_into(folder, upper_config_path(folder), writable->statistics().kind);
    co_return co_await writable->snapshot(std::move(request));
}

asio::awaitable<result<committed_layer>> clone_set::commit(std::string initiator, std::filesystem::path file) {
    const auto self = shared_from_this();
    const auto under_way = under_way_.enter();
    CO_TRY(const auto what, find(initiator));
    CO_TRYV(co_await wait_for_base());
    auto report = co_await seal(what);
    if (!report) co_return in_context(std::move(report).error(), "snapshot of the clone of " + initiator);
    // Copying may take long: meanwhile the initiator may log in and out.
    auto job = [config = upper_config_path(what->stored.folder), file, below = base_->config.lowers.size()] {
        return commit_own_layers(config, below, file);
    };
    auto made = co_await services_.workers.run(std::move(job));
    note("clone-commit", *what, made ? "success" : made.error().message());
    {
        const auto mine = co_await what->busy.enter();
        if (!what->used) {
            co_await close_layer(what);
        }
    }
    if (!made) co_return in_context(std::move(made).error(), "commit of the clone of " + initiator);
    made->pause = report->pause;
    services_.log.info("clone committed export={} initiator={} file={} size={} pause_us={}", options_.name, initiator,
                       made->file.string(), made->size.value, made->pause.count());
    co_return std::move(*made);
}

}  // namespace obd::server

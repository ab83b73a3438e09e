// How exports come back after a restart: their units at once, their images as soon as they can be opened.
#include <spdlog/logger.h>

#include <boost/asio/co_spawn.hpp>

#include "server/catalog/catalog.hpp"
#include "server/catalog/entry.hpp"

namespace obd::server {

result<void> catalog::restore() {
    TRY(auto restored, services_.store.load_exports());
    if (!restored.warning.empty()) services_.log.error("state: {}", restored.warning);
    for (auto& record : restored.records) {
        const auto what = insert(std::move(record));
        what->kept = true;
        const auto published = republish(*what);
        if (!published) {
            // Rather no unit than one without its reservations.
            what->state = export_state::failed;
            what->reason = published.error().message();
            services_.log.error("restore: {} export={}", what->reason, what->record.name);
            continue;
        }
        // A failure has been reported inside; an exception can only be a lack of memory, which ends the daemon.
        auto report = [](std::exception_ptr error) {
            if (error) std::rethrow_exception(error);
        };
        asio::co_spawn(services_.control, keep_opening(what), std::move(report));
    }
    services_.log.info("restored exports={}", entries_.size());
    return {};
}

result<void> catalog::republish(entry& what) {
    if (what.record.clones) {
        TRY(auto found, clone_store(what.record.clones->root).load());
        make_clones(what, std::move(found));
    }
    what.device = make_device(what);
    TRY(auto state, services_.store.load_unit(what.record.name));
    return publish(what, std::move(state));
}

asio::awaitable<void> catalog::keep_opening(entry_ptr what) {
    const auto busy = under_way_.enter();
    for (auto delay = options_.first_retry; !what->stopping; delay = std::min(delay * 2, options_.longest_retry)) {
        auto attempt = co_await try_opening(what);
        if (attempt) co_return;
        if (what->stopping) co_return;
        what->state = export_state::failed;
        what->reason = attempt.error().message();
        if (what->device) what->device->explain(what->reason);
        if (what->clones) what->clones->explain(what->reason);
        services_.log.warn("opening: {} export={} retry_in_ms={}", what->reason, what->record.name, delay.count());
        what->retry.expires_after(delay);
        [[maybe_unused]] const auto [ignored] = co_await what->retry.async_wait(asio::as_tuple(asio::use_awaitable));
    }
}

/// Succeeds when there is nothing left to do: the export is ready, stopping, or no retry can help it.
asio::awaitable<result<void>> catalog::try_opening(entry_ptr what) {
    const auto slot = co_await opening_.enter();
    if (what->stopping) co_return result<void>{};
    CO_TRY(auto opened, co_await services_.opener.open(opening::again, what->record.origin, what->record.pinned));
    if (what->stopping) {
        const auto closed = co_await opened.image->close();
        if (!closed) services_.log.error("closing: {} export={}", closed.error().message(), what->record.name);
        co_return result<void>{};
    }
    co_return co_await adopt(what, std::move(opened));
}

asio::awaitable<result<void>> catalog::adopt(entry_ptr what, opened_image opened) {
    auto& record = what->record;
    const auto content = to_hex(opened.image->identity());
    const auto geometry = opened.image->geometry();
    const bool read_only = geometry.access == access_mode::read_only;
    const bool same_access = geometry.access == record.seen->geometry.access;
    // The content of a writable image changes by design; a snapshot changes its layers too.
    if (!same_access || (read_only && record.seen->content != content)) {
        // Initiators hold cached blocks of the other image: serving this one under the same name would mix the two.
        what->state = export_state::failed;
        what->reason = "the image is not the one that was attached; detach it and attach it anew";
        what->device->explain(what->reason);
        services_.log.error("opening: {} export={}", what->reason, record.name);
        const auto closed = co_await opened.image->close();
        if (!closed) services_.log.error("closing: {} export={}", closed.error().message(), record.name);
        co_return result<void>{};
    }
    const bool grown = record.seen->geometry.size != geometry.size;
    record.seen->content = content;
    record.seen->geometry = geometry;
    use_image(*what, std::move(opened));
    what->state = export_state::ready;
    what->reason.clear();
    if (grown && !what->clones) {
        const auto told = services_.target.capacity_changed(record.target, record.lun);
        if (!told) services_.log.warn("capacity: {} export={}", told.error().message(), record.name);
        CO_TRYV(co_await save());
    }
    services_.log.info("ready export={} target={} lun={}", record.name, record.target, record.lun);
    co_return result<void>{};
}

}  // namespace obd::server

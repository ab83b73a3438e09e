// What only writable exports can: snapshots and growing, under running I/O.
#include <spdlog/logger.h>

#include "server/catalog/catalog.hpp"
#include "server/catalog/entry.hpp"
#include "server/catalog/upper_folder.hpp"
#include "server/state/durable_file.hpp"

namespace obd::server {
namespace {

/// The file that says what is opened next time.
std::filesystem::path own_config(const image_origin& origin) {
    return origin.upper == upper_kind::none ? origin.config : upper_config_path(origin.upper_dir);
}

result<void> check_next_config(const std::filesystem::path& next, const layers::image_config& stack,
                               const std::filesystem::path& present_data) {
    const auto refuse = [&](const std::string& why) {
        return fail(errc::invalid_argument, next.string() + ": " + why);
    };
    if (!stack.upper.writable()) return refuse("names no upper");
    if (stack.upper.data == present_data) return refuse("the upper must be a new one");
    std::error_code ignored;
    if (stack.lowers.empty() || !std::filesystem::equivalent(stack.lowers.back().file, present_data, ignored)) {
        return refuse("the topmost lower must be " + present_data.string());
    }
    return {};
}

}  // namespace

result<catalog::entry_ptr> catalog::ready_export(const std::string& name) const {
    const auto found = entries_.find(name);
    if (found == entries_.end()) return fail(errc::not_found, "export \"" + name + "\"");
    if (found->second->state != export_state::ready) {
        return fail(errc::busy, "export \"" + name + "\" is " + std::string(to_string(found->second->state)));
    }
    return found->second;
}

asio::awaitable<result<snapshot_view>> catalog::snapshot(std::string name, std::filesystem::path folder) {
    const auto busy = under_way_.enter();
    CO_TRY(const auto what, ready_export(name));
    const auto image = layers::as_writable(what->image);
    if (!image) co_return fail(errc::read_only, "export \"" + name + "\"");
    const auto config = own_config(what->record.origin);
    const auto now = image->statistics();

    std::error_code bad;
    if (folder.empty()) folder = now.paths.data.parent_path();
    std::filesystem::create_directories(folder, bad);
    if (bad) co_return fail_errno("folder " + folder.string(), bad.value());
    auto request = snapshot_into(folder, config, now.kind);
    co_return co_await run_snapshot(what, std::move(request));
}

asio::awaitable<result<snapshot_view>> catalog::snapshot_to(std::string name, std::filesystem::path next) {
    const auto busy = under_way_.enter();
    CO_TRY(const auto what, ready_export(name));
    const auto image = layers::as_writable(what->image);
    if (!image) co_return fail(errc::read_only, "export \"" + name + "\"");
    const auto config = own_config(what->record.origin);
    const auto now = image->statistics();

    CO_TRY(const auto stack, layers::load_image_config(next));
    CO_TRYV(check_next_config(next, stack, now.paths.data));
    layers::snapshot_request request;
    request.upper = {stack.upper.data, stack.upper.index};
    request.kind = now.kind;
    // Written anew rather than renamed, so that relative paths in it keep their meaning.
    request.publish = [config, stack](const layers::snapshot_layers&) {
        return replace_file(config, encode_image_config(stack));
    };
    auto made = co_await run_snapshot(what, std::move(request));
    if (made) std::filesystem::remove(next);
    co_return made;
}

asio::awaitable<result<snapshot_view>> catalog::run_snapshot(entry_ptr what, layers::snapshot_request request) {
    const auto image = layers::as_writable(what->image);
    auto report = co_await image->snapshot(std::move(request));
    if (!report) co_return in_context(std::move(report).error(), "snapshot of " + what->record.name);
    what->record.seen->content = to_hex(image->identity());
    CO_TRYV(co_await save());
    services_.log.info("snapshot export={} sealed={} pause_us={}", what->record.name, report->layers.sealed.string(),
                       report->pause.count());
    co_return snapshot_view{report->layers.sealed, report->layers.upper.data, report->layers.upper.index,
                            report->pause};
}

asio::awaitable<result<export_view>> catalog::resize(std::string name, byte_count size) {
    const auto busy = under_way_.enter();
    CO_TRY(const auto what, ready_export(name));
    const auto image = layers::as_writable(what->image);
    if (!image) co_return fail(errc::read_only, "export \"" + name + "\"");
    if (size.value == 0 || size.value % what->record.seen->geometry.logical_block_bytes != 0) {
        co_return fail(errc::invalid_argument, "a size must be a multiple of the block size");
    }
    auto resized = co_await image->resize(size);
    if (!resized) co_return in_context(std::move(resized).error(), "resize of " + name);
    what->record.seen->geometry = image->geometry();
    CO_TRYV(co_await save());
    CO_TRYV(services_.target.capacity_changed(what->record.target, what->record.lun));
    services_.log.info("resized export={} size={}", name, size.value);
    co_return view_of(*what, services_.target.sessions());
}

}  // namespace obd::server

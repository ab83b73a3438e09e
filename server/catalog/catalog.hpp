// The exports: attach, detach, list, and their return after a restart.
//
// The catalog lives on one thread, the daemon's control thread: no member takes a lock, every coroutine is resumed
// there, and blocking work goes to the worker pool. Opening an image may take as long as a slow registry takes; several
// open at a time, the rest of the catalog and the admin API go on meanwhile.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "base/worker_pool.hpp"
#include "layers/write/writable_image.hpp"
#include "server/catalog/async_slots.hpp"
#include "server/catalog/export.hpp"
#include "server/catalog/image_opener.hpp"
#include "server/clones/clone_set.hpp"
#include "server/logging/audit.hpp"
#include "server/state/state_store.hpp"

namespace spdlog {
class logger;
}

namespace obd::server {

class export_device;

struct catalog_options {
    std::string target_prefix;
    std::size_t images_opening_at_once = 8;
    std::size_t exports = 4096;                       ///< bounds what the state file and the listings hold
    std::chrono::milliseconds detach_grace{3'000};    ///< for initiators to log out
    std::chrono::milliseconds open_patience{20'000};  ///< how long a command waits for an image that is not open
    std::chrono::milliseconds first_retry{1'000};     ///< after a restart; doubles each time
    std::chrono::milliseconds longest_retry{60'000};
    clone_limits clones;
    std::optional<std::filesystem::path> clone_root;  ///< nothing: in the state folder
    byte_count quota;                                 ///< for a writable layer that is attached without one; 0: none
    std::optional<iscsi::redirection> redirect;       ///< of all targets that have none of their own
};

/// All of it outlives the catalog.
struct catalog_services {
    asio::any_io_executor control;
    worker_pool& workers;
    iscsi::target_server& target;
    image_opener& opener;
    const state_store& store;
    audit_log& audit;
    spdlog::logger& log;
};

class catalog {
public:
    catalog(catalog_options options, catalog_services services);
    ~catalog();
    catalog(const catalog&) = delete;
    catalog& operator=(const catalog&) = delete;

    /// Brings back what the state file holds: every logical unit is there when this returns, the images open
    /// afterwards. Blocks for the file. Fails when there is a state file that cannot be used.
    result<void> restore();

    /// Completes when the export can be used and is on stable storage, or with the reason; then nothing of it is left.
    asio::awaitable<result<export_view>> attach(attach_request request);
    /// not_found, or busy while it is being attached or detached.
    asio::awaitable<result<void>> detach(std::string name);

    std::vector<export_view> list() const;
    result<export_view> show(const std::string& name) const;

    /// Seals the writable layer and goes on with a new one in `folder` (empty: beside the old one), under running I/O.
    /// read_only where there is none, busy while the export is not ready.
    asio::awaitable<result<snapshot_view>> snapshot(std::string name, std::filesystem::path folder);
    /// The reference's way: `next` is a config.v1.json that has the present upper's data file as its topmost lower and
    /// a new upper. It takes the place of the export's own config file.
    asio::awaitable<result<snapshot_view>> snapshot_to(std::string name, std::filesystem::path next);
    /// Grows the disk; initiators are told. invalid_argument for a smaller size.
    asio::awaitable<result<export_view>> resize(std::string name, byte_count size);

    /// Of the writable layer, or of clones to come; with `initiator`, of that one's clone. 0: none.
    asio::awaitable<result<export_view>> set_quota(std::string name, std::string initiator, byte_count quota);
    /// Later logins to the export's target are sent there; nothing: they are served.
    asio::awaitable<result<export_view>> set_redirect(std::string name, std::optional<iscsi::redirection> redirect);

    // The clones of an export; invalid_argument when it has none, not_found when that initiator has none.
    asio::awaitable<result<std::vector<clone_view>>> clones(std::string name);
    asio::awaitable<result<void>> keep_clone(std::string name, std::string initiator);
    asio::awaitable<result<committed_layer>> commit_clone(std::string name, std::string initiator,
                                                          std::filesystem::path file);
    enum class removal { when_unused, by_force };
    /// By force: the initiator is asked to log out, and cut off.
    asio::awaitable<result<void>> remove_clone(std::string name, std::string initiator, removal how);

    /// Stops opening images, then flushes and closes those that are open. Call after the target's shutdown().
    asio::awaitable<void> close();

private:
    struct entry;
    using entry_ptr = std::shared_ptr<entry>;

    result<export_record> plan(const attach_request& request) const;
    result<std::uint16_t> free_lun(const std::string& target) const;
    result<void> check_target_access(const attach_request& request, const export_record& record) const;
    entry_ptr insert(export_record record);
    result<entry_ptr> ready_export(const std::string& name) const;
    asio::awaitable<result<snapshot_view>> run_snapshot(entry_ptr what, layers::snapshot_request request);
    std::shared_ptr<export_device> make_device(const entry& what) const;
    asio::awaitable<result<void>> open_and_publish(entry_ptr what);
    result<void> publish(entry& what, std::optional<scsi::persistent_state> state);
    result<void> republish(entry& what);
    asio::awaitable<void> unpublish(entry_ptr what, std::chrono::milliseconds grace);
    asio::awaitable<void> keep_opening(entry_ptr what);
    asio::awaitable<result<void>> try_opening(entry_ptr what);
    asio::awaitable<result<void>> adopt(entry_ptr what, opened_image opened);
    asio::awaitable<result<void>> save();
    result<void> plan_clones(const attach_request& request, export_record& record) const;
    asio::awaitable<result<void>> load_clones(entry_ptr what);
    void make_clones(entry& what, clone_listing found) const;
    void use_image(entry& what, opened_image opened) const;
    asio::awaitable<void> end_clones(entry_ptr what);
    result<std::shared_ptr<clone_set>> clones_of(const std::string& name) const;
    export_view view_of(const entry& what, const std::vector<iscsi::session_info>& sessions) const;

    const catalog_options options_;
    const catalog_services services_;
    async_slots opening_;
    async_slots saving_;
    async_gate under_way_;
    bool closing_ = false;
    std::map<std::string, entry_ptr> entries_;
};

}  // namespace obd::server

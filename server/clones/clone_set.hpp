// The clones of one export: a writable layer for each initiator that logs in, over one opened image.
//
//   login       the initiator's clone is found or made, its layer opened
//   last logout the layer stays open for a moment, then is flushed and closed; a clone to be discarded goes after that
//   connection lost
//               the same, but a clone to be discarded waits long enough for any initiator that means to come back: a
//               file system that is mounted on it must not find another disk under it
//   restart     clones are found on disk; those to be discarded wait as if their connections had been lost just now
//
// Lives on the control thread, but for the initiator_units that units() gives.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
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
#include "server/catalog/export_device.hpp"
#include "server/catalog/image_opener.hpp"
#include "server/clones/clone_store.hpp"
#include "server/logging/audit.hpp"

namespace spdlog {
class logger;
}

namespace obd::server {

struct clone_limits {
    std::size_t clones = 4096;                     ///< of one export: who may log in may make files
    std::chrono::milliseconds close_after{5'000};  ///< the last session's end; a login meanwhile finds it open
    std::chrono::milliseconds discard_after_logout{10'000};
    std::chrono::milliseconds discard_after_loss{900'000};
    std::chrono::milliseconds open_patience{10'000};  ///< for the image below, at a login; below the login timeout
};

/// What a clone_set does not change.
struct clone_set_options {
    std::string name;    ///< of the export
    std::string target;  ///< iSCSI name
    std::uint16_t lun = 0;
    bool removable = false;
    clone_settings settings;
    clone_limits limits;
};

/// All of it outlives the set.
struct clone_services {
    asio::any_io_executor control;
    worker_pool& workers;
    image_opener& opener;
    audit_log& audit;
    spdlog::logger& log;
};

class clone_set : public std::enable_shared_from_this<clone_set> {
public:
    /// `found` is what the store of `options.settings.root` has. `quota` is that of clones to come.
    static std::shared_ptr<clone_set> create(clone_set_options options, byte_count quota, clone_services services,
                                             clone_listing found);
    ~clone_set();

    /// The image is there: logins go on. REQUIRES: called once.
    void set_base(std::shared_ptr<const clone_base> base, std::string content_hex);
    /// Why it is not there yet, for the logs of logins that waited in vain.
    void explain(std::string reason) { reason_ = std::move(reason); }
    /// For the target server. Holds the set.
    std::shared_ptr<iscsi::initiator_units> units();

    clone_counts counts() const;
    /// In order of name. `sessions` are those of all targets.
    asio::awaitable<std::vector<clone_view>> list(std::vector<iscsi::session_info> sessions);

    /// not_found when the initiator has no clone; busy while it is being opened or closed for too long.
    asio::awaitable<result<void>> keep(std::string initiator);
    /// 0: none. A layer that is open has it at once.
    asio::awaitable<result<void>> set_quota(std::string initiator, byte_count quota);
    void set_default_quota(byte_count quota) { quota_ = quota; }
    /// Seals what the initiator wrote, under running I/O, and writes all of it as one compressed layer to `file`
    /// (empty: into the clone's folder).
    asio::awaitable<result<committed_layer>> commit(std::string initiator, std::filesystem::path file);
    /// Throws it away. busy while a session uses it.
    asio::awaitable<result<void>> remove(std::string initiator);
    bool in_use(const std::string& initiator) const;

    /// Ends waiting logins, closes every layer. Clones to be discarded stay for the next start.
    asio::awaitable<void> close();
    /// After close(): throws away the clones that are not to be kept.
    asio::awaitable<void> discard();

private:
    struct clone;
    using clone_ptr = std::shared_ptr<clone>;
    class units_for_target;

    clone_set(clone_set_options options, byte_count quota, clone_services services);

    asio::awaitable<result<std::vector<iscsi::lun_options>>> open(std::string initiator);
    void closed(const std::string& initiator, iscsi::session_end how);
    result<clone_ptr> find_or_plan(const std::string& initiator);
    asio::awaitable<result<void>> wait_for_base();
    asio::awaitable<result<void>> ensure_open(clone_ptr what);
    asio::awaitable<result<void>> make(clone_ptr what);
    asio::awaitable<void> retire(std::shared_ptr<clone_set> self, clone_ptr what, std::uint64_t turn,
                                 std::chrono::milliseconds discard_after);
    asio::awaitable<void> close_layer(clone_ptr what);
    asio::awaitable<void> close_one(clone_ptr what);
    asio::awaitable<result<void>> throw_away(clone_ptr what);
    asio::awaitable<result<layers::snapshot_report>> seal(clone_ptr what);
    void start_retiring(clone_ptr what, std::chrono::milliseconds discard_after);
    asio::awaitable<result<iscsi::lun_options>> open_unit(clone_ptr what);
    result<clone_ptr> find(const std::string& initiator) const;
    void note(std::string_view what, const clone& which, std::string_view outcome = "success");

    const clone_set_options options_;
    const clone_services services_;
    const clone_store store_;
    byte_count quota_;
    std::string reason_;
    std::shared_ptr<const clone_base> base_;
    std::string content_hex_;
    asio::steady_timer base_there_;
    async_gate under_way_;
    bool closing_ = false;
    std::map<std::string, clone_ptr> clones_;
};

}  // namespace obd::server

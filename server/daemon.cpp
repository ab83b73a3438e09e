#include "server/daemon.hpp"

#include <spdlog/logger.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <csignal>
#include <cstdlib>
#include <thread>

#include "layers/layer_pool.hpp"
#include "layers/write/writable_image.hpp"
#include "protocol/net/event_loops.hpp"
#include "protocol/net/target_server.hpp"
#include "registry/client.hpp"
#include "server/admin/http_server.hpp"
#include "server/admin/routes.hpp"
#include "server/admin/snapshot_service.hpp"
#include "server/catalog/catalog.hpp"
#include "server/catalog/services_opener.hpp"
#include "server/logging/logs.hpp"
#include "server/notify.hpp"
#include "server/version.hpp"

namespace obd::server {
namespace {

constexpr auto logout_grace = std::chrono::milliseconds(3'000);
/// Whatever hangs then is not waited for: service managers kill after ten seconds or later.
constexpr auto stop_deadline = std::chrono::milliseconds(8'000);

std::size_t worker_count(const daemon_config& config) {
    if (config.workers != 0) return config.workers;
    return std::max<std::size_t>(4, 2 * std::size_t{std::thread::hardware_concurrency()});
}

registry::client_options client_options_of(const registry_config& config) {
    registry::client_options options;
    options.cache_dir = config.cache_dir;
    options.cache_capacity = config.cache_capacity;
    options.refill_bytes = config.refill_bytes;
    options.credential_file = config.credential_file;
    options.ca_file = config.ca_file;
    options.client_cert_file = config.client_cert_file;
    options.client_key_file = config.client_key_file;
    options.insecure_registries = config.insecure;
    options.user_agent = config.user_agent;
    if (options.user_agent.empty()) options.user_agent = "overlaybd-iscsid/" + std::string(program_version);
    options.connect_timeout = config.connect_timeout;
    options.operation_deadline = config.operation_deadline;
    options.tries = config.tries;
    return options;
}

void note_session(audit_log& audit, std::string_view what, const iscsi::session_info& session) {
    audit.write(what, {{"pathname", session.target_name.empty() ? "discovery" : session.target_name},
                       {"initiator", session.initiator_name},
                       {"peer", session.peer_address},
                       {"session", std::to_string(session.id)},
                       {"commands", std::to_string(session.commands)},
                       {"read", std::to_string(session.read_bytes)},
                       {"written", std::to_string(session.written_bytes)}});
}

iscsi::target_server_options target_options_of(const iscsi_config& config, audit_log& audit) {
    iscsi::target_server_options options;
    options.portals = config.portals;
    options.portal_group_tag = config.portal_group_tag;
    options.discovery_auth = config.discovery_auth;
    options.login_timeout = config.login_timeout;
    options.keepalive_idle = config.keepalive_idle;
    options.keepalive_timeout = config.keepalive_timeout;
    options.command_deadline = config.command_deadline;
    if (!audit.enabled()) return options;
    options.on_session_begin = [&audit](const auto& session) { note_session(audit, "login", session); };
    options.on_session_end = [&audit](const auto& session) { note_session(audit, "logout", session); };
    return options;
}

clone_limits clone_limits_of(const daemon_config& config) {
    clone_limits limits;
    limits.clones = config.writable.clones;
    limits.close_after = config.writable.close_after;
    limits.discard_after_logout = config.writable.discard_after_logout;
    limits.discard_after_loss = config.writable.discard_after_loss;
    // Below the login timeout, whose end would say less.
    limits.open_patience = config.iscsi.login_timeout * 2 / 3;
    return limits;
}

catalog_options catalog_options_of(const daemon_config& whole) {
    const auto& config = whole.iscsi;
    catalog_options options;
    options.clones = clone_limits_of(whole);
    if (!whole.writable.clone_dir.empty()) options.clone_root = whole.writable.clone_dir;
    options.quota = whole.writable.quota;
    options.redirect = config.redirect;
    options.target_prefix = config.target_prefix;
    // Below the deadline of the target, whose answer would say less.
    options.open_patience = config.command_deadline * 4 / 5;
    options.detach_grace = logout_grace;
    return options;
}

}  // namespace

/// In the order of their making; they are destroyed in the opposite one.
struct daemon::parts {
    parts(const daemon_config& config, logs& logging, std::unique_ptr<audit_log> auditing, state_store state)
        : log(logging),
          audit(std::move(auditing)),
          store(std::move(state)),
          workers(worker_count(config)),
          pool(workers),
          loops({.threads = config.iscsi.threads, .spin = config.iscsi.spin}) {}

    logs& log;
    std::unique_ptr<audit_log> audit;
    state_store store;
    asio::io_context control{1};
    asio::signal_set signals{control};
    worker_pool workers;
    layers::layer_pool pool;
    layers::writable_layers uppers;
    event_loops loops;
    std::unique_ptr<registry::client> registry;
    std::unique_ptr<services_opener> opener;
    std::unique_ptr<iscsi::target_server> target;
    std::unique_ptr<catalog> exports;
    std::unique_ptr<admin_routes> routes;
    std::unique_ptr<http_server> admin;
    std::unique_ptr<snapshot_service> snapshots;
    std::unique_ptr<http_server> service;  ///< the reference's; nothing unless it is asked for
    bool stopping = false;

    result<void> open_admin(const daemon_config& config);
    result<void> assemble(const daemon_config& config);
    asio::awaitable<void> watch_signals();
    asio::awaitable<void> stop();
    void on_signal(int number);
};

result<void> daemon::parts::open_admin(const daemon_config& config) {
    routes = std::make_unique<admin_routes>(*exports, *target, *audit);
    TRY(auto socket, listen_on_unix(config.admin_socket));
    admin = http_server::start(std::move(socket), {}, control.get_executor(), *routes, log.server());
    if (config.snapshot_service.empty()) return {};
    snapshots = std::make_unique<snapshot_service>(*exports, *audit);
    TRY(auto loopback, listen_on_loopback(config.snapshot_service));
    service = http_server::start(std::move(loopback), {}, control.get_executor(), *snapshots, log.server());
    return {};
}

result<void> daemon::parts::assemble(const daemon_config& config) {
    TRY(registry, registry::client::create(client_options_of(config.registry), loops.next().get_executor(), workers,
                                           log.registry()));
    const layers::image_services services{
        .workers = workers, .pool = pool, .registry = registry.get(), .log = log.layers(), .uppers = &uppers};
    opener = std::make_unique<services_opener>(*registry, services, log.server());
    TRY(target, iscsi::target_server::start(target_options_of(config.iscsi, *audit), loops, log.iscsi()));
    const catalog_services parts_of_catalog{.control = control.get_executor(),
                                            .workers = workers,
                                            .target = *target,
                                            .opener = *opener,
                                            .store = store,
                                            .audit = *audit,
                                            .log = log.server()};
    exports = std::make_unique<catalog>(catalog_options_of(config), parts_of_catalog);
    TRYV(exports->restore());
    TRYV(open_admin(config));
    // Portals are bound since target_server::start, but nobody is answered before the exports are back.
    loops.start();
    return {};
}

asio::awaitable<void> daemon::parts::watch_signals() {
    for (;;) {
        const auto [error, number] = co_await signals.async_wait(asio::as_tuple(asio::use_awaitable));
        if (error) co_return;
        on_signal(number);
    }
}

void daemon::parts::on_signal(int number) {
    if (number == SIGHUP) {
        log.reopen();
        audit->reopen();
        log.server().info("log files reopened");
        return;
    }
    if (stopping) {
        log.warning("second signal: stopping at once");
        std::_Exit(128 + number);
    }
    stopping = true;
    log.notice(number == SIGTERM ? "stopping (SIGTERM)" : "stopping (SIGINT)");
    notify_service_manager("STOPPING=1");
    auto done = [this](std::exception_ptr error) {
        if (error) log.fatal("stopping failed");
        control.stop();
    };
    asio::co_spawn(control, stop(), std::move(done));
}

asio::awaitable<void> daemon::parts::stop() {
    asio::steady_timer deadline(control, stop_deadline);
    deadline.async_wait([this](boost::system::error_code cancelled) {
        if (cancelled) return;
        log.fatal("something does not end: exiting without waiting for it");
        std::_Exit(EXIT_FAILURE);
    });
    admin->stop();
    if (service) service->stop();
    co_await target->shutdown(logout_grace);
    co_await registry->shutdown();
    co_await exports->close();
    deadline.cancel();
}

daemon::daemon(std::unique_ptr<parts> from) : parts_(std::move(from)) {}

daemon::~daemon() {
    // Threads end before the things they use.
    parts_->loops.stop();
    parts_->workers.join();
}

result<std::unique_ptr<daemon>> daemon::start(const daemon_config& config, logs& log) {
    auto audit = std::make_unique<audit_log>();
    if (config.audit.enable) {
        auto opened = audit_log::open(config.audit.file);
        if (!opened && config.audit.file.named) return in_context(std::move(opened).error(), "audit log");
        if (opened) audit = std::move(*opened);
        if (!opened) log.warning("no audit log: " + opened.error().message());
    }
    TRY(auto store, state_store::open(config.state_dir));
    auto made = std::make_unique<parts>(config, log, std::move(audit), std::move(store));
    std::unique_ptr<daemon> whole(new daemon(std::move(made)));
    TRYV(whole->parts_->assemble(config));
    return whole;
}

void daemon::run() {
    auto& all = *parts_;
    for (const int number : {SIGTERM, SIGINT, SIGHUP}) all.signals.add(number);
    auto ended = [](std::exception_ptr error) {
        if (error) std::rethrow_exception(error);
    };
    asio::co_spawn(all.control, all.watch_signals(), std::move(ended));
    for (const auto& portal : all.target->portals()) all.log.notice("listening on " + portal);
    notify_service_manager("READY=1");
    all.control.run();
    all.log.notice("stopped");
}

}  // namespace obd::server

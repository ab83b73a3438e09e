// memory-target: the protocol library on disks in memory, for initiators and benchmarks. Not installed.
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <iostream>

#include "protocol/net/target_server.hpp"
#include "tests/support/memory_disk.hpp"

namespace {

struct settings {
    std::string portal = "127.0.0.1:3260";
    std::uint64_t mebibytes = 64;
    std::size_t luns = 1;
    std::size_t threads = 0;
    int spin_us = 50;
    bool read_only = false;
    std::string user, secret, mutual_user, mutual_secret;
    std::string level = "info";
};

settings parse(CLI::App& app, int argc, char** argv) {
    settings with;
    std::uint16_t port = 0;
    auto* portal = app.add_option("--portal", with.portal, "ADDRESS:PORT");
    app.add_option("--port", port, "on 127.0.0.1")->excludes(portal);
    app.add_option("--size", with.mebibytes, "of each disk, in MiB");
    app.add_option("--luns", with.luns);
    app.add_option("--threads", with.threads);
    app.add_option("--spin", with.spin_us, "microseconds");
    app.add_flag("--read-only", with.read_only);
    app.add_option("--chap-user", with.user);
    app.add_option("--chap-secret", with.secret);
    app.add_option("--mutual-user", with.mutual_user);
    app.add_option("--mutual-secret", with.mutual_secret);
    app.add_option("--log-level", with.level);
    app.parse(argc, argv);
    if (app.count("--port") != 0) with.portal = "127.0.0.1:" + std::to_string(port);
    return with;
}

void add_disks(obd::iscsi::target_server& server, const std::string& target, const settings& with) {
    for (std::size_t lun = 0; lun < with.luns; ++lun) {
        const auto access = with.read_only ? obd::access_mode::read_only : obd::access_mode::read_write;
        const obd::device_geometry geometry{.size = {with.mebibytes << 20},
                                            .access = access,
                                            .discard_granularity_bytes = with.read_only ? 0u : 4096u,
                                            .max_atomic_write_bytes = with.read_only ? 0u : 1u << 20};
        obd::iscsi::lun_options options;
        options.lun = static_cast<std::uint16_t>(lun);
        options.device = std::make_shared<obd::testing::memory_disk>(geometry);
        options.identity.serial = "memory" + std::to_string(lun);
        options.identity.naa = 0x3000000000000001 + lun;
        options.identity.name = target;
        options.persist = [](const obd::scsi::persistent_state&) { return obd::result<void>{}; };
        server.add_lun(target, std::move(options)).value();
    }
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app("An iSCSI target on disks in memory");
    settings with;
    try {
        with = parse(app, argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error);
    }
    const std::string target = "iqn.2026-11.io.overlaybd:memory";
    spdlog::logger log("memory-target", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    log.set_level(spdlog::level::from_str(with.level));
    obd::event_loops loops({.threads = with.threads, .spin = std::chrono::microseconds(with.spin_us)});
    obd::iscsi::target_server_options options;
    options.portals = {with.portal};
    auto server = obd::iscsi::target_server::start(std::move(options), loops, log);
    if (!server) {
        std::cerr << server.error().message() << '\n';
        return 1;
    }
    obd::iscsi::target_options about{.name = target, .alias = "memory", .auth = {}, .allowed_initiators = {}};
    if (!with.user.empty()) about.auth = {with.user, with.secret, with.mutual_user, with.mutual_secret};
    (*server)->add_target(std::move(about)).value();
    add_disks(**server, target, with);
    loops.start();
    std::cout << "iscsi://" << (*server)->portals().front() << '/' << target << "/0" << std::endl;
    boost::asio::io_context waiting;
    boost::asio::signal_set signals(waiting, SIGINT, SIGTERM);
    signals.async_wait([](auto, int) {});
    waiting.run();
    boost::asio::co_spawn(waiting, (*server)->shutdown(std::chrono::milliseconds(200)), [](std::exception_ptr) {});
    waiting.restart();
    waiting.run();
    server->reset();
    loops.stop();
    return 0;
}

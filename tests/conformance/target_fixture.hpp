// A target server with a quick disk (LUN 0) and one that holds and fails at will (LUN 1), on loopback.
#pragma once

#include <spdlog/sinks/null_sink.h>
#include <spdlog/spdlog.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_future.hpp>

#include "protocol/net/target_server.hpp"
#include "tests/conformance/wire_initiator.hpp"
#include "tests/support/fault_disk.hpp"

namespace obd::iscsi::testing {

using obd::testing::fault_disk;
using obd::testing::memory_disk;

inline const std::string name = "iqn.2026-11.test:t";

struct fixture {
    explicit fixture(target_server_options options = {}, std::size_t threads = 2)
        : loops({.threads = threads, .spin = {}}) {
        options.portals = {"127.0.0.1:0"};
        server = target_server::start(std::move(options), loops, log).value();
        server->add_target({.name = name, .alias = {}, .auth = {}, .allowed_initiators = {}}).value();
        const device_geometry geometry{
            .size = {4 << 20}, .access = access_mode::read_write, .discard_granularity_bytes = 4096};
        quick = std::make_shared<memory_disk>(geometry);
        slow = std::make_shared<fault_disk>(geometry);
        for (std::size_t i = 0; i < quick->content().size(); ++i)
            quick->content()[i] = static_cast<std::byte>(i / 512 + i);
        add(0, quick);
        add(1, slow);
        loops.start();
    }
    void add(std::uint16_t lun, std::shared_ptr<block_device> device) {
        lun_options options;
        options.lun = lun;
        options.device = std::move(device);
        options.identity.serial = "test" + std::to_string(lun);
        server->add_lun(name, std::move(options)).value();
    }
    ~fixture() {
        slow->release();
        server.reset();
        loops.stop();
    }
    std::string portal() const { return server->portals().front(); }
    wire_initiator logged_in(std::uint8_t isid = 1) {
        wire_initiator one(portal());
        CHECK(one.login(name, "iqn.2000-01.test:i", isid, {"InitialR2T=No", "MaxRecvDataSegmentLength=262144"})
                  .status_class == 0);
        one.settle(0);
        one.settle(1);
        return one;
    }
    template <typename Awaitable>
    auto run(Awaitable&& work) {
        return asio::co_spawn(loops.context(0), std::forward<Awaitable>(work), asio::use_future).get();
    }

    spdlog::logger log{"test", std::make_shared<spdlog::sinks::null_sink_mt>()};
    event_loops loops;
    std::unique_ptr<target_server> server;
    std::shared_ptr<memory_disk> quick;
    std::shared_ptr<fault_disk> slow;
};

}  // namespace obd::iscsi::testing

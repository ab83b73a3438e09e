// One export inside the catalog. Only catalog/*.cpp use it.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <string>

#include "server/catalog/catalog.hpp"
#include "server/catalog/export_device.hpp"
#include "server/clones/clone_set.hpp"

namespace obd::server {

struct catalog::entry {
    entry(asio::any_io_executor executor, export_record from) : record(std::move(from)), retry(std::move(executor)) {}

    export_record record;
    export_state state = export_state::starting;
    std::string reason;
    bool kept = false;       ///< belongs into the state file
    bool published = false;  ///< the target has, or should have, its unit
    bool stopping = false;   ///< whoever opens its image must give up
    std::shared_ptr<export_device> device;
    std::shared_ptr<layers::image> image;
    std::shared_ptr<clone_set> clones;  ///< of an export whose initiators have writable layers of their own
    asio::steady_timer retry;

    void stop() {
        stopping = true;
        retry.cancel();
    }
};

}  // namespace obd::server

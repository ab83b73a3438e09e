// One clone inside its set. Only clones/*.cpp use it.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <memory>

#include "layers/write/writable_image.hpp"
#include "server/clones/clone_set.hpp"

namespace obd::server {

struct clone_set::clone {
    clone(asio::any_io_executor executor, stored_clone from)
        : stored(std::move(from)), busy(executor, 1), linger(std::move(executor)) {}

    stored_clone stored;     ///< without a folder: not on disk yet
    bool used = false;       ///< a session has it, or a login is about to
    bool gone = false;       ///< thrown away; whoever holds it must look again
    std::uint64_t turn = 0;  ///< counts logins: who waits for a quiet end looks whether it is still the same
    std::shared_ptr<layers::image> image;
    std::shared_ptr<export_device> device;
    async_slots busy;  ///< opening, closing, committing, removing: one at a time
    asio::steady_timer linger;

    std::shared_ptr<layers::writable_image> writable() const { return layers::as_writable(image); }
};

}  // namespace obd::server

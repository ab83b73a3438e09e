// The daemon as an object graph: everything is made here and handed down by reference; there are no globals.
#pragma once

#include <memory>

#include "base/result.hpp"
#include "server/config/config.hpp"

namespace obd::server {

class logs;

class daemon {
public:
    /// Takes the state folder, binds portals and admin socket, brings the exports back. The failure says what to mend.
    /// REQUIRES: one thread so far; `log` outlives the daemon.
    static result<std::unique_ptr<daemon>> start(const daemon_config& config, logs& log);
    ~daemon();

    /// Serves until SIGTERM or SIGINT, then lets initiators log out and returns: well within ten seconds. A second
    /// signal ends the process at once.
    void run();

private:
    struct parts;
    explicit daemon(std::unique_ptr<parts> from);
    std::unique_ptr<parts> parts_;
};

}  // namespace obd::server

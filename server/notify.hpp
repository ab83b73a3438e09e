// Telling systemd how far the daemon is (sd_notify(3)), where it listens.
#pragma once

#include <string_view>

namespace obd::server {

/// Sends one datagram to $NOTIFY_SOCKET; does nothing where there is none. Errors are ignored, as sd_notify's users do.
void notify_service_manager(std::string_view state);

}  // namespace obd::server

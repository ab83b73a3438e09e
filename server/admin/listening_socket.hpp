// Sockets for http_server.
#pragma once

#include <filesystem>
#include <string>

#include "base/result.hpp"

namespace obd::server {

/// Bound and listening. Whoever takes it owns the descriptor.
struct listening_socket {
    int descriptor = -1;
    int family = 0;              ///< AF_UNIX, AF_INET, AF_INET6
    std::filesystem::path path;  ///< of a Unix socket
};

/// With mode 0660; the folder is made. A socket file that nobody listens on is replaced; `busy` when another daemon
/// does. REQUIRES: no other thread makes files (the umask changes for a moment).
result<listening_socket> listen_on_unix(const std::filesystem::path& path);

/// "http://127.0.0.1:9862" or "http://[::1]:9862". Addresses that other hosts reach are refused: what is served there
/// asks nobody for a password.
result<listening_socket> listen_on_loopback(const std::string& url);

}  // namespace obd::server

// overlaybd.json: everything the daemon can be told (docs/config.md lists each key with its default).
//
// The keys are those that overlaybd's users know, in the old flat and the newer nested form, and "iscsi",
// "adminSocket", "stateDir" and "registryConfig" of our own. A key of the wrong type or an impossible value is refused
// by name. What the config asks for and this version does not do is never silent: what only makes things faster is
// warned about, what changes whose bytes are served or to whom is refused.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "base/units.hpp"
#include "protocol/net/target_server.hpp"

namespace obd::server {

inline constexpr std::string_view default_config_path = "/etc/overlaybd/overlaybd.json";

/// A log file that is rotated by size: path, path.1, path.2 …
struct log_file_config {
    std::filesystem::path path;
    std::uint64_t max_bytes = 10 << 20;
    int rotations = 3;
    bool named = false;  ///< the config file names the path; then failing to write there is fatal
};

struct log_config {
    int level = 1;  ///< 0 debug, 1 info, 2 warn, 3 error
    log_file_config file{.path = "/var/log/overlaybd.log"};
};

struct audit_config {
    bool enable = true;
    log_file_config file{.path = "/var/log/overlaybd-audit.log"};
};

struct registry_config {
    std::filesystem::path cache_dir = "/opt/overlaybd/registry_cache";
    byte_count cache_capacity{std::uint64_t{4} << 30};
    std::uint32_t refill_bytes = 262144;
    std::filesystem::path credential_file = "/opt/overlaybd/cred.json";
    std::filesystem::path ca_file;
    std::filesystem::path client_cert_file;
    std::filesystem::path client_key_file;
    std::vector<std::string> insecure;  ///< host[:port] of registries that need not prove who they are
    std::string user_agent;             ///< empty: the program's name and version
    std::chrono::milliseconds connect_timeout{5'000};
    std::chrono::milliseconds operation_deadline{20'000};
    int tries = 6;
};

struct iscsi_config {
    std::vector<std::string> portals{"127.0.0.1:3260"};
    std::string target_prefix = "iqn.2026-11.io.overlaybd";
    std::uint16_t portal_group_tag = 1;
    std::size_t threads = 0;  ///< 0: one a core
    std::chrono::microseconds spin{50};
    std::chrono::milliseconds login_timeout{15'000};
    std::chrono::milliseconds keepalive_idle{30'000};
    std::chrono::milliseconds keepalive_timeout{30'000};
    std::chrono::milliseconds command_deadline{25'000};
    std::optional<iscsi::chap_credentials> discovery_auth;
    std::optional<iscsi::redirection> redirect;  ///< of all targets that have none of their own
};

/// "writable": layers that initiators write to.
struct writable_config {
    byte_count quota;                 ///< for what is attached without one; 0: none
    std::size_t clones = 4096;        ///< of one export
    std::filesystem::path clone_dir;  ///< empty: in the state folder
    std::chrono::milliseconds close_after{5'000};
    std::chrono::milliseconds discard_after_logout{10'000};
    std::chrono::milliseconds discard_after_loss{900'000};
};

struct daemon_config {
    log_config log;
    audit_config audit;
    registry_config registry;
    iscsi_config iscsi;
    writable_config writable;
    std::filesystem::path admin_socket = "/run/overlaybd/admin.sock";
    std::filesystem::path state_dir = "/var/lib/overlaybd";
    std::string snapshot_service;  ///< URL of the reference's live snapshot service; empty: off
    std::size_t workers = 0;       ///< threads for blocking work; 0: twice the cores, at least 4
};

struct loaded_config {
    daemon_config config;
    std::vector<std::string> warnings;  ///< each a whole sentence that names the file and the key
};

/// `where` names the file in messages.
result<loaded_config> parse_config(std::string_view text, std::string_view where);
result<loaded_config> load_config(const std::filesystem::path& path);

/// "host:port" with an IPv4 or bracketed IPv6 address, port 0 … 65535.
bool is_portal(std::string_view text);

}  // namespace obd::server

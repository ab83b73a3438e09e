// The parts of overlaybd.json, one function each. Only config.cpp uses them.
#pragma once

#include <string>
#include <vector>

#include "base/json/fields.hpp"
#include "server/config/config.hpp"

namespace obd::server {

/// Gathers warnings while a config is read.
class config_notes {
public:
    void unsupported(const json::object& at, std::string_view key, std::string_view instead);
    void add(const json::object& at, std::string_view text);
    void unknown_members(const json::object& at);
    std::vector<std::string> take() && { return std::move(warnings_); }

private:
    std::vector<std::string> warnings_;
};

result<log_config> read_log(const json::object& root, config_notes& notes);
result<audit_config> read_audit(const json::object& root);
result<registry_config> read_registry(const json::object& root, config_notes& notes);
result<iscsi_config> read_iscsi(const json::object& root, config_notes& notes);
/// "writable": quotas, clones.
result<writable_config> read_writable(const json::object& root, config_notes& notes);
/// "serviceConfig": the URL where it is enabled, else an empty string.
result<std::string> read_snapshot_service(const json::object& root, config_notes& notes);
/// Keys of the reference that ask for something this version does not do yet.
result<void> read_later_work(const json::object& root, config_notes& notes);

}  // namespace obd::server

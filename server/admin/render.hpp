// The JSON that the admin API gives (docs/admin-api.md).
#pragma once

#include <string>
#include <vector>

#include "protocol/net/target_server.hpp"
#include "server/catalog/export.hpp"

namespace obd::server {

std::string render_export(const export_view& view, const std::vector<std::string>& portals);
std::string render_exports(const std::vector<export_view>& views, const std::vector<std::string>& portals);
std::string render_snapshot(const snapshot_view& view);
std::string render_clones(const std::vector<clone_view>& clones);
std::string render_commit(const committed_layer& made);
std::string render_sessions(const std::vector<iscsi::session_info>& sessions);

}  // namespace obd::server

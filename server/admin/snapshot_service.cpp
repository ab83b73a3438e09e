#include "server/admin/snapshot_service.hpp"

#include "server/state/json_writer.hpp"

namespace obd::server {
namespace {

api_response answer(unsigned status, bool success, std::string_view message) {
    json_writer out;
    out.begin_object().member("success", success).member("message", message).end_object();
    return {status, out.text()};
}

}  // namespace

void snapshot_service::note(const std::string& name, const api_request& request, const std::string& outcome) {
    audit_.write("snapshot", {{"pathname", name}, {"by", request.peer}, {"result", outcome}});
}

asio::awaitable<api_response> snapshot_service::handle(api_request request) {
    if (request.path != "/snapshot") co_return answer(404, false, "not found");
    const auto name = request.query["dev_id"];
    const std::filesystem::path next = request.query["config"];
    if (name.empty() || next.empty()) co_return answer(400, false, "dev_id and config are needed");
    if (!next.is_absolute()) co_return answer(400, false, "config must be an absolute path");
    const auto made = co_await exports_.snapshot_to(name, next);
    note(name, request, made ? "success" : made.error().message());
    if (made) co_return answer(200, true, "Snapshot created successfully");
    if (made.error().is(errc::not_found))
        co_return answer(404, false, "Image file not found: " + made.error().message());
    co_return answer(500, false, "Failed to create snapshot: " + made.error().message());
}

}  // namespace obd::server

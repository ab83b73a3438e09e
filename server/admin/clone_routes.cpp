// The routes under /v1/exports/NAME/clones (docs/admin-api.md).
#include "server/admin/attach_body.hpp"
#include "server/admin/render.hpp"
#include "server/admin/routes.hpp"

namespace obd::server {
namespace {

template <typename T>
std::string outcome_text(const result<T>& outcome) {
    return outcome ? std::string("success") : outcome.error().message();
}

}  // namespace

void admin_routes::note_clone(std::string_view what, const api_request& request, const arguments& names,
                              const std::string& outcome) {
    audit_.write(what, {{"pathname", names[0]}, {"initiator", names[1]}, {"by", request.peer}, {"result", outcome}});
}

asio::awaitable<api_response> admin_routes::clones(const api_request&, arguments name) {
    const auto found = co_await exports_.clones(name.front());
    if (!found) co_return error_response(found.error());
    co_return api_response{200, render_clones(*found)};
}

asio::awaitable<api_response> admin_routes::keep_clone(const api_request& request, arguments names) {
    const auto kept = co_await exports_.keep_clone(names[0], names[1]);
    note_clone("clone keep", request, names, outcome_text(kept));
    if (!kept) co_return error_response(kept.error());
    co_return api_response{200, "{}\n"};
}

asio::awaitable<api_response> admin_routes::commit_clone(const api_request& request, arguments names) {
    auto file = parse_commit_body(request.body);
    if (!file) co_return error_response(file.error());
    const auto made = co_await exports_.commit_clone(names[0], names[1], std::move(*file));
    note_clone("clone commit", request, names, outcome_text(made));
    if (!made) co_return error_response(made.error());
    co_return api_response{200, render_commit(*made)};
}

asio::awaitable<api_response> admin_routes::remove_clone(const api_request& request, arguments names) {
    const auto force = request.query.find("force");
    const bool forced = force != request.query.end() && force->second == "true";
    const auto how = forced ? catalog::removal::by_force : catalog::removal::when_unused;
    const auto removed = co_await exports_.remove_clone(names[0], names[1], how);
    note_clone("clone remove", request, names, outcome_text(removed));
    if (!removed) co_return error_response(removed.error());
    co_return api_response{200, "{}\n"};
}

}  // namespace obd::server

#include "server/admin/routes.hpp"

#include "server/admin/attach_body.hpp"
#include "server/admin/render.hpp"
#include "server/state/json_writer.hpp"
#include "server/version.hpp"

namespace obd::server {
namespace {

struct error_row {
    errc code;
    unsigned status;
    std::string_view name;
};

constexpr error_row error_rows[] = {
    {errc::invalid_argument, 400, "invalid_argument"},
    {errc::out_of_range, 400, "out_of_range"},
    {errc::permission_denied, 403, "permission_denied"},
    {errc::read_only, 403, "read_only"},
    {errc::not_found, 404, "not_found"},
    {errc::already_exists, 409, "already_exists"},
    {errc::busy, 409, "busy"},
    {errc::corrupt, 422, "corrupt"},
    {errc::limit_exceeded, 429, "limit_exceeded"},
    {errc::unsupported, 501, "unsupported"},
    {errc::unavailable, 503, "unavailable"},
    {errc::cancelled, 503, "cancelled"},
    {errc::timed_out, 504, "timed_out"},
    {errc::out_of_space, 507, "out_of_space"},
    {errc::io_error, 500, "io_error"},
};

std::vector<std::string_view> path_parts(std::string_view path) {
    std::vector<std::string_view> parts;
    while (path.starts_with('/')) {
        path.remove_prefix(1);
        const auto end = path.find('/');
        parts.push_back(path.substr(0, end));
        path = end == std::string_view::npos ? std::string_view{} : path.substr(end);
    }
    return parts;
}

template <typename T>
std::string outcome_text(const result<T>& outcome) {
    return outcome ? std::string("success") : outcome.error().message();
}

/// What the {} in `pattern` match in `path`, or nothing when they differ.
std::optional<std::vector<std::string>> matched(std::string_view pattern, std::string_view path) {
    const auto wanted = path_parts(pattern);
    const auto found = path_parts(path);
    if (wanted.size() != found.size()) return std::nullopt;
    std::vector<std::string> arguments;
    for (std::size_t i = 0; i < wanted.size(); ++i) {
        if (wanted[i] == "{}") {
            arguments.emplace_back(found[i]);
        } else if (wanted[i] != found[i]) {
            return std::nullopt;
        }
    }
    return arguments;
}

}  // namespace

api_response error_response(unsigned status, std::string_view code, std::string_view message) {
    json_writer out;
    out.begin_object().key("error").begin_object().member("code", code).member("message", message).end_object();
    out.end_object();
    return {status, out.text()};
}

api_response error_response(const failure& error) {
    for (const auto& row : error_rows) {
        if (error.is(row.code)) return error_response(row.status, row.name, error.message());
    }
    return error_response(500, "internal", error.message());
}

struct admin_routes::route {
    std::string_view method;
    std::string_view path;
    action run;
};

const std::vector<admin_routes::route>& admin_routes::table() {
    static const std::vector<route> routes{
        {"GET", "/v1/version", &admin_routes::version},
        {"GET", "/v1/exports", &admin_routes::list},
        {"POST", "/v1/exports", &admin_routes::attach},
        {"GET", "/v1/exports/{}", &admin_routes::show},
        {"DELETE", "/v1/exports/{}", &admin_routes::detach},
        {"POST", "/v1/exports/{}/snapshot", &admin_routes::snapshot},
        {"POST", "/v1/exports/{}/resize", &admin_routes::resize},
        {"POST", "/v1/exports/{}/quota", &admin_routes::quota},
        {"POST", "/v1/exports/{}/redirect", &admin_routes::redirect},
        {"GET", "/v1/exports/{}/clones", &admin_routes::clones},
        {"DELETE", "/v1/exports/{}/clones/{}", &admin_routes::remove_clone},
        {"POST", "/v1/exports/{}/clones/{}/keep", &admin_routes::keep_clone},
        {"POST", "/v1/exports/{}/clones/{}/commit", &admin_routes::commit_clone},
        {"GET", "/v1/sessions", &admin_routes::sessions},
    };
    return routes;
}

admin_routes::admin_routes(catalog& exports, iscsi::target_server& target, audit_log& audit)
    : exports_(exports), target_(target), audit_(audit) {}

asio::awaitable<api_response> admin_routes::handle(api_request request) {
    bool path_known = false;
    for (const auto& row : table()) {
        auto found = matched(row.path, request.path);
        if (!found) continue;
        path_known = true;
        if (row.method == request.method) co_return co_await (this->*row.run)(request, std::move(*found));
    }
    if (path_known)
        co_return error_response(405, "method_not_allowed", request.method + " is not possible on " + request.path);
    co_return error_response(404, "not_found", "there is no " + request.path);
}

void admin_routes::note(std::string_view what, const api_request& request, const std::string& name,
                        const std::string& outcome) {
    audit_.write(what, {{"pathname", name}, {"by", request.peer}, {"result", outcome}});
}

void admin_routes::note_attach(const api_request& request, const std::string& image, const std::string& outcome) {
    audit_.write("attach", {{"pathname", image}, {"by", request.peer}, {"result", outcome}});
}

asio::awaitable<api_response> admin_routes::version(const api_request&, arguments) {
    json_writer out;
    out.begin_object().member("program", "overlaybd-iscsid").member("version", program_version).member("api", 1);
    out.strings("portals", target_.portals()).end_object();
    co_return api_response{200, out.text()};
}

asio::awaitable<api_response> admin_routes::list(const api_request&, arguments) {
    co_return api_response{200, render_exports(exports_.list(), target_.portals())};
}

asio::awaitable<api_response> admin_routes::attach(const api_request& request, arguments) {
    auto parsed = parse_attach_body(request.body);
    if (!parsed) co_return error_response(parsed.error());
    const auto image = parsed->origin.reference.empty() ? parsed->origin.config.native() : parsed->origin.reference;
    const auto attached = co_await exports_.attach(std::move(*parsed));
    note_attach(request, image, attached ? "success as " + attached->record.name : outcome_text(attached));
    if (!attached) co_return error_response(attached.error());
    co_return api_response{201, render_export(*attached, target_.portals())};
}

asio::awaitable<api_response> admin_routes::show(const api_request&, arguments name) {
    const auto found = exports_.show(name.front());
    if (!found) co_return error_response(found.error());
    co_return api_response{200, render_export(*found, target_.portals())};
}

asio::awaitable<api_response> admin_routes::detach(const api_request& request, arguments name) {
    const auto detached = co_await exports_.detach(name.front());
    note("detach", request, name.front(), outcome_text(detached));
    if (!detached) co_return error_response(detached.error());
    co_return api_response{200, "{}\n"};
}

asio::awaitable<api_response> admin_routes::snapshot(const api_request& request, arguments name) {
    auto folder = parse_snapshot_body(request.body);
    if (!folder) co_return error_response(folder.error());
    const auto made = co_await exports_.snapshot(name.front(), std::move(*folder));
    note("snapshot", request, name.front(), outcome_text(made));
    if (!made) co_return error_response(made.error());
    co_return api_response{200, render_snapshot(*made)};
}

asio::awaitable<api_response> admin_routes::resize(const api_request& request, arguments name) {
    const auto size = parse_resize_body(request.body);
    if (!size) co_return error_response(size.error());
    const auto resized = co_await exports_.resize(name.front(), *size);
    note("resize", request, name.front(), outcome_text(resized));
    if (!resized) co_return error_response(resized.error());
    co_return api_response{200, render_export(*resized, target_.portals())};
}

asio::awaitable<api_response> admin_routes::quota(const api_request& request, arguments name) {
    auto asked = parse_quota_body(request.body);
    if (!asked) co_return error_response(asked.error());
    const auto changed = co_await exports_.set_quota(name.front(), std::move(asked->initiator), asked->quota);
    note("quota", request, name.front(), outcome_text(changed));
    if (!changed) co_return error_response(changed.error());
    co_return api_response{200, render_export(*changed, target_.portals())};
}

asio::awaitable<api_response> admin_routes::redirect(const api_request& request, arguments name) {
    auto asked = parse_redirect_body(request.body);
    if (!asked) co_return error_response(asked.error());
    const auto changed = co_await exports_.set_redirect(name.front(), std::move(*asked));
    note("redirect", request, name.front(), outcome_text(changed));
    if (!changed) co_return error_response(changed.error());
    co_return api_response{200, render_export(*changed, target_.portals())};
}

asio::awaitable<api_response> admin_routes::sessions(const api_request&, arguments) {
    co_return api_response{200, render_sessions(target_.sessions())};
}

}  // namespace obd::server

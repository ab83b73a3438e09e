#include "registry/http_status.hpp"

#include <curl/curl.h>

#include <algorithm>
#include <charconv>

#include "base/json/fields.hpp"

namespace obd::registry {
namespace {

constexpr std::size_t shown_reason_bytes = 200;
constexpr auto longest_retry_after = std::chrono::hours(1);

errc meaning_of(int status) {
    if (status >= 500) return status == 501 || status == 505 ? errc::unsupported : errc::unavailable;
    struct row {
        int status;
        errc meaning;
    };
    constexpr row rows[] = {
        {401, errc::permission_denied}, {403, errc::permission_denied}, {404, errc::not_found},
        {408, errc::unavailable},       {410, errc::not_found},         {413, errc::limit_exceeded},
        {416, errc::out_of_range},      {425, errc::unavailable},       {429, errc::unavailable},
    };
    const auto* const found =
        std::find_if(std::begin(rows), std::end(rows), [&](const row& r) { return r.status == status; });
    return found == std::end(rows) ? errc::invalid_argument : found->meaning;
}

/// The far side's words go into our log: one line, printable, short.
std::string tame(std::string_view text) {
    std::string out(text.substr(0, shown_reason_bytes));
    std::replace_if(
        out.begin(), out.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
    return out;
}

/// {"errors": [{"code": "…", "message": "…"}]} (distribution specification, "Error Codes").
std::string reason_in(const std::string& body) {
    if (body.empty() || body.front() != '{') return {};
    const auto document = json::parse(body, "error");
    if (!document) return {};
    const auto errors = json::object(*document, "error").objects("errors");
    if (!errors || errors->empty()) return {};
    const auto code = errors->front().string("code", "");
    const auto message = errors->front().string("message", "");
    std::string out;
    if (code) out = *code;
    if (message && !message->empty()) out += (out.empty() ? "" : ": ") + *message;
    return tame(out);
}

std::string_view usual_reason(int status) {
    struct row {
        int status;
        std::string_view text;
    };
    constexpr row rows[] = {
        {200, "OK"},
        {206, "Partial Content"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {410, "Gone"},
        {416, "Range Not Satisfiable"},
        {429, "Too Many Requests"},
        {500, "Internal Server Error"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
    };
    const auto* const found =
        std::find_if(std::begin(rows), std::end(rows), [&](const row& r) { return r.status == status; });
    return found == std::end(rows) ? std::string_view{} : found->text;
}

}  // namespace

failure status_failure(const http_request& request, const http_response& response) {
    auto text = request.method + " " + request.url.substr(0, request.url.find('?')) + ": status " +
                std::to_string(response.status);
    if (const auto usual = usual_reason(response.status); !usual.empty()) text.append(" ").append(usual);
    if (const auto reason = reason_in(response.body); !reason.empty()) text += " (" + reason + ")";
    return fail(meaning_of(response.status), std::move(text));
}

bool is_transient(const failure& error) {
    return error.is(errc::unavailable) || error.is(errc::timed_out) || error.is(errc::io_error) ||
           error.is(errc::corrupt);
}

std::optional<std::chrono::seconds> retry_after(const http_response& response,
                                                std::chrono::system_clock::time_point now) {
    const auto value = response.header("retry-after");
    if (!value) return std::nullopt;
    std::int64_t seconds = 0;
    const auto [end, error] = std::from_chars(value->data(), value->data() + value->size(), seconds);
    if (error != std::errc() || end != value->data() + value->size()) {
        const auto when = curl_getdate(std::string(*value).c_str(), nullptr);
        if (when < 0) return std::nullopt;
        seconds = std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::from_time_t(when) - now)
                      .count();
    }
    const auto most = std::chrono::duration_cast<std::chrono::seconds>(longest_retry_after).count();
    return std::chrono::seconds(std::clamp<std::int64_t>(seconds, 0, most));
}

bool is_redirect(int status) {
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

}  // namespace obd::registry

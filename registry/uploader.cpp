#include "registry/uploader.hpp"

#include <charconv>

#include "base/digest.hpp"
#include "registry/http_status.hpp"
#include "registry/url.hpp"

namespace obd::registry {
namespace {

using namespace std::chrono_literals;

constexpr auto transfer_deadline = 120s;  // of one chunk, 8 MiB: a link of 70 kB/s is still enough

std::string with_digest(const std::string& url, const std::string& digest) {
    return url + (url.find('?') == std::string::npos ? "?" : "&") + "digest=" + percent_encode(digest);
}

result<std::string> location_of(const std::string& asked, const http_response& response) {
    const auto location = response.header("location");
    if (!location) return fail(errc::corrupt, "upload: an answer without Location");
    TRY(const auto base, parse_url(asked));
    TRY(const auto target, resolve_location(base, *location));
    if (base.scheme == "https" && target.scheme == "http") {
        return fail(errc::permission_denied,
                    "upload: sent on from HTTPS to plain HTTP at " + target.host + "; refused");
    }
    return target.text();
}

}  // namespace

std::optional<std::uint64_t> parse_upload_range(std::string_view value) {
    if (value.starts_with("bytes=")) value.remove_prefix(6);
    if (!value.starts_with("0-")) return std::nullopt;
    value.remove_prefix(2);
    std::uint64_t last = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), last);
    if (error != std::errc() || end != value.data() + value.size() || last == UINT64_MAX) return std::nullopt;
    // Registries write an empty upload as "0-0" too; taking it for empty costs one byte at most.
    return last == 0 ? 0 : last + 1;
}

http_request uploader::make_request(std::string method, std::string url) const {
    http_request request;
    request.method = std::move(method);
    request.url = std::move(url);
    request.security = target_.scope.security;
    request.until = deadline::clock::now() + target_.operation_deadline;
    return request;
}

/// A single try: what has a body or makes something new is not simply repeated.
asio::awaitable<result<http_response>> uploader::expect(http_request request, int status) {
    auto response = co_await requests_.send_once(request, target_.scope);
    if (response && response->status != status) co_return status_failure(request, *response);
    co_return response;
}

asio::awaitable<result<bool>> uploader::has_blob(std::string digest) {
    auto request = make_request("HEAD", repository_url() + "/blobs/" + digest);
    const auto response = co_await requests_.send(std::move(request), target_.scope, nullptr);
    if (response) co_return true;
    if (response.error().is(errc::not_found)) co_return false;
    co_return response.error();
}

asio::awaitable<result<bool>> uploader::mount_blob(std::string digest, std::string from_repository) {
    const auto query = "?mount=" + percent_encode(digest) + "&from=" + percent_encode(from_repository);
    auto request = make_request("POST", repository_url() + "/blobs/uploads/" + query);
    auto response = co_await requests_.send_once(request, target_.scope);
    if (!response) co_return std::move(response).error();
    // 202: an upload session instead. It is left alone; registries clear them away.
    if (response->status == 201 || response->status == 202) co_return response->status == 201;
    co_return status_failure(request, *response);
}

asio::awaitable<result<upload_session>> uploader::begin() {
    const auto request = make_request("POST", repository_url() + "/blobs/uploads/");
    CO_TRY(const auto response, co_await expect(request, 202));
    CO_TRY(auto place, location_of(request.url, response));
    upload_session session;
    session.url = std::move(place);
    co_return session;
}

asio::awaitable<result<upload_session>> uploader::append(upload_session session, const_bytes chunk) {
    auto request = make_request("PATCH", session.url);
    request.body = chunk;
    request.until = deadline::clock::now() + transfer_deadline;
    request.headers.emplace_back("Content-Type", "application/octet-stream");
    const auto last = session.offset + chunk.size() - 1;
    request.headers.emplace_back("Content-Range", std::to_string(session.offset) + "-" + std::to_string(last));
    CO_TRY(const auto response, co_await expect(std::move(request), 202));
    CO_TRY(auto next, location_of(session.url, response));
    const auto range = response.header("range");
    const auto stands = range ? parse_upload_range(*range) : std::nullopt;
    if (stands && *stands != last + 1) {
        co_return fail(errc::corrupt, "upload: the registry has " + std::to_string(*stands) + " bytes, sent " +
                                          std::to_string(last + 1));
    }
    session.url = std::move(next);
    session.offset = last + 1;
    co_return session;
}

asio::awaitable<result<upload_session>> uploader::where_is(upload_session session) {
    auto request = make_request("GET", session.url);
    CO_TRY(const auto response, co_await requests_.send(std::move(request), target_.scope, nullptr));
    if (response.header("location")) {
        CO_TRY(auto next, location_of(session.url, response));
        session.url = std::move(next);
    }
    const auto range = response.header("range");
    session.offset = range ? parse_upload_range(*range).value_or(0) : 0;
    co_return session;
}

asio::awaitable<result<void>> uploader::finish(upload_session session, const_bytes last, std::string digest) {
    auto request = make_request("PUT", with_digest(session.url, digest));
    request.body = last;
    request.until = deadline::clock::now() + transfer_deadline;
    request.headers.emplace_back("Content-Type", "application/octet-stream");
    if (session.offset != 0 && !last.empty()) {
        const auto end = session.offset + last.size() - 1;
        request.headers.emplace_back("Content-Range", std::to_string(session.offset) + "-" + std::to_string(end));
    }
    CO_TRYV(co_await expect(std::move(request), 201));
    co_return result<void>();
}

asio::awaitable<result<std::string>> uploader::put_manifest(std::string target, std::string bytes,
                                                            std::string media_type) {
    auto digest = sha256_digest(as_bytes(bytes));
    auto request = make_request("PUT", repository_url() + "/manifests/" + target);
    request.body = as_bytes(bytes);
    request.headers.emplace_back("Content-Type", media_type);
    // Putting the same manifest again changes nothing, so this may be repeated.
    CO_TRYV(co_await requests_.send(std::move(request), target_.scope, nullptr));
    co_return digest;
}

}  // namespace obd::registry

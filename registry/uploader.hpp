// The upload protocol of one repository, on the client's strand. client.cpp wraps it as a `pusher`.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <optional>
#include <string>
#include <vector>

#include "registry/access.hpp"
#include "registry/push.hpp"

namespace obd::registry {

struct push_target {
    std::string base;  ///< http(s)://host[:port]
    repository_scope scope;
    std::chrono::milliseconds operation_deadline;
};

/// One upload session: where the next bytes go, and how many the registry has.
struct upload_session {
    std::string url;
    std::uint64_t offset = 0;
};

/// Not thread-safe: everything on one strand.
class uploader {
public:
    /// `requests` is borrowed.
    uploader(access& requests, push_target target) : requests_(requests), target_(std::move(target)) {}

    asio::awaitable<result<bool>> has_blob(std::string digest);
    asio::awaitable<result<bool>> mount_blob(std::string digest, std::string from_repository);
    asio::awaitable<result<upload_session>> begin();
    /// Appends `chunk`. After a failure that is_transient(), ask where_is() and go on from there.
    asio::awaitable<result<upload_session>> append(upload_session session, const_bytes chunk);
    asio::awaitable<result<upload_session>> where_is(upload_session session);
    /// Ends the session with the last bytes (may be none).
    asio::awaitable<result<void>> finish(upload_session session, const_bytes last, std::string digest);
    asio::awaitable<result<std::string>> put_manifest(std::string target, std::string bytes, std::string media_type);

private:
    std::string repository_url() const { return target_.base + "/v2/" + target_.scope.repository; }
    http_request make_request(std::string method, std::string url) const;
    asio::awaitable<result<http_response>> expect(http_request request, int status);

    access& requests_;
    const push_target target_;
};

/// How far an upload is, from the Range header of its answer: "0-1023" means 1024 bytes, "0-0" none.
std::optional<std::uint64_t> parse_upload_range(std::string_view value);

}  // namespace obd::registry

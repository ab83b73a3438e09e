// Byte ranges of one blob out of a registry, each answer checked against what was asked.
#pragma once

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/units.hpp"
#include "registry/access.hpp"

namespace obd::registry {

struct blob_location {
    std::string url;  ///< http(s)://host[:port]/v2/<name>/blobs/<digest>
    repository_scope scope;
};

/// REQUIRES: the URL of a repository's blobs and a valid digest; fails with invalid_argument otherwise.
result<blob_location> locate_blob(std::string_view repo_blob_url, std::string_view digest, transport_security security);

/// "bytes 0-4095/100000". RFC 9110 §14.4.
struct content_range {
    std::uint64_t first;
    std::uint64_t last;
    std::optional<std::uint64_t> total;  ///< nothing for '*'
};
std::optional<content_range> parse_content_range(std::string_view value);

struct blob_range {
    byte_offset offset;
    mutable_bytes into;    ///< not empty; borrowed
    byte_count blob_size;  ///< 0: unknown
    deadline until;
};

/// Not thread-safe: everything on one strand.
class blob_fetcher {
public:
    /// `requests` is borrowed.
    explicit blob_fetcher(access& requests) : requests_(requests) {}

    /// Fills all of range.into and returns the blob's size. `network_bytes` counts body bytes of failed tries too.
    /// Fails as access::send; unsupported: the server ignores Range; corrupt: its answers do not fit the question.
    asio::awaitable<result<byte_count>> fetch(blob_location from, blob_range range,
                                              std::atomic<std::uint64_t>& network_bytes);

    /// The blob's size, by asking for its first byte: a HEAD may not follow a redirect that was signed for GET.
    asio::awaitable<result<byte_count>> size(blob_location of, deadline until);

private:
    access& requests_;
};

}  // namespace obd::registry

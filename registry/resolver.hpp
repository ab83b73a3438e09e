// From an image reference to one platform's manifest.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <map>
#include <set>
#include <string>

#include "registry/access.hpp"
#include "registry/client.hpp"
#include "registry/manifest.hpp"
#include "registry/reference.hpp"

namespace obd::registry {

struct manifest_document {
    std::string bytes;
    std::string media_type;  ///< the response's; may be empty
    std::string digest;      ///< of the bytes
};

/// Not thread-safe: everything on one strand.
class resolver {
public:
    /// Both are borrowed.
    resolver(http_transport& http, access& requests) : http_(http), requests_(requests) {}

    asio::awaitable<result<resolved_image>> resolve(image_reference reference, resolve_options options, deadline until);

    /// "https://host[:port]", or "http://…" where that is allowed and HTTPS is not spoken; found out once per host.
    asio::awaitable<result<std::string>> base_url(std::string host, transport_security security, deadline until);

    /// `target`: tag or digest. The bytes are checked against the digest and the response's Docker-Content-Digest.
    asio::awaitable<result<manifest_document>> fetch_manifest(std::string base, repository_scope scope,
                                                              std::string target, deadline until);

    void trust_insecure(std::string host) { insecure_.insert(std::move(host)); }
    bool is_insecure(const std::string& host) const { return insecure_.contains(host); }

private:
    http_transport& http_;
    access& requests_;
    std::map<std::string, std::string> bases_;  ///< host → base URL
    std::set<std::string> insecure_;
};

}  // namespace obd::registry

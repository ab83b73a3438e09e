#include "registry/resolver.hpp"

#include <algorithm>

#include "base/digest.hpp"
#include "base/limits.hpp"

namespace obd::registry {
namespace {

constexpr int index_depth_limit = 3;  // an index of indexes is legal and rare
constexpr auto probe_timeout = std::chrono::seconds(5);

result<void> check_digest(const http_response& response, const std::string& wanted, const std::string& where) {
    if (response.truncated) {
        return fail(errc::limit_exceeded,
                    where + ": manifest longer than " + std::to_string(limits::manifest_bytes) + " bytes");
    }
    const auto found = sha256_digest(as_bytes(response.body));
    if (is_sha256_digest(wanted) && found != wanted)
        return fail(errc::corrupt, where + ": the bytes have digest " + found);
    const auto claimed = response.header("docker-content-digest");
    if (claimed && claimed->starts_with("sha256:") && *claimed != found) {
        return fail(errc::corrupt, where + ": the registry says digest " + std::string(claimed->substr(0, 80)) +
                                       ", the bytes have " + found);
    }
    return {};
}

}  // namespace

asio::awaitable<result<std::string>> resolver::base_url(std::string host, transport_security security, deadline until) {
    const bool may_fall_back = security == transport_security::insecure || is_loopback_host(host);
    if (!may_fall_back) co_return "https://" + host;
    const auto key = (security == transport_security::insecure ? "insecure " : "verified ") + host;
    const auto known = bases_.find(key);
    if (known != bases_.end()) co_return known->second;
    http_request probe;
    probe.url = "https://" + host + "/v2/";
    probe.security = security;
    probe.until = std::min(until, deadline::clock::now() + probe_timeout);
    const auto answer = co_await http_.send(std::move(probe));
    if (!answer) {
        const auto& why = answer.error();
        if (why.is(errc::permission_denied) || why.is(errc::cancelled) || why.is(errc::invalid_argument)) co_return why;
    }
    auto base = (answer ? "https://" : "http://") + host;
    // A registry that is down now may come back with HTTPS: what failed to connect is not remembered.
    const bool sure = answer || answer.error().is(errc::io_error);
    if (sure) bases_[key] = base;
    co_return base;
}

asio::awaitable<result<manifest_document>> resolver::fetch_manifest(std::string base, repository_scope scope,
                                                                    std::string target, deadline until) {
    http_request request;
    request.url = base + "/v2/" + scope.repository + "/manifests/" + target;
    request.security = scope.security;
    request.headers.emplace_back("Accept", accepted_manifest_types());
    request.body_limit = limits::manifest_bytes;
    request.until = until;
    const auto where = "GET " + request.url;
    access::response_check check = [&](const http_response& response) { return check_digest(response, target, where); };
    CO_TRY(auto response, co_await requests_.send(std::move(request), std::move(scope), check));
    manifest_document out;
    out.media_type = response.header("content-type").value_or("");
    out.digest = sha256_digest(as_bytes(response.body));
    out.bytes = std::move(response.body);
    co_return out;
}

asio::awaitable<result<resolved_image>> resolver::resolve(image_reference reference, resolve_options options,
                                                          deadline until) {
    const auto host = reference.api_host();
    if (options.security == transport_security::insecure) trust_insecure(host);
    if (is_insecure(host)) options.security = transport_security::insecure;
    auto wanted = this_machine();
    if (!options.platform.empty()) {
        CO_TRY(wanted, parse_platform(options.platform));
    }
    CO_TRY(const auto base, co_await base_url(host, options.security, until));
    repository_scope scope;
    scope.repository = reference.repository;
    scope.security = options.security;
    resolved_image out;
    out.reference = reference.text();
    out.repo_blob_url = base + "/v2/" + reference.repository + "/blobs";
    auto target = reference.target();
    for (int depth = 0; depth <= index_depth_limit; ++depth) {
        CO_TRY(const auto document, co_await fetch_manifest(base, scope, target, until));
        const auto where = "manifest " + reference.host + "/" + reference.repository + "@" + document.digest;
        CO_TRY(const auto parsed, parse_manifest(document.bytes, document.media_type, where));
        if (const auto* const index = std::get_if<image_index>(&parsed)) {
            CO_TRY(const auto chosen, choose_platform(*index, wanted, where));
            target = chosen.digest;
            out.platform = wanted.text();
            continue;
        }
        const auto& manifest = std::get<image_manifest>(parsed);
        CO_TRY(auto layers, overlaybd_layers_of(manifest, where));
        out.manifest_digest = document.digest;
        out.config_digest = manifest.config.digest;
        out.layers = std::move(layers.layers);
        out.acceleration_layer = std::move(layers.acceleration);
        out.file_system = std::move(layers.file_system);
        co_return out;
    }
    co_return fail(errc::unsupported, "image " + out.reference + ": an index within an index, more than 3 deep");
}

}  // namespace obd::registry

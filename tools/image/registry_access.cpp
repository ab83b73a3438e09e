#include "tools/image/registry_access.hpp"

#include <algorithm>
#include <boost/asio/strand.hpp>
#include <chrono>
#include <utility>

#include "base/json/fields.hpp"
#include "layers/fs/byte_stream.hpp"
#include "layers/local_blob.hpp"
#include "layers/write/blocking.hpp"
#include "registry/curl_http.hpp"
#include "registry/pusher.hpp"
#include "registry/reference.hpp"
#include "registry/uploader.hpp"
#include "registry/url.hpp"
#include "tools/image/event_thread.hpp"

namespace obd::tools {
namespace {

using namespace std::chrono_literals;

// Longer than the target's: no initiator waits, and a registry under load answers late.
constexpr auto operation_deadline = 120s;
constexpr std::uint64_t cache_bytes = std::uint64_t{4} << 30;
constexpr std::uint64_t most_chunk_kib = 8192;  // what is held in memory

result<void> take_credentials(const json::object& root, registry::client_options& options) {
    TRY(const auto file, root.string("credentialFilePath", ""));
    options.credential_file = file;
    TRY(const auto nested, root.child("credentialConfig"));
    TRY(const auto mode, nested.string("mode", ""));
    if (mode.empty()) return {};
    TRY(const auto path, nested.string("path", ""));
    TRY(const auto seconds, nested.integer("timeout", 1, {1, 3600}));
    if (mode == "file") {
        options.credential_file = path;
        return {};
    }
    registry::credential_helper helper;
    helper.timeout = std::chrono::seconds(seconds);
    if (mode == "http") {
        helper.url = path;
    } else if (mode == "https") {
        helper.url = path.starts_with("https://") ? path : "https://" + path;
        TRY(helper.tls.client_cert, nested.string("client_cert_path", ""));
        TRY(helper.tls.client_key, nested.string("client_key_path", ""));
        TRY(helper.tls.ca, nested.string("server_ca_path", ""));
    } else if (mode == "uds") {
        helper.url = "http://localhost/auth";
        helper.unix_socket = path;
    } else {
        return fail(errc::invalid_argument,
                    nested.where() + ": mode \"" + mode + "\": file, http, https and uds are known");
    }
    options.helper = std::move(helper);
    return {};
}

/// What an uploader borrows, for as long as its pusher lives.
struct upload_session_parts {
    std::shared_ptr<registry::http_transport> http;
    std::unique_ptr<registry::credential_source> credentials;
    std::unique_ptr<registry::access> requests;
    ~upload_session_parts() { http->shut_down(); }
};

result<std::string> digest_of(const std::filesystem::path& file) {
    TRY(const auto stream, fs::open_stream(file));
    fs::digest_stream counted(*stream);
    TRYV(fs::drain(counted));
    return std::move(counted).finish_digest();
}

}  // namespace

result<registry::client_options> load_registry_options(const std::filesystem::path& service_config) {
    registry::client_options options;
    options.cache_capacity = {cache_bytes};
    options.operation_deadline = operation_deadline;
    options.user_agent = "overlaybd-tools";
    if (service_config.empty()) return options;
    TRY(const auto document, json::parse_file(service_config));
    const json::object root(document, service_config.string());
    TRYV(take_credentials(root, options));
    TRY(const auto certificates, root.child("certConfig"));
    TRY(options.client_cert_file, certificates.string("certFile", ""));
    TRY(options.client_key_file, certificates.string("keyFile", ""));
    TRY(const auto registries, root.child("registryConfig"));
    TRY(options.ca_file, registries.string("caFile", ""));
    TRY(options.insecure_registries, registries.strings("insecureRegistries"));
    TRY(options.user_agent, root.string("userAgent", options.user_agent));
    return options;
}

class registry_connection::state {
public:
    explicit state(scratch_directory cache) : cache_(std::move(cache)) {}
    ~state() {
        if (client) layers::run_blocking(shut_down());
        client.reset();
    }
    const std::filesystem::path& cache_directory() const { return cache_.path(); }

    scratch_directory cache_;
    event_thread events;
    std::unique_ptr<registry::client> client;

private:
    asio::awaitable<result<void>> shut_down() {
        co_await client->shutdown();
        co_return result<void>();
    }
};

registry_connection::registry_connection(std::unique_ptr<state> with) : state_(std::move(with)) {}
registry_connection::~registry_connection() = default;

blob_provider& registry_connection::blobs() {
    return *state_->client;
}

result<std::unique_ptr<registry_connection>> registry_connection::open(const std::filesystem::path& service_config,
                                                                       worker_pool& workers, spdlog::logger& log) {
    TRY(auto options, load_registry_options(service_config));
    TRY(auto cache, scratch_directory::create(std::filesystem::temp_directory_path()));
    auto with = std::make_unique<state>(std::move(cache));
    options.cache_dir = with->cache_directory();
    TRY(with->client, registry::client::create(std::move(options), with->events.executor(), workers, log));
    return std::unique_ptr<registry_connection>(new registry_connection(std::move(with)));
}

result<std::unique_ptr<registry_connection>> connect_registry(const layers::image_config& image,
                                                              const std::string& service_config,
                                                              tool_services& services) {
    if (image.repo_blob_url.empty()) return std::unique_ptr<registry_connection>();
    std::filesystem::path path = service_config;
    std::error_code ignored;
    if (path.empty() && std::filesystem::exists(default_service_config, ignored)) path = default_service_config;
    return registry_connection::open(path, services.workers(), services.log());
}

void add_service_config(CLI::App& app, std::string& path) {
    app.add_option("--service_config_path", path,
                   std::string("for layers in a registry: credentials and certificates (default: ") +
                       default_service_config + ", if it is there)")
        ->type_name("FILE")
        ->check(CLI::ExistingFile);
}

void upload_arguments::add_to(CLI::App& app) {
    app.add_option("--upload", url, "registry URL to send the layer to: http(s)://HOST/v2/REPOSITORY/blobs/uploads");
    app.add_option("--upload_bs", kib, "with --upload: most KiB a request; beyond 8192 it is 8192")
        ->check(CLI::Range(std::uint64_t{1}, UINT64_MAX))
        ->capture_default_str();
    app.add_option("--cred_file_path", credential_file, "with --upload: user names and passwords (cred.json)")
        ->type_name("FILE")
        ->check(CLI::ExistingFile);
    app.add_option("--tls_key_path", tls_key, "with --upload: key of the client certificate")
        ->type_name("FILE")
        ->check(CLI::ExistingFile);
    app.add_option("--tls_cert_path", tls_certificate, "with --upload: client certificate")
        ->type_name("FILE")
        ->check(CLI::ExistingFile);
}

result<upload_place> parse_upload_url(const std::string& text) {
    const auto wrong = [&](const std::string& why) {
        return fail(errc::invalid_argument,
                    "--upload " + text + ": " + why + " (expected http(s)://HOST[:PORT]/v2/REPOSITORY/blobs/uploads)");
    };
    const auto parsed = registry::parse_url(text);
    if (!parsed) return wrong(parsed.error().message());
    std::string_view path = parsed->path;
    while (path.ends_with('/')) path.remove_suffix(1);
    constexpr std::string_view before = "/v2/", behind = "/blobs/uploads";
    if (!path.starts_with(before) || !path.ends_with(behind) || path.size() <= before.size() + behind.size())
        return wrong("no upload URL");
    path.remove_prefix(before.size());
    path.remove_suffix(behind.size());
    if (!registry::is_repository_name(path)) return wrong("no repository name");
    return upload_place{.base = parsed->origin(), .repository = std::string(path)};
}

result<std::string> upload_file(const std::filesystem::path& file, const upload_arguments& given, worker_pool& workers,
                                spdlog::logger& log) {
    TRY(auto place, parse_upload_url(given.url));
    event_thread events;
    registry::curl_http_options options;
    options.tls.client_cert = given.tls_certificate;
    options.tls.client_key = given.tls_key;
    options.user_agent = "overlaybd-tools";
    auto parts = std::make_shared<upload_session_parts>();
    TRY(parts->http, registry::make_curl_http(std::move(options), events.executor()));
    parts->credentials = registry::make_credential_file(given.credential_file);
    registry::retry_policy policy;
    policy.try_timeout = operation_deadline / 3;
    parts->requests = std::make_unique<registry::access>(*parts->http, *parts->credentials, policy, log);
    registry::push_target target;
    target.scope.repository = place.repository;
    target.scope.actions = "pull,push";
    // The URL says which of the two: nothing is to be found out.
    target.scope.security = place.base.starts_with("https://") ? registry::transport_security::verified
                                                               : registry::transport_security::insecure;
    target.base = std::move(place.base);
    target.operation_deadline = operation_deadline;
    auto uploads = std::make_unique<registry::uploader>(*parts->requests, std::move(target));
    const auto pusher = registry::make_pusher(std::move(uploads), asio::make_strand(events.executor()), policy, parts);
    TRY(const auto digest, digest_of(file));
    registry::blob_upload what;
    what.digest = digest;
    TRY(what.from, layers::local_blob::open(file, workers));
    what.chunk_bytes = static_cast<std::uint32_t>(std::min(given.kib, most_chunk_kib) << 10);
    auto sent = layers::run_blocking(pusher->upload(std::move(what)));
    if (!sent) return in_context(std::move(sent).error(), "--upload " + given.url);
    return digest;
}

}  // namespace obd::tools

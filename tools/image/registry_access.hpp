// Registries as the image tools use them: layers of an image config that lie there, and --upload.
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <string>

#include "base/blob_source.hpp"
#include "base/result.hpp"
#include "base/worker_pool.hpp"
#include "layers/image_config.hpp"
#include "registry/client.hpp"
#include "tools/image/program.hpp"
#include "tools/image/scratch_directory.hpp"

namespace spdlog {
class logger;
}

namespace obd::tools {

/// What of the service config (overlaybd.json) concerns a tool that reads from registries: credentials, certificates,
/// registryConfig, userAgent. Everything else in it is the daemon's. Fails with the member's name.
result<registry::client_options> load_registry_options(const std::filesystem::path& service_config);

/// A registry client with a thread of its own, and a cache that goes when it does.
class registry_connection {
public:
    /// An empty path: no credentials, the system's authorities. The pool and the logger outlive the connection.
    static result<std::unique_ptr<registry_connection>> open(const std::filesystem::path& service_config,
                                                             worker_pool& workers, spdlog::logger& log);
    ~registry_connection();

    /// For image_services::registry; lives as long as the connection.
    blob_provider& blobs();

private:
    class state;
    explicit registry_connection(std::unique_ptr<state> with);
    std::unique_ptr<state> state_;
};

/// For an image config that names a registry: a connection as the service config says; null for one without. An empty
/// path: the installed default (default_service_config), if it is there.
result<std::unique_ptr<registry_connection>> connect_registry(const layers::image_config& image,
                                                              const std::string& service_config,
                                                              tool_services& services);
inline constexpr const char* default_service_config = "/etc/overlaybd/overlaybd.json";
/// --service_config_path, as merge, apply and resize have it.
void add_service_config(CLI::App& app, std::string& path);

/// The options of commit and merge that begin with --upload, and those that go with it.
struct upload_arguments {
    std::string url;             ///< http(s)://host[:port]/v2/REPOSITORY/blobs/uploads; empty: no upload
    std::uint64_t kib = 262144;  ///< most a request carries; more than 8 MiB is not used
    std::string credential_file;
    std::string tls_key;
    std::string tls_certificate;

    void add_to(CLI::App& app);
};

/// The repository's part of an upload URL. invalid_argument for any other URL.
struct upload_place {
    std::string base;  ///< http(s)://host[:port]
    std::string repository;
};
result<upload_place> parse_upload_url(const std::string& url);

/// Sends a finished file as a blob; resumes where a connection broke. Returns its digest. Blocks.
result<std::string> upload_file(const std::filesystem::path& file, const upload_arguments& given, worker_pool& workers,
                                spdlog::logger& log);

}  // namespace obd::tools

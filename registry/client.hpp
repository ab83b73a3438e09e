// From an image reference to its layers, and to their bytes.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/blob_source.hpp"
#include "base/result.hpp"
#include "base/worker_pool.hpp"

namespace spdlog {
class logger;
}

namespace obd::registry {

enum class transport_security {
    verified,  ///< HTTPS with a certificate that the system's (or the configured) authorities signed
    insecure,  ///< HTTPS with any certificate, else plain HTTP
};

struct client_options {
    std::filesystem::path cache_dir;
    byte_count cache_capacity;
    std::uint32_t refill_bytes = 262144;         ///< fetch unit of the cache: a power of two, at least 4096
    std::filesystem::path credential_file;       ///< cred.json, re-read whenever authentication is needed; may be absent
    std::filesystem::path ca_file;               ///< empty: the system's
    std::filesystem::path client_cert_file;
    std::filesystem::path client_key_file;
    std::string user_agent;
    std::chrono::milliseconds connect_timeout{5'000};
    std::chrono::milliseconds operation_deadline{20'000};  ///< all tries of one read; below the target's command deadline
    int tries = 6;
};

struct layer_descriptor {
    std::string media_type;
    std::string digest;
    byte_count size;
    std::map<std::string, std::string> annotations;
};

/// A resolved image: one platform's manifest.
struct resolved_image {
    std::string reference;        ///< as given, normalised
    std::string repo_blob_url;    ///< for image_config::repo_blob_url
    std::string manifest_digest;
    std::string config_digest;
    std::vector<layer_descriptor> layers;  ///< bottom first
};

struct resolve_options {
    transport_security security = transport_security::verified;
    std::string platform;         ///< "linux/amd64"; empty: this machine's
};

/// Thread-safe. Lives on one executor (libcurl's multi handle there); callers may be on any.
class client : public blob_provider {
public:
    static result<std::unique_ptr<client>> create(client_options options, asio::any_io_executor executor,
                                                  worker_pool& workers, spdlog::logger& log);

    /// host[:port]/repo[:tag|@digest]. Loopback hosts ("localhost", 127.0.0.0/8, [::1]) fall back to plain HTTP, as other
    /// container tools do.
    virtual asio::awaitable<result<resolved_image>> resolve(std::string reference, resolve_options options) = 0;

    /// Ends transfers under way with errc::cancelled and saves what the cache must save.
    virtual asio::awaitable<void> shutdown() = 0;
};

}  // namespace obd::registry

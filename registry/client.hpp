// From an image reference to its layers, and to their bytes.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/blob_source.hpp"
#include "base/result.hpp"
#include "base/worker_pool.hpp"
#include "registry/credentials.hpp"
#include "registry/descriptor.hpp"
#include "registry/push.hpp"
#include "registry/tls.hpp"

namespace spdlog {
class logger;
}

namespace obd::registry {

struct client_options {
    std::filesystem::path cache_dir;
    byte_count cache_capacity;
    std::uint32_t refill_bytes = 262144;    ///< fetch unit of the cache: a power of two, at least 4096
    std::filesystem::path credential_file;  ///< cred.json, re-read whenever authentication is needed; may be absent
    std::filesystem::path ca_file;          ///< empty: the system's
    std::filesystem::path client_cert_file;
    std::filesystem::path client_key_file;
    std::string user_agent;
    std::chrono::milliseconds connect_timeout{5'000};
    /// All tries of one read together; below the target's command deadline.
    std::chrono::milliseconds operation_deadline{20'000};
    int tries = 6;
    std::chrono::milliseconds first_retry_delay{100};  ///< doubles with each try
    std::size_t transfers = 32;                        ///< fetches at a time; each holds up to 4 MiB
    std::optional<credential_helper> helper;           ///< asked instead of credential_file
    std::vector<std::string> insecure_registries;      ///< host[:port]: any certificate, and plain HTTP as a fall-back
};

using layer_descriptor = descriptor;

/// A resolved image: one platform's manifest.
struct resolved_image {
    std::string reference;      ///< as given, normalised
    std::string repo_blob_url;  ///< for image_config::repo_blob_url
    std::string manifest_digest;
    std::string config_digest;
    std::vector<layer_descriptor> layers;  ///< bottom first; digest and size are those of the overlaybd blobs
    std::optional<layer_descriptor> acceleration_layer;  ///< a start-up trace, no part of the disk; not in `layers`
    std::string file_system;                             ///< as the image says: "ext4", "erofs" …; may be empty
    std::string platform;                                ///< "linux/amd64"; empty when the reference named no index
};

struct resolve_options {
    transport_security security = transport_security::verified;
    std::string platform;  ///< "linux/amd64"; empty: this machine's
};

/// Thread-safe. Lives on one executor (libcurl's multi handle there); callers may be on any. The executor's context,
/// the workers and the log outlive the client, its pushers and every source it opened; shutdown() comes before their
/// end.
class client : public blob_provider {
public:
    static result<std::unique_ptr<client>> create(client_options options, asio::any_io_executor executor,
                                                  worker_pool& workers, spdlog::logger& log);

    /// host[:port]/repo[:tag|@digest]. Loopback hosts ("localhost", 127.0.0.0/8, [::1]) fall back to plain HTTP, as
    /// other container tools do.
    virtual asio::awaitable<result<resolved_image>> resolve(std::string reference, resolve_options options) = 0;

    /// The repository that `reference` names, to push to; its tag and digest play no part, nor does options.platform.
    /// The pusher may outlive the client.
    virtual asio::awaitable<result<std::unique_ptr<pusher>>> push_to(std::string reference,
                                                                     resolve_options options) = 0;

    /// As resolve_options::security would for that host, for images that are opened by their repo_blob_url alone
    /// (host[:port], or any URL on it). Thread-safe.
    virtual void trust_insecure(std::string_view host_or_url) = 0;

    /// Bytes that the extent cache holds on disk.
    virtual byte_count cache_used() const noexcept = 0;

    /// Ends transfers under way with errc::cancelled and saves what the cache must save.
    virtual asio::awaitable<void> shutdown() = 0;
};

}  // namespace obd::registry

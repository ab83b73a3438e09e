// Where images lie: a registry, an OCI layout directory, a docker-archive. Calls block.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/blob_source.hpp"
#include "base/result.hpp"
#include "base/units.hpp"
#include "base/worker_pool.hpp"
#include "layers/fs/byte_stream.hpp"
#include "layers/image_config.hpp"
#include "registry/descriptor.hpp"
#include "registry/tls.hpp"

namespace spdlog {
class logger;
}

namespace obd::convert {

using registry::descriptor;

namespace media {
inline constexpr std::string_view oci_index = "application/vnd.oci.image.index.v1+json";
inline constexpr std::string_view oci_manifest = "application/vnd.oci.image.manifest.v1+json";
inline constexpr std::string_view oci_config = "application/vnd.oci.image.config.v1+json";
inline constexpr std::string_view oci_layer = "application/vnd.oci.image.layer.v1.tar";
inline constexpr std::string_view docker_index = "application/vnd.docker.distribution.manifest.list.v2+json";
inline constexpr std::string_view docker_manifest = "application/vnd.docker.distribution.manifest.v2+json";
inline constexpr std::string_view docker_config = "application/vnd.docker.container.image.v1+json";
inline constexpr std::string_view docker_layer = "application/vnd.docker.image.rootfs.diff.tar";
}  // namespace media

/// A manifest or an index.
struct document {
    std::string bytes;
    std::string media_type;
    std::string digest;
};

/// Thread-safe.
class image_reader {
public:
    virtual ~image_reader() = default;
    /// As the user wrote it, for messages.
    virtual const std::string& name() const = 0;
    /// What the name stands for.
    virtual result<document> root() = 0;
    /// Bytes are checked against the digest.
    virtual result<document> manifest(const descriptor& of) = 0;
    /// In order, as they lie there. Whoever reads checks the digest: verified(). The reader outlives the stream.
    virtual result<std::unique_ptr<fs::byte_stream>> blob(const descriptor& of);
    /// For passing it on. Unsupported by a docker-archive.
    virtual result<std::shared_ptr<blob_source>> source(const descriptor& of) = 0;
    /// "host/repository" in a registry, from which blobs can be mounted by another repository there; else empty.
    virtual std::string repository() const { return {}; }
};

using upload_progress = std::function<void(std::uint64_t sent)>;

/// Thread-safe.
class image_writer {
public:
    virtual ~image_writer() = default;
    virtual const std::string& name() const = 0;
    /// "host/repository" or the path of a layout: under this name the ledger remembers what is there.
    virtual std::string place() const = 0;
    virtual result<bool> has_blob(const std::string& digest) = 0;
    /// Takes a blob over from another repository of the same registry; false where that cannot be.
    virtual result<bool> mount_blob(const std::string& digest, const std::string& from_place) = 0;
    /// Does nothing if it is there.
    virtual result<void> put_blob(const descriptor& what, std::shared_ptr<blob_source> from,
                                  const upload_progress& progress) = 0;
    virtual result<void> put_bytes(const descriptor& what, const std::string& bytes) = 0;
    enum class naming { named, by_digest };
    /// Under the name that the user gave, or by its digest alone (an image of an index).
    virtual result<void> put_manifest(const document& what, naming how) = 0;
    /// How a layer that is there is opened as part of an image.
    virtual layers::lower_config as_lower(const descriptor& blob) const = 0;
    /// For image_config::repo_blob_url; empty where as_lower() gives files.
    virtual std::string repo_blob_url() const { return {}; }
    virtual blob_provider* blobs() { return nullptr; }
};

/// Fails at the end of the stream when the bytes were not those of the descriptor. `from` is taken over.
std::unique_ptr<fs::byte_stream> verified(std::unique_ptr<fs::byte_stream> from, const descriptor& of);

/// Reads a blob from its beginning to its end in big steps.
std::unique_ptr<fs::byte_stream> stream_over(std::shared_ptr<blob_source> source);

/// All bytes of a short blob, checked. Fails with limit_exceeded beyond limits::manifest_bytes.
result<std::string> read_small(image_reader& from, const descriptor& of);

/// What stores need. The pool and the logger outlive every store.
struct store_services {
    worker_pool& workers;
    spdlog::logger& log;
    registry::transport_security security = registry::transport_security::verified;
    std::filesystem::path credential_file{};
    std::filesystem::path ca_file{};
    std::filesystem::path work_directory{};  ///< for what must lie on disk for a while
};

/// A registry reference ("[docker://]host/repo:tag"), an OCI layout ("oci:DIR[:NAME]", or a directory that is one), a
/// docker-archive ("docker-archive:FILE[:NAME]", or a file). Fails with invalid_argument, and as opening does.
result<std::unique_ptr<image_reader>> open_reader(const std::string& where, const store_services& services);
/// Not a docker-archive. A layout directory that does not exist is made.
result<std::unique_ptr<image_writer>> open_writer(const std::string& where, const store_services& services);

}  // namespace obd::convert

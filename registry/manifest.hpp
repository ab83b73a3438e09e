// Manifests: OCI and Docker schema 2, index and image, and what overlaybd's annotations in them mean. Pure.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.hpp"
#include "registry/descriptor.hpp"

namespace obd::registry {

namespace media {
inline constexpr std::string_view oci_index = "application/vnd.oci.image.index.v1+json";
inline constexpr std::string_view oci_manifest = "application/vnd.oci.image.manifest.v1+json";
inline constexpr std::string_view docker_index = "application/vnd.docker.distribution.manifest.list.v2+json";
inline constexpr std::string_view docker_manifest = "application/vnd.docker.distribution.manifest.v2+json";
}  // namespace media

/// For the Accept header: all that parse_manifest() reads.
std::string accepted_manifest_types();

struct platform {
    std::string os;
    std::string architecture;
    std::string variant;

    std::string text() const;  ///< os/architecture[/variant]
};

/// "linux/amd64", "linux/arm64/v8". Fails with invalid_argument.
result<platform> parse_platform(std::string_view text);
platform this_machine();

struct index_entry {
    descriptor manifest;
    platform runs_on;
};

struct image_index {
    std::vector<index_entry> entries;  ///< without attestations and entries that name no platform they run on
};

struct image_manifest {
    descriptor config;
    std::vector<descriptor> layers;  ///< bottom first
    std::map<std::string, std::string> annotations;
};

/// `content_type` is the response's, may be empty. Fails with unsupported (schema 1, unknown types), corrupt (no JSON,
/// wrong shape, both "layers" and "manifests", a type that contradicts the response's). `where` begins messages.
result<std::variant<image_index, image_manifest>> parse_manifest(std::string_view bytes, std::string_view content_type,
                                                                 std::string_view where);

/// The best entry: same os and architecture; the wanted variant, else the one without, else the first.
/// Fails with not_found and the list of what there is.
result<descriptor> choose_platform(const image_index& index, const platform& wanted, std::string_view where);

/// Layers as overlaybd blobs, from their annotations.
struct overlaybd_layers {
    std::vector<descriptor> layers;          ///< bottom first; digest and size of the blobs to read
    std::optional<descriptor> acceleration;  ///< a trace to replay, not part of the disk
    std::string file_system;                 ///< "ext4" …; empty: not said
};

/// Fails with unsupported for a plain OCI image (says to convert it) and for TurboOCI, corrupt for bad annotations.
result<overlaybd_layers> overlaybd_layers_of(const image_manifest& manifest, std::string_view where);

}  // namespace obd::registry

// What the catalog knows of an export: an image that initiators see as a logical unit.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "layers/image.hpp"
#include "layers/image_config.hpp"
#include "protocol/net/target_server.hpp"
#include "registry/client.hpp"

namespace obd::server {

/// A writable layer of the daemon's making on top of what the source names.
enum class upper_kind { none, append, sparse };

/// Where an image comes from. Exactly one of `reference` and `config` is set.
struct image_origin {
    std::string reference;         ///< as the user gave it
    std::filesystem::path config;  ///< absolute path of a config.v1.json
    registry::transport_security security = registry::transport_security::verified;
    upper_kind upper = upper_kind::none;
    std::filesystem::path upper_dir;  ///< set when `upper` is not none
};

/// The answer to a reference, kept so that a tag which moves, or a registry which is down, does not change or stop an
/// export: what was attached stays what it is.
struct pinned_image {
    std::string repo_blob_url;
    std::string manifest_digest;
    std::vector<registry::layer_descriptor> layers;
};

/// Who may log in to the export's target.
struct access_rules {
    std::optional<iscsi::chap_credentials> auth;
    std::vector<std::string> initiators;  ///< empty: everyone
};

/// What initiators saw of a logical unit. After a restart they must find the same, or nothing at all.
struct seen_unit {
    std::string content;     ///< layers::image::identity() as 64 hex digits
    std::string designator;  ///< what serial number and designators derive from: `content` when it was attached
    device_geometry geometry;
};

/// What the state file keeps.
struct export_record {
    std::string name;
    std::string target;  ///< iSCSI name
    std::uint16_t lun = 0;
    image_origin origin;
    access_rules access;
    std::optional<pinned_image> pinned;
    std::optional<seen_unit> seen;
};

struct attach_request {
    image_origin origin;
    std::string name;                  ///< empty: derived from the origin
    std::string target;                ///< empty: one of its own; else an iSCSI name or what follows the prefix
    std::optional<std::uint16_t> lun;  ///< nothing: the lowest free one of the target
    access_rules access;
};

enum class export_state {
    starting,  ///< the image is being opened
    ready,
    failed,  ///< the image could not be opened; tried again later
    detaching,
};

std::string_view to_string(export_state state);
std::string_view to_string(upper_kind kind);

/// What a snapshot left behind.
struct snapshot_view {
    std::filesystem::path sealed;  ///< the former writable layer, read-only now
    std::filesystem::path data;    ///< of the new one
    std::filesystem::path index;
    std::chrono::microseconds pause;  ///< for which writes waited
};

/// An export as the admin API shows it.
struct export_view {
    export_record record;
    export_state state = export_state::starting;
    std::string reason;  ///< why it is not ready, for people
    std::string serial;  ///< empty until the image was opened once
    std::uint64_t naa = 0;
    std::vector<layers::layer_summary> layers;
    std::vector<std::string> initiators;  ///< names of those logged in to its target, each once
};

}  // namespace obd::server

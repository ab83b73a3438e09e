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

/// What becomes of an initiator's clone when the initiator logs out.
enum class clone_mode {
    keep,     ///< it is found again at the next login
    discard,  ///< it is thrown away; the next login begins with the image as it is
};

/// A writable layer for each initiator, over an image that is opened once.
struct clone_settings {
    clone_mode mode = clone_mode::keep;  ///< of clones to come
    upper_kind kind = upper_kind::append;
    std::filesystem::path root;  ///< a folder with a folder for each clone
};

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
    bool removable = false;  ///< initiators see a removable medium
    std::optional<pinned_image> pinned;
    std::optional<seen_unit> seen;
    std::optional<clone_settings> clones;        ///< then `origin.upper` is none and the target has no shared unit
    byte_count quota;                            ///< of the writable layer, or of each clone to come; 0: none
    std::optional<iscsi::redirection> redirect;  ///< of the target: its first LUN's counts
};

struct attach_request {
    image_origin origin;
    std::string name;                  ///< empty: derived from the origin
    std::string target;                ///< empty: one of its own; else an iSCSI name or what follows the prefix
    std::optional<std::uint16_t> lun;  ///< nothing: the lowest free one of the target
    access_rules access;
    bool removable = false;
    std::optional<clone_settings> clones;  ///< an empty root: one of the daemon's own
    std::optional<byte_count> quota;       ///< nothing: what the configuration says
    std::optional<iscsi::redirection> redirect;
};

enum class export_state {
    starting,  ///< the image is being opened
    ready,
    failed,  ///< the image could not be opened; tried again later
    detaching,
};

std::string_view to_string(export_state state);
std::string_view to_string(upper_kind kind);
std::string_view to_string(clone_mode mode);
std::optional<clone_mode> parse_clone_mode(std::string_view text);

/// What a snapshot left behind.
struct snapshot_view {
    std::filesystem::path sealed;  ///< the former writable layer, read-only now
    std::filesystem::path data;    ///< of the new one
    std::filesystem::path index;
    std::chrono::microseconds pause;  ///< for which writes waited
};

/// A clone as the admin API shows it.
struct clone_view {
    std::string initiator;
    clone_mode mode = clone_mode::keep;
    std::filesystem::path folder;
    std::string serial;
    bool open = false;  ///< its layer is open: a session uses it, or did a moment ago
    byte_count used;    ///< by the writable layer when it is open, else by its files
    byte_count quota;   ///< 0: none
    byte_count size;    ///< of the disk; 0 when it is not open
    std::chrono::system_clock::time_point created;
    std::size_t sessions = 0;
    std::uint64_t read_bytes = 0;  ///< of those sessions
    std::uint64_t written_bytes = 0;
};

/// What a commit of a clone made.
struct committed_layer {
    std::filesystem::path file;
    byte_count size;
    std::string digest;               ///< "sha256:…" of the file
    std::chrono::microseconds pause;  ///< for which writes waited
};

/// Of all clones of an export.
struct clone_counts {
    std::size_t all = 0;
    std::size_t open = 0;
    std::size_t discarded_at_logout = 0;
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
    clone_counts clones;
    byte_count upper_used;  ///< by the writable layer; 0 where there is none
};

}  // namespace obd::server

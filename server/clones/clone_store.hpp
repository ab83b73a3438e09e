// The clones of one export on disk: a folder with a folder for each initiator, which holds clone.json, the writable
// layer, its config.v1.json and the reservations of its logical unit.
//
// A clone is made under a name that begins with a dot and renamed when it is whole; it is renamed back to such a name
// before its files go. So after a crash a clone is there with all of its files or not at all, and what begins with a
// dot is rubbish.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "layers/image_config.hpp"
#include "protocol/scsi/ports.hpp"
#include "server/catalog/export.hpp"

namespace obd::server {

/// What clone.json says.
struct clone_record {
    std::string initiator;
    clone_mode mode = clone_mode::keep;
    byte_count quota;            ///< 0: none
    std::string designator;      ///< 64 hex digits: what serial number and designators derive from
    std::int64_t created_s = 0;  ///< seconds since 1970
};

struct stored_clone {
    clone_record record;
    std::filesystem::path folder;
};

struct clone_listing {
    std::vector<stored_clone> clones;
    std::vector<std::string> damaged;  ///< a sentence for each folder that holds no clone, for the log
};

/// The name of the folder: what may stand in a file name, and a hash of all of it, so that neither '/' nor length nor
/// two names that look alike do harm.
std::string clone_folder_name(std::string_view initiator);

/// Stable for one initiator and one image, on every node and after every restart.
std::string clone_designator(std::string_view base_content_hex, std::string_view initiator);

/// Every call blocks; what it changed is on stable storage when it returns.
class clone_store {
public:
    explicit clone_store(std::filesystem::path root) : root_(std::move(root)) {}

    const std::filesystem::path& root() const noexcept { return root_; }

    /// All clones; removes what a crash left half made or half removed.
    result<clone_listing> load() const;
    /// Makes an empty writable layer on `base`. already_exists when the initiator has one.
    result<stored_clone> make(const clone_record& record, upper_kind kind, const layers::image_config& base) const;
    result<void> save(const stored_clone& clone) const;
    /// Gone at once for every reader, then its files go.
    result<void> remove(const std::filesystem::path& folder) const;
    /// Removes the root when nothing is in it.
    void remove_empty_root() const noexcept;

    result<std::optional<scsi::persistent_state>> load_unit(const std::filesystem::path& folder) const;
    result<void> save_unit(const std::filesystem::path& folder, const scsi::persistent_state& state) const;

private:
    std::filesystem::path root_;
};

/// What the files of a clone occupy. Blocks.
byte_count occupied_bytes(const std::filesystem::path& folder);

}  // namespace obd::server

// What survives the process, in one folder: exports.json (the catalog), units/<name>.json (reservations with APTPL and
// saved mode pages) and uppers/<name>/ and clones/<name>/ (writable layers whose place nobody chose).
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "protocol/scsi/ports.hpp"
#include "server/catalog/export.hpp"
#include "server/state/durable_file.hpp"

namespace obd::server {

struct restored_exports {
    std::vector<export_record> records;
    std::string warning;  ///< not empty: the newest file was damaged, these are from the one before
};

/// Every call blocks until its effect is on stable storage. Calls about different files may overlap.
class state_store {
public:
    /// Creates the folder; `busy` when another daemon uses it.
    static result<state_store> open(std::filesystem::path folder);

    /// No file: no exports. Damaged file: the previous one. Both damaged: `corrupt`, since starting without the exports
    /// would overwrite what can still be rescued.
    result<restored_exports> load_exports() const;
    result<void> save_exports(const std::vector<export_record>& records) const;

    result<std::optional<scsi::persistent_state>> load_unit(const std::string& name) const;
    result<void> save_unit(const std::string& name, const scsi::persistent_state& state) const;
    result<void> forget_unit(const std::string& name) const;

    std::filesystem::path default_upper_dir(const std::string& name) const { return folder_ / "uppers" / name; }
    std::filesystem::path default_clone_root(const std::string& name) const { return folder_ / "clones" / name; }

private:
    state_store(std::filesystem::path folder, folder_lock lock);
    std::filesystem::path exports_path() const { return folder_ / "exports.json"; }
    std::filesystem::path unit_path(const std::string& name) const { return folder_ / "units" / (name + ".json"); }

    std::filesystem::path folder_;
    folder_lock lock_;
};

}  // namespace obd::server

// Which layers were converted before, and where they lie: a file that commands share.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "base/units.hpp"

namespace obd::convert {

struct ledger_entry {
    std::string chain_id;
    std::string profile;  ///< build_options::profile()
    std::string place;    ///< image_writer::place()
    std::string digest;   ///< of the overlaybd blob
    byte_count size;
};

/// Only a memory aid: what it says is checked against the registry, and without the file nothing is lost but time.
/// Thread-safe; several processes may use one file.
class layer_ledger {
public:
    /// Empty: remembers nothing.
    explicit layer_ledger(std::filesystem::path file) : file_(std::move(file)) {}

    /// Entries for the chain and profile, those in `place` first.
    result<std::vector<ledger_entry>> find(const std::string& chain_id, const std::string& profile,
                                           const std::string& place) const;
    result<void> add(const ledger_entry& entry) const;

private:
    result<std::vector<ledger_entry>> load() const;
    std::filesystem::path file_;
};

}  // namespace obd::convert

// The side file of a sparse layer: the ranges that read as zeros where the data file has a hole.
// docs/formats/side-files.md.
//
// In the sparse format itself a hole means "look below", so a discard would be forgotten when the layer is opened
// again. Data wins over this map, so it never has to be taken back when a range is written again, whoever writes it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "layers/merged_index.hpp"
#include "layers/write/file_io.hpp"

namespace obd::layers {

/// Thread-safe. Calls block.
class discard_map {
public:
    /// DATA.obdmap
    static std::filesystem::path path_for(const std::filesystem::path& data);

    struct location {
        std::shared_ptr<file_system> files;
        std::filesystem::path data;  ///< of the layer
        std::string uuid;            ///< of the layer; a map of another one is ignored
        open_mode mode = open_mode::existing;
    };
    /// Reads the map, if there is one. Damaged records are skipped and counted.
    static result<std::unique_ptr<discard_map>> open(location where);

    /// Sorted and disjoint.
    std::vector<sector_range> ranges() const;
    std::uint64_t damaged_records() const noexcept { return damaged_; }
    byte_count size() const;

    /// Records a range, unless it is recorded already. The file is made when the first range comes.
    result<void> add(sector_range range);
    /// What was added before is durable when it returns.
    result<void> sync();
    /// Nothing is added any more; other programs may open the file.
    void unlock() noexcept;

private:
    explicit discard_map(location where) : where_(std::move(where)) {}
    result<void> load();
    result<void> compact();
    result<void> create();
    bool covers(sector_range range) const;
    void merge(sector_range range);

    location where_;
    mutable std::mutex mutex_;
    std::shared_ptr<file> file_;
    std::map<std::uint64_t, std::uint64_t> ranges_;  ///< start to end, disjoint, not adjacent
    std::uint64_t records_ = 0;                      ///< in the file
    std::uint64_t damaged_ = 0;
    bool dirty_ = false;
};

}  // namespace obd::layers

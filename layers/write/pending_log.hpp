// The side file of an append-only layer: what was written since the last flush. docs/formats/side-files.md.
//
// The journal of the layer itself may name data only after that data is durable, else a power failure leaves entries
// that point at garbage. Until then an entry lies here, with a checksum of its data: it survives the death of the
// process, and after a power failure the checksum tells whether its data survived too.
#pragma once

#include <boost/endian/arithmetic.hpp>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "layers/lsmt/mapping.hpp"
#include "layers/write/file_io.hpp"

namespace obd::layers {

/// An entry on its way into the journal.
struct pending_entry {
    lsmt::packed_mapping entry{};
    std::uint64_t position = 0;  ///< the number that it will have in the journal
    std::uint32_t data_crc = 0;  ///< CRC-32C of its data; 0 for zeroed entries
};

/// What a log held when its layer was opened.
struct pending_entries {
    std::uint64_t settled = 0;                       ///< entries of the journal that were durable for certain
    std::map<std::uint64_t, pending_entry> entries;  ///< by position; older ones than `settled` left out
};

class pending_log {
public:
    static constexpr std::uint32_t default_capacity = 32768;  // 1 MiB; 128 MiB of 4 KiB writes between two flushes

    /// INDEX.obdlog
    static std::filesystem::path path_for(const std::filesystem::path& index);

    /// Replaces the log of the layer `uuid`, whose journal has `settled` entries.
    struct creation {
        std::filesystem::path path;
        std::string uuid;
        std::uint32_t capacity = default_capacity;
        std::uint64_t settled = 0;
    };
    static result<std::unique_ptr<pending_log>> create(file_system& files, const creation& what);

    /// Nothing when there is no log at `path`, or none of the layer `uuid`. Damaged records are left out.
    static result<pending_entries> load(file_system& files, const std::filesystem::path& path, const std::string& uuid,
                                        open_mode mode);

    std::uint32_t capacity() const noexcept { return capacity_; }
    /// REQUIRES: fewer than capacity() entries lie between the settled ones and this.
    void put(const pending_entry& what) noexcept;
    /// The first `count` entries of the journal are durable.
    void settle(std::uint64_t count) noexcept;

private:
    pending_log(std::shared_ptr<file> where, mutable_bytes memory, std::uint32_t capacity)
        : file_(std::move(where)), memory_(memory), capacity_(capacity) {}

    std::shared_ptr<file> file_;
    mutable_bytes memory_;
    std::uint32_t capacity_;
};

}  // namespace obd::layers

// Extents of blobs on the local disk: what registry/remote_source reads from and fills. docs/cache.md has the layout.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string_view>

#include "base/blob_source.hpp"
#include "base/bytes.hpp"
#include "base/units.hpp"

namespace spdlog {
class logger;
}

namespace obd::registry {

/// What the cache has of one blob, in extents of equal size (the last may be shorter). Thread-safe. Nothing here fails:
/// what the disk refuses is as good as not cached.
class cached_blob {
public:
    enum class presence {
        absent,
        unverified,  ///< on disk since an earlier run: load() checks it before its first use
        ready,
    };

    virtual ~cached_blob() = default;

    virtual byte_count size() const noexcept = 0;
    virtual std::uint32_t extent_bytes() const noexcept = 0;
    virtual presence state(std::uint64_t extent) const noexcept = 0;

    /// Complete if all of the range is ready and in the page cache. Never blocks, takes no lock, allocates nothing.
    virtual attempt try_read(byte_offset offset, mutable_bytes out) noexcept = 0;

    // The rest may block on the disk: on a worker thread.

    /// Would_block means: not all of it is ready (any more).
    virtual attempt read(byte_offset offset, mutable_bytes out) noexcept = 0;
    /// Reads a whole unverified extent and checks its CRC. True: `out` is right and the extent is ready. False: it is
    /// absent now.
    virtual bool load(std::uint64_t extent, mutable_bytes out) noexcept = 0;
    /// Keeps a whole extent, making room first. REQUIRES: no other store or load of that extent at the same time.
    virtual void store(std::uint64_t extent, const_bytes data) noexcept = 0;
    /// The extent is absent afterwards.
    virtual void drop(std::uint64_t extent) noexcept = 0;
};

/// Thread-safe.
class blob_cache {
public:
    virtual ~blob_cache() = default;

    /// Nothing if `size` is 0 and the cache does not know the blob. The size of a blob that is on disk is the one its
    /// registry confirmed; `size` is then ignored. REQUIRES: a valid digest; one open cached_blob per digest at a time.
    virtual std::shared_ptr<cached_blob> open(std::string_view digest, byte_count size) = 0;

    /// Bytes of extents on disk.
    virtual byte_count used() const noexcept = 0;
};

struct blob_cache_options {
    std::filesystem::path dir;
    byte_count capacity;         ///< of extents; the maps beside them add 1/32768 of it
    std::uint32_t extent_bytes;  ///< for blobs that are new to the cache: a power of two, at least 4096
};

/// Never fails: where the directory can't be used (no permission, another process has it) the cache keeps nothing, says
/// so in the log, and looks again when the next blob is opened. `log` is borrowed.
std::unique_ptr<blob_cache> make_extent_cache(blob_cache_options options, spdlog::logger& log);

/// A blob with more extents than this is refused: its map would take 128 MiB of memory.
inline constexpr std::uint64_t extents_per_blob = 1 << 24;

}  // namespace obd::registry

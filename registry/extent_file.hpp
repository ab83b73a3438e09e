// The cached part of one blob on disk: <hex>.data (sparse, the blob's bytes at their own offsets) and <hex>.map (which
// extents are there, with their checksums). docs/cache.md.
#pragma once

#include <array>
#include <atomic>
#include <boost/endian/arithmetic.hpp>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "base/units.hpp"
#include "registry/blob_cache.hpp"

namespace obd::registry {

/// The head of a map file. docs/cache.md. Little-endian.
struct cache_map_header {
    std::array<char, 8> magic;  // "OBDCACHE"
    boost::endian::little_uint32_t version, extent_bytes;
    boost::endian::little_uint64_t blob_bytes;
    std::array<std::byte, 32> digest;
    std::array<std::uint8_t, 4> reserved;
    boost::endian::little_uint32_t header_crc;  // crc32c of all before
};
static_assert(sizeof(cache_map_header) == 64 && alignof(cache_map_header) == 1);

/// One extent's record. Absent is all zeros.
struct cache_map_record {
    boost::endian::little_uint32_t data_crc;  // crc32c of the extent's bytes
    boost::endian::little_uint32_t seal;      // seal_of(data_crc, extent number): a torn or misplaced record is absent
};
static_assert(sizeof(cache_map_record) == 8 && alignof(cache_map_record) == 1);

constexpr std::uint32_t seal_of(std::uint32_t data_crc, std::uint64_t extent) {
    return ~data_crc ^ static_cast<std::uint32_t>(extent * 0x9e3779b1u);
}

/// A file descriptor that closes itself.
class owned_fd {
public:
    owned_fd() = default;
    explicit owned_fd(int fd) : fd_(fd) {}
    owned_fd(owned_fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    owned_fd& operator=(owned_fd&& other) noexcept;
    ~owned_fd();
    int get() const { return fd_; }
    explicit operator bool() const { return fd_ >= 0; }

private:
    int fd_ = -1;
};

/// One bit per extent, set and tested by any thread.
class extent_bits {
public:
    explicit extent_bits(std::uint64_t count) : words_((count + 63) / 64) {}
    bool test(std::uint64_t bit) const noexcept { return (words_[bit / 64].load() >> (bit % 64) & 1) != 0; }
    void set(std::uint64_t bit) noexcept { words_[bit / 64].fetch_or(1ull << (bit % 64)); }
    void clear(std::uint64_t bit) noexcept { words_[bit / 64].fetch_and(~(1ull << (bit % 64))); }

private:
    std::vector<std::atomic<std::uint64_t>> words_;
};

struct extent_layout {
    std::string digest;
    byte_count blob_size;
    std::uint32_t extent_bytes;

    std::uint64_t extents() const { return (blob_size.value + extent_bytes - 1) / extent_bytes; }
    std::uint64_t bytes_of(std::uint64_t extent) const;
};

/// Thread-safe; store() and load() of one extent must not overlap.
class extent_file {
public:
    /// `stem`: the path without ".data" or ".map". Nothing is written before the first store().
    extent_file(extent_layout layout, std::filesystem::path stem);

    /// Reads the map of an earlier run. Fails with not_found, or corrupt: delete both files then.
    static result<std::unique_ptr<extent_file>> open_existing(const std::string& digest, std::filesystem::path stem);

    const extent_layout& layout() const noexcept { return layout_; }
    cached_blob::presence state(std::uint64_t extent) const noexcept;
    /// Bytes of extents that are ready or unverified.
    std::uint64_t present_bytes() const noexcept { return present_bytes_.load(); }

    attempt try_read(byte_offset offset, mutable_bytes out) noexcept;
    attempt read(byte_offset offset, mutable_bytes out) noexcept;
    bool load(std::uint64_t extent, mutable_bytes out) noexcept;
    result<void> store(std::uint64_t extent, const_bytes data);
    /// Frees the extent's place on disk. Returns how many bytes that was.
    std::uint64_t drop(std::uint64_t extent) noexcept;

    /// Second-chance eviction: true if it was read since the last call.
    bool take_recent_use(std::uint64_t extent) noexcept;
    /// Remembers on disk that the blob was in use just now.
    void mark_used() noexcept;

private:
    bool ready(byte_offset offset, std::size_t count) const noexcept;
    attempt guarded_read(byte_offset offset, mutable_bytes out, int flags) noexcept;
    result<void> create_files();
    result<void> write_record(std::uint64_t extent, cache_map_record record);

    const extent_layout layout_;
    const std::filesystem::path stem_;
    extent_bits ready_;
    extent_bits unverified_;
    extent_bits recent_;
    /// Grows before an extent's bytes go away, after its bits are cleared.
    std::atomic<std::uint64_t> evictions_{0};
    std::atomic<std::uint64_t> present_bytes_{0};
    std::atomic<int> data_fd_{-1};  ///< data_'s, once it is there
    std::atomic<int> nowait_flag_;

    std::mutex mutex_;  ///< guards the files' creation and the records
    owned_fd data_;
    owned_fd map_;
    std::vector<std::uint32_t> crcs_;
};

}  // namespace obd::registry

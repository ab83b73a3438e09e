// The files that writable layers live in, as an interface: the host's own, and in tests one that loses power.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "base/blob_source.hpp"
#include "base/bytes.hpp"
#include "base/result.hpp"
#include "base/units.hpp"

namespace obd::layers {

/// Thread-safe. Calls block unless said otherwise. Failures name the file.
class file {
public:
    virtual ~file() = default;

    virtual const std::string& name() const noexcept = 0;

    /// Fills `out` if the bytes are in memory. Never blocks.
    virtual attempt try_read(byte_offset offset, mutable_bytes out) noexcept = 0;
    /// Fills `out`; what lies past the end reads as zeros.
    virtual result<void> read(byte_offset offset, mutable_bytes out) = 0;
    virtual result<void> write(byte_offset offset, const_bytes bytes) = 0;
    /// Everything written, punched or mapped before is on stable storage when it returns, and so is the size.
    virtual result<void> sync() = 0;

    virtual result<byte_count> size() = 0;
    virtual result<void> resize(byte_count size) = 0;
    /// Bytes of storage that the file occupies.
    virtual result<byte_count> allocated() = 0;
    /// The range reads as zeros and is a hole where it covers whole blocks. The size stays.
    virtual result<void> punch_hole(byte_offset offset, byte_count count) = 0;
    /// The first stretch of data (no hole) that ends behind `from`; nothing when only holes follow.
    struct stretch {
        byte_offset begin;
        byte_offset end;
    };
    virtual result<std::optional<stretch>> next_data(byte_offset from) = 0;
    /// The unit in which the file system allocates: a hole or data is never smaller. A power of two.
    virtual std::uint64_t block_bytes() const noexcept = 0;

    /// Other programs may open the file from now on, and this one writes it no more.
    virtual void unlock() noexcept {}

    /// The first `count` bytes as shared memory, valid as long as the file: a store there is as good as a write.
    /// Reserves the space, so that a store does not fail later. Once a file.
    virtual result<mutable_bytes> map(byte_count count) = 0;
};

/// How a file is opened.
enum class open_mode {
    read_only,  ///< not_found when it is not there
    existing,   ///< for writing; not_found when it is not there
    create,     ///< already_exists when it is there
    either,
};

/// Thread-safe. Blocks.
class file_system {
public:
    virtual ~file_system() = default;
    virtual result<std::shared_ptr<file>> open(const std::filesystem::path& path, open_mode mode) = 0;
    virtual result<bool> exists(const std::filesystem::path& path) = 0;
    /// No error when it is not there.
    virtual result<void> remove(const std::filesystem::path& path) = 0;
    /// Replaces `to` by `from` in one step.
    virtual result<void> rename(const std::filesystem::path& from, const std::filesystem::path& to) = 0;
    /// Makes the creation or removal of the file in its directory durable.
    virtual result<void> sync_directory_of(const std::filesystem::path& path) = 0;
};

}  // namespace obd::layers

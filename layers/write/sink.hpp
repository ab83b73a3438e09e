// Where writers put their bytes: one after the other, and for a few formats once more at the beginning.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "base/bytes.hpp"
#include "base/digest.hpp"
#include "base/result.hpp"
#include "base/units.hpp"

namespace obd::layers {

/// Blocks. Not thread-safe. After a failure the output is incomplete and of no use.
class byte_sink {
public:
    virtual ~byte_sink() = default;

    virtual result<void> write(const_bytes bytes) = 0;

    /// Replaces bytes that were written before. Streams cannot: unsupported.
    virtual result<void> overwrite(byte_offset position, const_bytes bytes);
};

/// A new file. Removed again unless finish() succeeded, so that a failure leaves no half of a layer behind.
class file_sink final : public byte_sink {
public:
    enum class existing {
        keep,     ///< fail with already_exists
        replace,  ///< the old file stays until finish() renames the new one over it
    };

    static result<file_sink> create(const std::filesystem::path& path, existing what);
    file_sink(file_sink&& other) noexcept;
    file_sink& operator=(file_sink&&) = delete;
    ~file_sink() override;

    result<void> write(const_bytes bytes) override;
    result<void> overwrite(byte_offset position, const_bytes bytes) override;
    byte_count size() const { return {size_}; }

    /// Durable, under its own name, when it succeeds.
    result<void> finish();

private:
    file_sink(int fd, std::filesystem::path path, std::filesystem::path temporary);

    int fd_;
    std::filesystem::path path_;
    std::filesystem::path temporary_;  ///< what is being written; renamed to path_ at the end
    std::uint64_t size_ = 0;
};

/// Passes bytes on and takes their digest.
class digest_sink final : public byte_sink {
public:
    explicit digest_sink(byte_sink& to) : to_(to) {}

    result<void> write(const_bytes bytes) override {
        hash_.update(bytes);
        size_ += bytes.size();
        return to_.write(bytes);
    }
    byte_count size() const { return {size_}; }
    /// "sha256:…" of everything written.
    std::string finish_digest() && { return std::move(hash_).finish_digest(); }

private:
    byte_sink& to_;
    sha256 hash_;
    std::uint64_t size_ = 0;
};

}  // namespace obd::layers

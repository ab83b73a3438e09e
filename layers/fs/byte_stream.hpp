// Bytes that come one after the other: a layer on its way into a file system.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "base/bytes.hpp"
#include "base/digest.hpp"
#include "base/result.hpp"

namespace obd::fs {

/// Blocks. One thread at a time.
class byte_stream {
public:
    virtual ~byte_stream() = default;
    /// At least one byte, if `out` has room, until the end: then 0, again and again.
    virtual result<std::size_t> read(mutable_bytes out) = 0;
};

/// A file, a FIFO or, as "-", the standard input.
result<std::unique_ptr<byte_stream>> open_stream(const std::filesystem::path& path);

/// The bytes are borrowed.
std::unique_ptr<byte_stream> stream_of(const_bytes bytes);

/// What gzip or Zstandard compressed, in one or several members or frames; anything else unchanged. `from` outlives it.
std::unique_ptr<byte_stream> decompressed(byte_stream& from);

/// Reads `from` ahead in a thread of its own, so that decompression and unpacking run side by side. `from` outlives it.
std::unique_ptr<byte_stream> read_ahead(byte_stream& from);

/// Passes bytes on and takes their digest.
class digest_stream final : public byte_stream {
public:
    explicit digest_stream(byte_stream& from) : from_(from) {}
    result<std::size_t> read(mutable_bytes out) override;
    std::uint64_t size() const { return size_; }
    /// Of all that was read so far: read to the end first (drain()).
    std::string finish_digest() && { return std::move(hash_).finish_digest(); }

private:
    byte_stream& from_;
    sha256 hash_;
    std::uint64_t size_ = 0;
};

/// Reads to the end and throws it away.
result<void> drain(byte_stream& from);

}  // namespace obd::fs

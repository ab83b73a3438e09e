// A ZFile as the bytes that were compressed into it, at random. docs/formats/zfile.md.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <memory>
#include <string_view>

#include "base/blob_source.hpp"
#include "base/worker_pool.hpp"
#include "layers/zfile/header.hpp"
#include "layers/zfile/jump_table.hpp"

namespace obd::layers::zfile {

/// Offsets and sizes are those of the decompressed content. Every checksum is verified on every decode. A block that
/// does not pass is discarded from the source's cache and read again, a few times, before the read fails with
/// errc::corrupt.
class reader final : public blob_source {
public:
    /// Reads and checks header, trailer and jump table. `source` is the unwrapped file: byte 0 is the ZFile header.
    /// `workers` outlives the reader; big reads decode on it.
    static asio::awaitable<result<std::shared_ptr<reader>>> open(std::shared_ptr<blob_source> source,
                                                                 worker_pool& workers);

    reader(std::shared_ptr<blob_source> source, worker_pool& workers, const parameters& info, jump_table table);

    const parameters& info() const noexcept { return info_; }
    const jump_table& table() const noexcept { return table_; }

    std::string_view name() const noexcept override { return source_->name(); }
    byte_count size() const noexcept override { return info_.original_size; }
    /// Decodes in place; declines what would take long (more than a block of the largest size).
    attempt try_read(byte_offset offset, mutable_bytes out) noexcept override;
    asio::awaitable<result<void>> read(byte_offset offset, mutable_bytes out) override;
    bool discard_cached(byte_offset offset, byte_count count) noexcept override;
    void prefetch(byte_offset offset, byte_count count) noexcept override;
    byte_count fetched() const noexcept override { return source_->fetched(); }

private:
    struct chunk;
    chunk chunk_at(byte_offset offset, mutable_bytes out, std::uint64_t max_bytes) const noexcept;
    result<void> decode(const chunk& what, const_bytes stored) const;
    asio::awaitable<result<void>> read_chunk(chunk what);
    asio::awaitable<result<void>> read_chunk_once(chunk what);

    std::shared_ptr<blob_source> source_;
    worker_pool& workers_;
    parameters info_;
    jump_table table_;
    std::uint64_t id_;  ///< never reused, unlike an address: keys the per-thread copies of decoded blocks
};

}  // namespace obd::layers::zfile

// A ZFile as the bytes that were compressed into it, at random. docs/formats/zfile.md.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "base/blob_source.hpp"
#include "base/worker_pool.hpp"
#include "layers/zfile/block_decoder.hpp"
#include "layers/zfile/header.hpp"
#include "layers/zfile/jump_table.hpp"

namespace obd::layers::zfile {

/// Offsets and sizes are those of the decompressed content. Every checksum is verified on every decode. A block that
/// does not pass is discarded from the source's cache and read again, a few times, before the read fails with
/// errc::corrupt.
class reader final : public blob_source {
public:
    /// What is decoded on the caller's thread at once; more goes to the workers.
    static constexpr std::size_t in_place_bytes = 64 << 10;

    /// Reads and checks header, trailer and jump table. `source` is the unwrapped file: byte 0 is the ZFile header.
    /// `workers` outlives the reader; big reads decode on it.
    static asio::awaitable<result<std::shared_ptr<reader>>> open(std::shared_ptr<blob_source> source,
                                                                 worker_pool& workers);

    reader(std::shared_ptr<blob_source> source, worker_pool& workers, const parameters& info, jump_table table);

    const parameters& info() const noexcept { return info_; }
    const jump_table& table() const noexcept { return table_; }

    std::string_view name() const noexcept override { return source_->name(); }
    byte_count size() const noexcept override { return info_.original_size; }
    /// Decodes in place; declines more than in_place_bytes.
    attempt try_read(byte_offset offset, mutable_bytes out) noexcept override;
    asio::awaitable<result<void>> read(byte_offset offset, mutable_bytes out) override;
    bool discard_cached(byte_offset offset, byte_count count) noexcept override;
    void prefetch(byte_offset offset, byte_count count) noexcept override;
    byte_count fetched() const noexcept override { return source_->fetched(); }

private:
    /// Blocks that lie side by side, and the part of their content that is wanted.
    struct chunk {
        std::uint64_t first_block;
        std::uint64_t end_block;
        byte_offset offset;  ///< in the content
        mutable_bytes out;
    };
    struct bad_block {
        std::uint64_t number;
        decode_error reason;
    };
    /// Where blocks lie in the source.
    struct stored_range {
        byte_offset offset;
        byte_count count;
    };

    chunk chunk_at(byte_offset offset, mutable_bytes out) const noexcept;
    stored_range stored_of(std::uint64_t first_block, std::uint64_t end_block) const noexcept;
    std::uint32_t content_bytes(std::uint64_t block) const noexcept;
    bool take_decoded(chunk& what) const noexcept;
    attempt try_chunk(const chunk& what) const noexcept;
    std::optional<bad_block> decode(const chunk& what, const_bytes stored) const noexcept;
    asio::awaitable<result<void>> read_chunk(chunk what);
    asio::awaitable<result<std::optional<bad_block>>> read_chunk_once(chunk what);
    asio::awaitable<result<void>> read_on_workers(chunk what);

    std::shared_ptr<blob_source> source_;
    worker_pool& workers_;
    parameters info_;
    jump_table table_;
    std::uint64_t id_;
    unsigned block_shift_;
};

}  // namespace obd::layers::zfile

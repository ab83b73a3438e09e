// The contents of a gzip file, read at random by its index.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/blob_source.hpp"
#include "base/worker_pool.hpp"
#include "layers/gzip/index.hpp"

namespace obd::layers::gzip {

/// Decompresses from the place before the wanted bytes up to the next one, and keeps the last few such spans. The check
/// sums of gzip cover whole files only, so damage shows where it breaks the coding; the blob's digest covers the rest.
/// Thread-safe.
class source final : public blob_source {
public:
    /// `workers` outlives the source. Fails as read_index does.
    static asio::awaitable<result<std::shared_ptr<blob_source>>> open(std::shared_ptr<blob_source> gzip_file,
                                                                      std::shared_ptr<blob_source> index_file,
                                                                      worker_pool& workers);

    std::string_view name() const noexcept override { return gzip_->name(); }
    byte_count size() const noexcept override { return index_.plain_size; }
    attempt try_read(byte_offset offset, mutable_bytes out) noexcept override;
    asio::awaitable<result<void>> read(byte_offset offset, mutable_bytes out) override;
    bool discard_cached(byte_offset offset, byte_count count) noexcept override;
    void prefetch(byte_offset offset, byte_count count) noexcept override;
    byte_count fetched() const noexcept override { return gzip_->fetched(); }

private:
    using bytes = std::shared_ptr<const std::vector<std::byte>>;
    static constexpr std::size_t spans_kept = 16;  // about 1 MiB each

    source(std::shared_ptr<blob_source> gzip_file, std::shared_ptr<blob_source> index_file, index found,
           worker_pool& workers)
        : gzip_(std::move(gzip_file)),
          index_file_(std::move(index_file)),
          index_(std::move(found)),
          workers_(workers) {}

    std::size_t span_of(std::uint64_t plain) const noexcept;
    std::uint64_t plain_end(std::size_t span) const noexcept;
    std::uint64_t packed_end(std::size_t span) const noexcept;
    bytes cached(std::size_t span);
    void keep(std::size_t span, bytes content);
    asio::awaitable<result<bytes>> decode(std::size_t span);

    const std::shared_ptr<blob_source> gzip_;
    const std::shared_ptr<blob_source> index_file_;
    const index index_;
    worker_pool& workers_;
    std::mutex mutex_;
    std::list<std::pair<std::size_t, bytes>> kept_;  ///< the latest first
};

}  // namespace obd::layers::gzip

// A file that has become read-only as a blob_source: a sealed upper is read through the file it was written with.
#pragma once

#include <memory>

#include "base/blob_source.hpp"
#include "base/worker_pool.hpp"
#include "layers/write/file_io.hpp"

namespace obd::layers {

class file_blob final : public blob_source {
public:
    /// REQUIRES: the file has `size` bytes and does not change any more. `workers` outlives the source.
    file_blob(std::shared_ptr<file> from, byte_count size, worker_pool& workers)
        : file_(std::move(from)), size_(size), workers_(workers) {}

    std::string_view name() const noexcept override { return file_->name(); }
    byte_count size() const noexcept override { return size_; }
    attempt try_read(byte_offset offset, mutable_bytes out) noexcept override;
    asio::awaitable<result<void>> read(byte_offset offset, mutable_bytes out) override;
    bool discard_cached(byte_offset, byte_count) noexcept override { return false; }
    void prefetch(byte_offset, byte_count) noexcept override {}

private:
    std::shared_ptr<file> file_;
    byte_count size_;
    worker_pool& workers_;
};

}  // namespace obd::layers

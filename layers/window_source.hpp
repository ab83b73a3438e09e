// A stretch of a blob as a blob of its own.
#pragma once

#include <memory>
#include <utility>

#include "base/blob_source.hpp"

namespace obd::layers {

class window_source final : public blob_source {
public:
    /// REQUIRES: within(start, count, source->size()).
    window_source(std::shared_ptr<blob_source> source, byte_offset start, byte_count count)
        : source_(std::move(source)), start_(start), size_(count) {}

    std::string_view name() const noexcept override { return source_->name(); }
    byte_count size() const noexcept override { return size_; }
    attempt try_read(byte_offset offset, mutable_bytes out) noexcept override;
    asio::awaitable<result<void>> read(byte_offset offset, mutable_bytes out) override;
    bool discard_cached(byte_offset offset, byte_count count) noexcept override;
    void prefetch(byte_offset offset, byte_count count) noexcept override;
    byte_count fetched() const noexcept override { return source_->fetched(); }

private:
    /// The same place in the whole blob. REQUIRES: offset <= size().
    byte_offset outer(byte_offset offset) const noexcept { return {start_.value + offset.value}; }
    byte_count clip(byte_offset offset, byte_count count) const noexcept;

    std::shared_ptr<blob_source> source_;
    byte_offset start_;
    byte_count size_;
};

}  // namespace obd::layers

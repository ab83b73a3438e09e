// Two blobs one behind the other as one. A TurboOCI layer reads its file system metadata from one and file contents
// from the other (docs/formats/lsmt.md, "TurboOCI").
#pragma once

#include <memory>
#include <utility>

#include "base/blob_source.hpp"

namespace obd::layers {

class joined_source final : public blob_source {
public:
    /// `second` begins at second_start(), the first sector boundary behind `first`. A read lies in one of the two.
    joined_source(std::shared_ptr<blob_source> first, std::shared_ptr<blob_source> second);

    byte_offset second_start() const noexcept { return second_start_; }

    /// That of the first.
    std::string_view name() const noexcept override { return first_->name(); }
    byte_count size() const noexcept override;
    attempt try_read(byte_offset offset, mutable_bytes out) noexcept override;
    asio::awaitable<result<void>> read(byte_offset offset, mutable_bytes out) override;
    bool discard_cached(byte_offset offset, byte_count count) noexcept override;
    void prefetch(byte_offset offset, byte_count count) noexcept override;
    byte_count fetched() const noexcept override { return first_->fetched() + second_->fetched(); }

private:
    struct place {
        blob_source& source;
        byte_offset offset;
    };
    place find(byte_offset offset) const noexcept;

    std::shared_ptr<blob_source> first_;
    std::shared_ptr<blob_source> second_;
    byte_offset second_start_;
};

}  // namespace obd::layers

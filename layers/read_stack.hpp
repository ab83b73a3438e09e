// The read-only layers of an image as one readable range of sectors. A writable layer is put on top of it.
#pragma once

#include <array>
#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/blob_source.hpp"
#include "base/block_device.hpp"
#include "base/result.hpp"
#include "layers/image.hpp"
#include "layers/merged_index.hpp"
#include "layers/opened_layer.hpp"

namespace obd::layers {

/// Immutable; may be used from any thread. Offsets and lengths are multiples of 512. Reads beyond size() give what the
/// layers have there, else zeros: a writable layer may be larger than what it stands on.
class read_stack {
public:
    /// Bottom first; may be empty. Fails with limit_exceeded.
    static result<std::shared_ptr<const read_stack>> build(std::vector<std::shared_ptr<const opened_layer>> layers);

    read_stack(std::vector<std::shared_ptr<const opened_layer>> layers, merged_index index);

    /// The virtual size of the topmost layer that has one, rounded down to sectors; 0 when none has.
    byte_count size() const noexcept { return size_; }
    const merged_index& index() const noexcept { return index_; }
    std::span<const std::shared_ptr<const opened_layer>> layers() const noexcept { return layers_; }
    std::vector<layer_summary> summaries() const;
    /// As image::identity(), for these layers.
    std::array<std::byte, 32> identity() const;

    /// Never blocks, allocates or locks. Declines when some layer's bytes are not at hand.
    attempt try_read(byte_offset offset, mutable_bytes out) const noexcept;
    /// Missing parts are read at the same time. The failure names the layer and the sector.
    asio::awaitable<result<void>> read(byte_offset offset, mutable_bytes out) const;
    /// As block_device::extents(), holes and zeroed ranges both deallocated.
    std::vector<device_extent> extents(byte_offset offset, byte_count count, std::size_t limit) const;
    /// As block_device::prefetch().
    asio::awaitable<result<void>> prefetch(byte_offset offset, byte_count count) const;

private:
    struct job;
    /// What the hot path needs of a layer.
    struct layer_source {
        blob_source* source;
        bool compressed;
    };
    std::vector<job> missing_parts(byte_offset offset, mutable_bytes out) const;
    asio::awaitable<result<void>> read_part(job part) const;
    asio::awaitable<result<void>> read_parts(std::span<const job> jobs, std::atomic<std::size_t>& next) const;

    std::vector<std::shared_ptr<const opened_layer>> layers_;
    std::vector<layer_source> sources_;
    merged_index index_;
    byte_count size_;
};

}  // namespace obd::layers

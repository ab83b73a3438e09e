// An LSMT layer opened for reading: its index in memory, and the source that its data lies in. docs/formats/lsmt.md.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <memory>
#include <span>
#include <vector>

#include "base/blob_source.hpp"
#include "layers/lsmt/header.hpp"
#include "layers/lsmt/mapping.hpp"

namespace obd::layers::lsmt {

/// Immutable; may be used from any thread.
class layer {
public:
    /// Reads and checks header, trailer and index of a committed or sealed layer. `source` is the unwrapped file: byte
    /// 0 is the LSMT header. Failures: errc::corrupt (damaged), limit_exceeded (index too long), or those of the
    /// source; they say where and why, the caller adds which layer.
    static asio::awaitable<result<std::shared_ptr<const layer>>> open(std::shared_ptr<blob_source> source);
    /// A TurboOCI layer: `source` has the file system metadata, `target` the file contents (the OCI layer's tar as it
    /// is, uncompressed). source() then joins the two.
    static asio::awaitable<result<std::shared_ptr<const layer>>> open_turbo(std::shared_ptr<blob_source> source,
                                                                            std::shared_ptr<blob_source> target);

    layer(std::shared_ptr<blob_source> source, header_fields header, header_fields trailer,
          std::vector<packed_mapping> mappings);

    /// From the header, which carries the virtual size and the parent that the layer was made with.
    const header_fields& header() const noexcept { return header_; }
    /// From the trailer, which is what readers go by.
    const header_fields& trailer() const noexcept { return trailer_; }
    byte_count virtual_size() const noexcept { return trailer_.virtual_size; }
    /// Sorted by start, disjoint, no padding, tags 0. Some may lie beyond the virtual size (shrunk layers).
    std::span<const packed_mapping> mappings() const noexcept { return mappings_; }
    blob_source& source() const noexcept { return *source_; }

private:
    std::shared_ptr<blob_source> source_;
    header_fields header_;
    header_fields trailer_;
    std::vector<packed_mapping> mappings_;
};

}  // namespace obd::layers::lsmt

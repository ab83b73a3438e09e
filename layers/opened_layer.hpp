// From a blob to a layer: tar, ZFile and LSMT are detected and taken off, in that order.
#pragma once

#include <array>
#include <boost/asio/awaitable.hpp>
#include <memory>
#include <string>

#include "base/blob_source.hpp"
#include "base/result.hpp"
#include "base/worker_pool.hpp"
#include "layers/lsmt/reader.hpp"

namespace obd::layers {

/// A blob without its wrappers.
struct unwrapped_blob {
    std::shared_ptr<blob_source> content;  ///< keeps the sources below it
    std::string form;                      ///< what was taken off: "", "tar", "zfile(lz4,4096)", "tar+zfile(zstd,8192)"
    bool compressed = false;               ///< reading it costs decoding
};

/// Takes off a tar wrapper and a ZFile, where they are. Failures say what is damaged; the caller adds which blob.
asio::awaitable<result<unwrapped_blob>> unwrap(std::shared_ptr<blob_source> blob, worker_pool& workers);

/// Immutable; may be used from any thread, and shared by many images.
struct opened_layer {
    std::string name;    ///< digest, else path
    std::string digest;  ///< empty when the layer was given as a file only
    std::string form;    ///< e.g. "tar+zfile(lz4,4096)+lsmt"
    bool compressed = false;
    std::array<std::byte, 32> identity{};  ///< of the content, the same on every node: image::identity() joins them
    std::shared_ptr<blob_source> blob;
    std::shared_ptr<const lsmt::layer> lsmt;
};

/// Which layer a blob is. An aggregate for the parameters of open_layer.
struct layer_identity {
    std::string name;
    std::string digest;
};

/// Unwraps the blob and opens the LSMT layer in it. Failures begin with "layer NAME: ".
asio::awaitable<result<std::shared_ptr<const opened_layer>>> open_layer(layer_identity who,
                                                                        std::shared_ptr<blob_source> blob,
                                                                        worker_pool& workers);

/// The same for a TurboOCI layer, whose file contents lie in `target`, an uncompressed tar. It is never unwrapped: its
/// sector 0 is the first tar header.
asio::awaitable<result<std::shared_ptr<const opened_layer>>> open_turbo_layer(layer_identity who,
                                                                              std::shared_ptr<blob_source> blob,
                                                                              std::shared_ptr<blob_source> target,
                                                                              worker_pool& workers);

}  // namespace obd::layers

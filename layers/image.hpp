// A stack of layers as one disk.
#pragma once

#include <array>
#include <boost/asio/awaitable.hpp>
#include <memory>
#include <string>
#include <vector>

#include "base/blob_source.hpp"
#include "base/block_device.hpp"
#include "base/result.hpp"
#include "base/worker_pool.hpp"
#include "layers/image_config.hpp"

namespace spdlog {
class logger;
}

namespace obd::layers {

class layer_pool;
class read_stack;
class upper_opener;

/// What opening an image needs. All of it outlives every image that was opened with it.
struct image_services {
    worker_pool& workers;
    layer_pool& pool;         ///< shares opened layers by digest or file identity between images
    blob_provider* registry;  ///< nullptr: remote layers are refused
    spdlog::logger& log;
    upper_opener* uppers = nullptr;  ///< writable_hook.hpp; nullptr: images with a writable layer are refused
};

struct layer_summary {
    std::string name;    ///< digest, else path
    byte_count size;     ///< of the blob or file
    std::string form;    ///< e.g. "tar+zfile(lz4,4096)+lsmt"
    byte_count fetched;  ///< over the network, since it was opened
};

/// Thread-safe as block_device is.
class image : public block_device {
public:
    /// Bottom first; the writable layer, if there is one, last.
    virtual std::vector<layer_summary> layers() const = 0;
    /// SHA-256 over what identifies the content (digests; for local files uuid, index and size), the same on every node
    /// that opens the same layers. A writable image adds its upper's uuid.
    virtual std::array<std::byte, 32> identity() const = 0;
    /// Flushes and closes the writable layer. After it every operation fails. Idempotent.
    virtual asio::awaitable<result<void>> close() = 0;
};

/// Opens all layers (in parallel), merges their indexes once. The failure names the layer, the place and the reason.
/// What the config asks for and this version does not do fails with errc::unsupported, naming the member.
asio::awaitable<result<std::shared_ptr<image>>> open_image(image_config config, image_services services);

/// The read-only layers of a config, opened and merged once for any number of writable layers to stand on
/// (upper_opener). The config's upper and result file are left alone.
asio::awaitable<result<std::shared_ptr<const read_stack>>> open_read_stack(image_config config,
                                                                           image_services services);
/// They alone as a read-only disk. REQUIRES: the stack has a size.
std::shared_ptr<image> read_only_view(std::shared_ptr<const read_stack> stack);

}  // namespace obd::layers

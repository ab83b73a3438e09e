// Layers that are open, shared between images: parsed indexes and jump tables exist once for each digest or file.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "base/blob_source.hpp"
#include "base/result.hpp"
#include "base/worker_pool.hpp"
#include "layers/opened_layer.hpp"

namespace obd::layers {

/// Holds layers weakly: one is closed when the last image that uses it goes. Two that ask for one layer at the same
/// time share one opening. Thread-safe. `workers` outlives the pool.
class layer_pool {
public:
    explicit layer_pool(worker_pool& workers);
    ~layer_pool();

    /// The layer in a local file. Files are told apart by device, inode, size and modification time. `digest` may be
    /// empty; where the user gave one it names the layer.
    asio::awaitable<result<std::shared_ptr<const opened_layer>>> open_file(std::filesystem::path path,
                                                                           std::string digest);
    /// The layer in a registry's blob, shared by digest.
    asio::awaitable<result<std::shared_ptr<const opened_layer>>> open_remote(remote_blob blob, blob_provider& provider);

    /// How many layers are open, for metrics.
    std::size_t size() const;

private:
    struct state;
    std::unique_ptr<state> state_;
};

}  // namespace obd::layers

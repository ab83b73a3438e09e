// Blobs and manifests into a registry (OCI distribution specification, "Push").
#pragma once

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <memory>
#include <string>

#include "base/blob_source.hpp"
#include "base/result.hpp"
#include "base/units.hpp"

namespace obd::registry {

struct blob_upload {
    std::string digest;                             ///< of all of `from`; the registry checks it
    std::shared_ptr<blob_source> from;              ///< read in order, once, and parts again after a broken connection
    std::uint32_t chunk_bytes = 8 << 20;            ///< what is held in memory; a smaller blob goes in one request
    std::function<void(byte_count sent)> progress;  ///< may be empty; called on the caller's executor
};

/// One repository that is pushed to. Thread-safe; several uploads may run at the same time. Made by client::push_to().
class pusher {
public:
    virtual ~pusher() = default;

    virtual asio::awaitable<result<bool>> has_blob(std::string digest) = 0;

    /// Takes the blob over from another repository of the same registry. False: the registry won't, upload it.
    virtual asio::awaitable<result<bool>> mount_blob(std::string digest, std::string from_repository) = 0;

    /// Does nothing if the blob is there already. A broken connection is taken up again where the registry says it
    /// stands.
    virtual asio::awaitable<result<void>> upload(blob_upload what) = 0;

    /// `target`: the tag, or the digest for a manifest without one. Returns the digest. The blobs must be there
    /// already.
    virtual asio::awaitable<result<std::string>> put_manifest(std::string target, std::string bytes,
                                                              std::string media_type) = 0;
};

}  // namespace obd::registry

// A read-only sequence of bytes that may be near (a file) or far (a blob in a registry). registry/ and
// layers/local_blob make them, layers/ reads them.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <memory>
#include <string>
#include <string_view>

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "base/units.hpp"

namespace obd {

namespace asio = boost::asio;

/// What a try_… call on the hot path did.
enum class attempt {
    complete,     ///< all of it is done
    would_block,  ///< not in place: call the awaitable form, which starts anew and reports errors. The buffer's content
                  ///< is undefined.
};

/// Immutable and shared by all threads: every member may be called from any thread at any time.
class blob_source {
public:
    virtual ~blob_source() = default;

    /// Path or digest, for messages.
    virtual std::string_view name() const noexcept = 0;
    virtual byte_count size() const noexcept = 0;

    /// Fills `out` from `offset` if that needs no waiting (page cache, memory). Never blocks, never allocates.
    virtual attempt try_read(byte_offset offset, mutable_bytes out) noexcept = 0;

    /// Fills all of `out` from `offset` or fails: out_of_range past the end, io_error, unavailable, timed_out …
    /// `out` is borrowed until the operation completes. Completes on the caller's executor. Obeys cancellation where it
    /// can.
    virtual asio::awaitable<result<void>> read(byte_offset offset, mutable_bytes out) = 0;

    /// The bytes read from there did not pass a checksum: forget any cached copy, so that the next read fetches them
    /// anew. Returns false where there is no other copy to fetch (a local file), so that a retry is pointless.
    virtual bool discard_cached(byte_offset offset, byte_count count) noexcept = 0;

    /// Starts fetching, if far, without waiting for it. A hint.
    virtual void prefetch(byte_offset offset, byte_count count) noexcept = 0;

    /// Bytes fetched over the network on behalf of this source so far.
    virtual byte_count fetched() const noexcept { return {0}; }
};

/// Where a blob lies in a registry.
struct remote_blob {
    std::string repo_blob_url;  ///< http(s)://host[:port]/v2/<name>/blobs, no trailing slash
    std::string digest;         ///< sha256:<hex>
    byte_count size;            ///< 0: unknown
};

/// Gives access to blobs that are not local. registry/ implements it, layers/image uses it. Thread-safe.
class blob_provider {
public:
    virtual ~blob_provider() = default;
    /// Sources of one digest are shared as long as someone holds one.
    virtual asio::awaitable<result<std::shared_ptr<blob_source>>> open(remote_blob blob) = 0;
};

}  // namespace obd

// An image whose topmost layer can be written: the interface that the server snapshots, grows and watches. Reading and
// writing go through block_device as for any image.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "base/result.hpp"
#include "base/units.hpp"
#include "layers/image.hpp"
#include "layers/writable_hook.hpp"

namespace obd::layers {

/// The two formats of a writable layer (docs/formats/lsmt.md). Both read and written by overlaybd.
enum class upper_kind {
    append_only,  ///< a log of the writes and a journal that indexes it; overwrites occupy space until a commit
    sparse,       ///< an image of the disk in a sparse file; overwrites go in place
};

const char* name_of(upper_kind kind) noexcept;

struct upper_paths {
    std::filesystem::path data;
    std::filesystem::path index;
};

/// DIR/writable_data and DIR/writable_index, the names that containerd's overlaybd snapshotter uses.
upper_paths upper_paths_in(const std::filesystem::path& directory);

struct create_upper_options {
    upper_paths paths;
    upper_kind kind = upper_kind::append_only;
    byte_count virtual_size;  ///< a multiple of 512; 0: that of the layers below, taken when it is first opened
    std::string uuid;         ///< empty: a random one
    std::string parent_uuid;  ///< empty: none
};

/// Makes an empty writable layer. Neither file may exist (already_exists); what was made is removed again on failure.
/// Durable when it returns. Blocks.
result<void> create_upper(const create_upper_options& options);

struct upper_statistics {
    upper_kind kind = upper_kind::append_only;
    upper_paths paths;
    std::string uuid;
    byte_count virtual_size;
    byte_count data_used;                ///< of the data file: the log's length, or the blocks written so far
    byte_count index_used;               ///< journal or side file
    byte_count quota;                    ///< on data_used + index_used; 0: none
    std::uint64_t mappings = 0;          ///< entries of the index in memory
    std::uint64_t flushes = 0;           ///< times the files were synced; many callers share one
    std::uint64_t repaired_entries = 0;  ///< dropped or recovered when it was opened after a crash
};

/// What a snapshot made, given to snapshot_request::publish and returned by snapshot().
struct snapshot_layers {
    std::filesystem::path sealed;  ///< the former upper's data file: now a read-only layer, the topmost one
    upper_paths upper;             ///< the new upper
};

struct snapshot_request {
    /// Opened when the data file exists (it must be empty and not larger than the disk), else made as `kind`.
    upper_paths upper;
    upper_kind kind = upper_kind::append_only;
    /// Called when the old upper is sealed and durable, before anything can be written to the new one: record the new
    /// stack there, durably (lowers + sealed, upper). When it fails the old upper goes on being written and the
    /// snapshot fails. Blocks a worker; may be empty.
    std::function<result<void>(const snapshot_layers&)> publish;
};

struct snapshot_report {
    snapshot_layers layers;
    std::chrono::microseconds pause{0};  ///< for which writes waited; reads went on
};

/// Thread-safe as block_device is.
class writable_image : public image {
public:
    virtual upper_statistics statistics() const = 0;

    /// Seals the upper in place and goes on with a new one on top of it, under running I/O. One at a time: busy.
    virtual asio::awaitable<result<snapshot_report>> snapshot(snapshot_request request) = 0;

    /// The disk has this size from now on, also after a re-open. Growing only: shrinking fails with invalid_argument.
    virtual asio::awaitable<result<void>> resize(byte_count virtual_size) = 0;

    /// Writes fail with out_of_space rather than let data_used + index_used exceed this. 0: no quota.
    virtual void set_quota(byte_count most) noexcept = 0;
};

/// The image as a writable one, or nullptr when it is read-only.
std::shared_ptr<writable_image> as_writable(const std::shared_ptr<image>& opened);

/// What image_services::uppers points to in programs that write. Opening repairs what a crash left (and logs it); it
/// never refuses a layer because of an unfinished write. Has no state; thread-safe.
class writable_layers final : public upper_opener {
public:
    asio::awaitable<result<std::shared_ptr<image>>> open(upper_config upper, std::shared_ptr<const read_stack> lowers,
                                                         image_services services) override;
};

}  // namespace obd::layers

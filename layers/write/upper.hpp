// One writable layer: its files and its index, without what lies below it. append_upper and sparse_upper are the two
// formats; writable_image puts one on top of a read_stack.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "layers/write/file_io.hpp"
#include "layers/write/upper_index.hpp"
#include "layers/write/writable_image.hpp"

namespace obd::layers {

/// What opening found amiss and, unless it was opened read-only, put right.
struct repair_report {
    std::uint64_t recovered_entries = 0;  ///< written before a crash, not yet in the journal
    std::uint64_t dropped_entries = 0;    ///< never completed: their blocks keep the old content
    std::uint64_t truncated_bytes = 0;    ///< behind the last thing that is referred to
    std::vector<std::string> notes;       ///< a sentence each, for the log

    bool clean() const { return notes.empty(); }
};

struct upper_usage {
    byte_count data;
    byte_count index;
    std::uint64_t flushes = 0;
};

/// The fields of a writable layer's headers.
struct upper_identity {
    upper_kind kind = upper_kind::append_only;
    byte_count virtual_size;
    std::string uuid;
    std::string parent_uuid;
    std::string user_tag;
};

/// Thread-safe. Calls block unless said otherwise. The caller serialises calls whose ranges overlap (range_lock);
/// ranges lie within the virtual size.
class upper {
public:
    virtual ~upper() = default;

    const upper_identity& identity() const noexcept { return identity_; }
    const upper_paths& paths() const noexcept { return paths_; }
    const repair_report& repairs() const noexcept { return repairs_; }
    const upper_index& index() const noexcept { return index_; }
    /// Holds the data of a mapping at its moffset.
    file& data() const noexcept { return *data_; }
    /// The same, to outlive the layer.
    const std::shared_ptr<file>& data_file() const noexcept { return data_; }

    /// What is written or zeroed must cover whole units of this size, counted from `unit_bias_bytes` before the
    /// beginning of the disk, or lie where the layer has data already. 512 when there is no such rule.
    virtual std::uint64_t unit_bytes() const noexcept = 0;
    virtual std::uint64_t unit_bias_bytes() const noexcept = 0;
    /// Whether data, once written, stays where it is: then a reader needs no lock on its range.
    virtual bool data_is_immutable() const noexcept = 0;
    /// What one write makes durable as a whole.
    virtual std::uint32_t max_atomic_write_bytes() const noexcept = 0;

    /// As write(), but declines instead of waiting for a flush. May write to the page cache.
    virtual attempt try_write(sector start, const_bytes bytes) noexcept = 0;
    /// Survives the death of the process when it returns, and a power failure after the next flush. out_of_space,
    /// io_error.
    virtual result<void> write(sector start, const_bytes bytes) = 0;
    /// The range reads as zeros and hides what lies below.
    virtual result<void> zero(sector_range range) = 0;
    virtual result<void> flush() = 0;
    /// As zero() of the whole disk and flush(); afterwards the files hold nothing that was written before. REQUIRES:
    /// nobody writes.
    virtual result<void> erase();
    /// True when so much awaits a flush that one should be started.
    virtual bool wants_flush() const noexcept = 0;

    /// Grows the disk, durably. Shrinks it too, but only a layer that no device stands on: what lies behind the new
    /// end stays in the index and is of no meaning.
    virtual result<void> resize(byte_count virtual_size) = 0;
    /// Flushes and makes the data file a read-only layer, durably. REQUIRES: nobody writes.
    virtual result<void> seal() = 0;
    /// Takes a seal back: the layer can be written again.
    virtual result<void> unseal() = 0;
    /// Flushes and removes the side file. Nothing may be called afterwards.
    virtual result<void> close() = 0;
    /// After a seal that stands: removes the side file, which describes nothing any more.
    virtual result<void> remove_side_file() = 0;

    virtual upper_usage usage() const = 0;
    void set_quota(byte_count most) noexcept { quota_.store(most.value, std::memory_order_relaxed); }
    byte_count quota() const noexcept { return {quota_.load(std::memory_order_relaxed)}; }

protected:
    std::shared_ptr<file_system> files_;
    upper_paths paths_;
    upper_identity identity_;
    std::shared_ptr<file> data_;
    upper_index index_;
    repair_report repairs_;
    std::atomic<std::uint64_t> quota_{0};
};

/// How open_upper opens.
struct upper_opening {
    std::shared_ptr<file_system> files;
    upper_paths paths;
    byte_count inherited_size;  ///< for a layer whose own virtual size is 0: that of the layers below
    enum class access {
        read_only,  ///< for commit and inspection: nothing is repaired or written
        read_write,
    } mode = access::read_write;
};

/// Either kind, told by the header. Fails with not_found, busy (another program writes it), corrupt (a header that is
/// none), io_error; never because of unfinished writes.
result<std::shared_ptr<upper>> open_upper(const upper_opening& how);

}  // namespace obd::layers

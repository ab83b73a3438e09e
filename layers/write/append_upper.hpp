// The append-only writable layer: a log of what was written and a journal that says what it is.
// docs/formats/lsmt.md, "Writable layers".
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "layers/write/pending_log.hpp"
#include "layers/write/upper_files.hpp"

namespace obd::layers {

class append_upper final : public upper {
public:
    /// Takes the opened files; replays the journal and what a crash left beside it.
    static result<std::shared_ptr<upper>> open(const upper_opening& how, upper_files files);

    std::uint64_t unit_bytes() const noexcept override { return sector_bytes; }
    std::uint64_t unit_bias_bytes() const noexcept override { return 0; }
    bool data_is_immutable() const noexcept override { return true; }
    std::uint32_t max_atomic_write_bytes() const noexcept override;

    attempt try_write(sector start, const_bytes bytes) noexcept override;
    result<void> write(sector start, const_bytes bytes) override;
    result<void> zero(sector_range range) override;
    result<void> flush() override;
    result<void> erase() override;
    bool wants_flush() const noexcept override;

    result<void> resize(byte_count virtual_size) override;
    result<void> seal() override;
    result<void> unseal() override;
    result<void> close() override;
    result<void> remove_side_file() override;
    upper_usage usage() const override;

private:
    struct replay;  // append_replay.cpp

    append_upper() = default;
    /// Space in the log; out_of_space when the quota forbids it.
    result<sector> reserve(std::uint64_t sectors) noexcept;
    void give_back(sector start, std::uint64_t sectors) noexcept;
    /// Makes mappings visible and pending, in one step. False when the pending log has no room.
    bool publish(std::span<const lsmt::mapping> mappings, std::span<const std::uint32_t> crcs);
    result<void> publish_waiting(std::span<const lsmt::mapping> mappings, std::span<const std::uint32_t> crcs);
    /// Writes the payload to the log, without making it visible.
    result<void> put_payload(sector start, const_bytes bytes, std::vector<lsmt::mapping>& mappings,
                             std::vector<std::uint32_t>& crcs);
    result<void> check_usable() const;
    result<void> sync(file& which);
    std::uint64_t journal_entries() const noexcept;

    std::shared_ptr<file> journal_;
    std::unique_ptr<pending_log> log_;

    std::atomic<std::uint64_t> tail_{0};     ///< sector of the data file at which the next payload goes
    std::atomic<std::uint64_t> settled_{0};  ///< entries in the journal
    std::atomic<std::uint64_t> waiting_{0};  ///< pending_.size()
    std::atomic<std::uint64_t> flushes_{0};
    std::atomic<bool> failed_{false};  ///< a sync failed: what is on disk is not known any more

    std::mutex publish_mutex_;  ///< order of the journal = order of the index. Held for no I/O.
    std::vector<lsmt::packed_mapping> pending_;
    std::mutex flush_mutex_;  ///< one flush at a time
};

}  // namespace obd::layers

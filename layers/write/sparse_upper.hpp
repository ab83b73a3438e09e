// The sparse writable layer: an image of the disk whose holes show what lies below. docs/formats/lsmt.md, "Writable
// layers"; what the format itself cannot say is in the side file, docs/formats/side-files.md.
#pragma once

#include <atomic>
#include <memory>

#include "layers/write/discard_map.hpp"
#include "layers/write/upper_files.hpp"

namespace obd::layers {

class sparse_upper final : public upper {
public:
    static result<std::shared_ptr<upper>> open(const upper_opening& how, upper_files files);

    /// The file system's block: it cannot tell data from a hole in smaller pieces.
    std::uint64_t unit_bytes() const noexcept override { return data_->block_bytes(); }
    /// The disk begins behind the header, which need not be a whole block.
    std::uint64_t unit_bias_bytes() const noexcept override { return lsmt::header_space_bytes; }
    bool data_is_immutable() const noexcept override { return false; }
    std::uint32_t max_atomic_write_bytes() const noexcept override { return 0; }

    attempt try_write(sector start, const_bytes bytes) noexcept override;
    result<void> write(sector start, const_bytes bytes) override;
    result<void> zero(sector_range range) override;
    result<void> flush() override;
    bool wants_flush() const noexcept override { return false; }

    result<void> resize(byte_count virtual_size) override;
    result<void> seal() override;
    result<void> unseal() override;
    result<void> close() override;
    result<void> remove_side_file() override;
    upper_usage usage() const override;

private:
    sparse_upper() = default;
    result<void> load();
    result<void> check_usable() const;
    result<void> sync_all();
    /// Sectors of the range that hold no data yet.
    static std::uint64_t without_data(std::span<const segment> parts) noexcept;
    /// Writes in place and takes the range into the index; `fresh` sectors of it had no data.
    result<void> put(sector start, const_bytes bytes, std::uint64_t fresh);

    std::unique_ptr<discard_map> map_;
    std::atomic<std::uint64_t> data_sectors_{0};
    std::atomic<std::uint64_t> flushes_{0};
    std::atomic<bool> dirty_{false};
    std::atomic<bool> failed_{false};  ///< a sync failed: what is on disk is not known any more
};

}  // namespace obd::layers

// A disk to write on over another one that stays as it is: what becomes the next layer of an image.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <vector>

#include "base/result.hpp"
#include "layers/fs/sync_disk.hpp"

namespace obd::fs {

/// Keeps what is written in a nameless temporary file. Granularity: 4096 bytes.
class scratch_disk final : public sync_disk {
public:
    /// `below` may be nullptr: all zeros. It outlives this disk; beyond its end there are zeros.
    static result<std::unique_ptr<scratch_disk>> create(sync_disk* below, byte_count size,
                                                        const std::filesystem::path& directory);
    ~scratch_disk() override;

    byte_count size() const noexcept override { return size_; }
    result<void> read(byte_offset offset, mutable_bytes out) override;
    result<void> write(byte_offset offset, const_bytes data) override;
    result<void> discard(byte_offset offset, byte_count count) override;
    void forget(byte_offset offset, byte_count count) noexcept override;
    result<void> flush() override { return {}; }

    struct change_visitor {
        std::function<result<void>(byte_offset, const_bytes)> data;
        std::function<result<void>(byte_offset, byte_count)> zeroed;
    };
    /// What differs from the disk below, in ascending order; written blocks that are the same as below are left out.
    result<void> visit_changes(const change_visitor& visitor);

private:
    scratch_disk(sync_disk* below, byte_count size, int descriptor);
    bool is_written(std::uint64_t block) const { return (written_[block / 64] >> (block % 64) & 1) != 0; }
    void set_written(std::uint64_t block) { written_[block / 64] |= std::uint64_t{1} << (block % 64); }
    /// The first block from `block` on that was written, or the end.
    std::uint64_t next_written(std::uint64_t block) const;
    result<void> read_below(byte_offset offset, mutable_bytes out);
    result<void> read_file(byte_offset offset, mutable_bytes out);
    result<void> write_file(byte_offset offset, const_bytes data);
    result<void> visit_blocks(std::uint64_t first, const_bytes now, const change_visitor& visitor);

    sync_disk* below_;
    byte_count size_;
    int descriptor_;
    std::uint64_t blocks_;
    std::vector<std::uint64_t> written_;  ///< a bit a block: 2 MiB for 64 GiB
};

}  // namespace obd::fs

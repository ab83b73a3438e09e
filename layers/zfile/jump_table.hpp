// Where each block of a ZFile lies: the on-disk list of lengths as a table of positions, 4⅛ bytes a block.
#pragma once

#include <cstdint>
#include <vector>

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "layers/zfile/header.hpp"

namespace obd::layers::zfile {

/// Immutable; may be used from any thread.
class jump_table {
public:
    jump_table() = default;
    /// `raw` is the index as it lies on disk, 4 bytes a block. Checks its CRC where there is one, each length, and that
    /// the last block ends where the index begins.
    static result<jump_table> decode(const_bytes raw, const parameters& info);

    std::uint64_t blocks() const noexcept { return blocks_; }
    /// Byte position in the unwrapped file of block `index`; for index == blocks(), of the end of the last block.
    std::uint64_t offset_of(std::uint64_t index) const noexcept {
        return group_base_[index / group_blocks] + delta_[index];
    }
    /// Bytes of the block on disk, its CRC included.
    std::uint32_t stored_bytes(std::uint64_t index) const noexcept {
        return static_cast<std::uint32_t>(offset_of(index + 1) - offset_of(index));
    }

private:
    static constexpr std::uint64_t group_blocks = 64;

    std::uint64_t blocks_ = 0;
    std::vector<std::uint64_t> group_base_;
    std::vector<std::uint32_t> delta_;  ///< from the base of the block's group; blocks_ + 1 of them
};

}  // namespace obd::layers::zfile

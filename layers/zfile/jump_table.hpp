// Where each block of a ZFile lies: the on-disk list of lengths as a table of positions, 4⅛ bytes a block.
#pragma once

#include <cstdint>
#include <vector>

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "layers/zfile/header.hpp"

namespace obd::layers::zfile {

/// Immutable once built; may then be used from any thread.
class jump_table {
public:
    std::uint64_t blocks() const noexcept { return delta_.size() - 1; }
    /// Byte position in the unwrapped file of block `index`; for index == blocks(), of the end of the last block.
    std::uint64_t offset_of(std::uint64_t index) const noexcept {
        return group_base_[index / group_blocks] + delta_[index];
    }
    /// Bytes of the block on disk, its CRC included.
    std::uint32_t stored_bytes(std::uint64_t index) const noexcept {
        return static_cast<std::uint32_t>(offset_of(index + 1) - offset_of(index));
    }

private:
    friend class jump_table_builder;
    /// A group of the longest blocks there are stays far below 2^32 bytes.
    static constexpr std::uint64_t group_blocks = 64;

    std::vector<std::uint64_t> group_base_{header_space_bytes};
    std::vector<std::uint32_t> delta_{0};  ///< from the base of the block's group; blocks() + 1 of them
};

/// Takes the index in pieces, so that a file that claims a huge one is refused at its first bad length and not after
/// memory was set aside for all of it.
class jump_table_builder {
public:
    explicit jump_table_builder(const parameters& info) : info_(info) {}

    /// The next piece of the index as it lies on disk. errc::corrupt when a length is impossible.
    /// REQUIRES: raw.size() is a multiple of 4.
    result<void> append(const_bytes raw);
    /// Checks the index's CRC where there is one, and that the last block ends where the index begins.
    /// REQUIRES: info.blocks lengths were appended.
    result<jump_table> finish() &&;

private:
    parameters info_;
    jump_table table_;
    std::uint64_t position_ = header_space_bytes;
    std::uint32_t crc_ = 0;
};

}  // namespace obd::layers::zfile

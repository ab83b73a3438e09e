#include "layers/zfile/jump_table.hpp"

#include <string>
#include <utility>

#include "base/crc32c.hpp"

namespace obd::layers::zfile {

result<void> jump_table_builder::append(const_bytes raw) {
    const std::uint32_t smallest = info_.verify ? block_crc_bytes + 1 : 1;
    const std::uint32_t largest = max_stored_block_bytes(info_.block_bytes);
    crc_ = crc32c_raw(raw, crc_);
    for (byte_reader lengths(raw); lengths.remaining() > 0;) {
        const auto length = lengths.little<std::uint32_t>();
        const std::uint64_t next = table_.blocks() + 1;
        if (length < smallest || length > largest || length > info_.index_offset - position_) {
            return fail(errc::corrupt, "zfile jump table at byte " + std::to_string(info_.index_offset) + ": block " +
                                           std::to_string(next - 1) + " has " + std::to_string(length) + " bytes");
        }
        position_ += length;
        if (next % jump_table::group_blocks == 0) table_.group_base_.push_back(position_);
        table_.delta_.push_back(static_cast<std::uint32_t>(position_ - table_.group_base_.back()));
    }
    return {};
}

result<jump_table> jump_table_builder::finish() && {
    const std::string place = "zfile jump table at byte " + std::to_string(info_.index_offset);
    if (info_.index_crc && *info_.index_crc != crc_) return fail(errc::corrupt, place + ": its crc does not match");
    if (position_ != info_.index_offset) {
        return fail(errc::corrupt, place + ": the last block ends at byte " + std::to_string(position_));
    }
    table_.delta_.shrink_to_fit();
    return std::move(table_);
}

}  // namespace obd::layers::zfile

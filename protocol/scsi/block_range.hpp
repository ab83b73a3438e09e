// The LBA range of a medium command, checked.
#pragma once

#include "protocol/scsi/block_limits.hpp"
#include "protocol/scsi/request.hpp"

namespace obd::scsi {

/// As the CDB has it.
struct block_range {
    std::uint64_t first;
    std::uint64_t count;
    std::uint16_t count_at;  ///< byte of the CDB where the count begins, for the field pointer
};

/// SBC-3 §4.5: the addressed blocks must lie within the capacity, also when none is addressed.
inline std::optional<sense> outside(const request& asked, const block_range& range) {
    const auto blocks = asked.blocks();
    const bool fits = range.first < blocks && range.count <= blocks - range.first;
    const bool empty_at_end = range.count == 0 && range.first == blocks;
    if (fits || empty_at_end) return {};
    return senses::lba_out_of_range;
}

/// The initiator's Expected Data Transfer Length against what the CDB makes of the data: for commands where more or
/// fewer bytes mean that the two ends do not agree on what is to be written. Zero when the runner does not know it.
inline bool disagrees_on_data(const request& asked, std::uint32_t data_out_bytes) {
    return asked.what.expected_data_out != 0 && asked.what.expected_data_out != data_out_bytes;
}

/// A count of zero means up to the last block (SBC-3 §5.8, §5.26).
inline block_range up_to_end(const request& asked, block_range range) {
    if (range.count == 0 && range.first < asked.blocks()) range.count = asked.blocks() - range.first;
    return range;
}

/// An operation over the range; the caller sets what else it needs.
inline operation operation_on(const request& asked, operation_kind kind, const block_range& range) {
    operation work;
    work.kind = kind;
    work.offset = to_bytes(lba{range.first}, asked.block_bytes());
    work.count = byte_count{range.count * asked.block_bytes()};
    return work;
}

}  // namespace obd::scsi

// READ, WRITE and their kin: CDB fields to one operation on the device. SBC-3 §5.
#include "protocol/scsi/block_range.hpp"
#include "protocol/scsi/planners.hpp"
#include "protocol/scsi/unit_core.hpp"

namespace obd::scsi::plan {

namespace {

constexpr sense miscompare_during_verify{.key = sense_key::miscompare, .asc = 0x1d, .ascq = 0x00};

block_range range_6(const request& asked) {
    // SBC-2 §5.5: "A TRANSFER LENGTH field set to zero specifies that 256 logical blocks shall be read."
    const std::uint64_t count = asked.byte(4) == 0 ? 256 : asked.byte(4);
    return {.first = asked.big24(1) & 0x1fffff, .count = count, .count_at = 4};
}
block_range range_10(const request& asked) {
    return {.first = asked.big32(2), .count = asked.big16(7), .count_at = 7};
}
block_range range_12(const request& asked) {
    return {.first = asked.big32(2), .count = asked.big32(6), .count_at = 6};
}
block_range range_16(const request& asked) {
    return {.first = asked.big64(2), .count = asked.big32(10), .count_at = 10};
}

std::optional<sense> refuse_transfer(const request& asked, const block_range& range) {
    if (const auto wrong = outside(asked, range)) return wrong;
    if (range.count > max_transfer_blocks(asked.geometry)) return invalid_cdb_field(range.count_at);
    return {};
}

/// FUA, or a write cache that MODE SELECT turned off.
durability durability_of(const request& asked) {
    const bool has_fua = asked.spec.cdb_bytes > 6;
    const bool fua = has_fua && asked.bit(1, 3);
    const bool write_through = !asked.unit.write_cache_enabled.load(std::memory_order_relaxed);
    return fua || write_through ? durability::force_unit_access : durability::write_back;
}

answer read(const request& asked, const block_range& range) {
    if (const auto wrong = refuse_transfer(asked, range)) return *wrong;
    if (range.count == 0) return good();
    auto work = operation_on(asked, operation_kind::read, range);
    work.data_in_bytes = static_cast<std::uint32_t>(work.count.value);
    return work;
}

answer write_as(operation_kind kind, const request& asked, const block_range& range, durability when) {
    if (const auto wrong = refuse_transfer(asked, range)) return *wrong;
    if (range.count == 0) return good();
    auto work = operation_on(asked, kind, range);
    work.data_out_bytes = static_cast<std::uint32_t>(work.count.value);
    work.when = when;
    return work;
}

answer write(const request& asked, const block_range& range) {
    return write_as(operation_kind::write, asked, range, durability_of(asked));
}

/// SBC-3 §5.37: the medium is written and then verified, which the write cache must not satisfy.
answer write_and_verify(const request& asked, const block_range& range) {
    return write_as(operation_kind::write_and_verify, asked, range, durability::force_unit_access);
}

/// SBC-3 §5.29, table 108: BYTCHK.
answer verify(const request& asked, const block_range& range) {
    const auto byte_check = asked.byte(1) >> 1 & 3;
    if (byte_check == 2) return invalid_cdb_field(1, 2);
    if (const auto wrong = refuse_transfer(asked, range)) return *wrong;
    if (range.count == 0) return good();
    const auto kind = byte_check == 0 ? operation_kind::verify : operation_kind::verify_compare;
    auto work = operation_on(asked, kind, range);
    if (byte_check == 1) work.data_out_bytes = static_cast<std::uint32_t>(work.count.value);
    if (byte_check == 3) {
        work.data_out_bytes = asked.block_bytes();
        work.one_block_pattern = true;
    }
    return work;
}

answer synchronize(const request& asked, const block_range& range) {
    if (const auto wrong = outside(asked, range)) return *wrong;
    auto work = operation_on(asked, operation_kind::flush, up_to_end(asked, range));
    work.immediate = asked.bit(1, 1);
    return work;
}

answer pre_fetch(const request& asked, const block_range& range) {
    if (const auto wrong = outside(asked, range)) return *wrong;
    const auto whole = up_to_end(asked, range);
    if (whole.count == 0) return good();
    auto work = operation_on(asked, operation_kind::prefetch, whole);
    work.immediate = asked.bit(1, 1);
    work.early = status::condition_met;
    return work;
}

}  // namespace

answer read_6(const request& asked) {
    return read(asked, range_6(asked));
}
answer read_10(const request& asked) {
    return read(asked, range_10(asked));
}
answer read_12(const request& asked) {
    return read(asked, range_12(asked));
}
answer read_16(const request& asked) {
    return read(asked, range_16(asked));
}
answer write_6(const request& asked) {
    return write(asked, range_6(asked));
}
answer write_10(const request& asked) {
    return write(asked, range_10(asked));
}
answer write_12(const request& asked) {
    return write(asked, range_12(asked));
}
answer write_16(const request& asked) {
    return write(asked, range_16(asked));
}
answer write_and_verify_10(const request& asked) {
    return write_and_verify(asked, range_10(asked));
}
answer write_and_verify_12(const request& asked) {
    return write_and_verify(asked, range_12(asked));
}
answer write_and_verify_16(const request& asked) {
    return write_and_verify(asked, range_16(asked));
}
answer verify_10(const request& asked) {
    return verify(asked, range_10(asked));
}
answer verify_12(const request& asked) {
    return verify(asked, range_12(asked));
}
answer verify_16(const request& asked) {
    return verify(asked, range_16(asked));
}
answer synchronize_cache_10(const request& asked) {
    return synchronize(asked, range_10(asked));
}
answer synchronize_cache_16(const request& asked) {
    return synchronize(asked, range_16(asked));
}
answer pre_fetch_10(const request& asked) {
    return pre_fetch(asked, range_10(asked));
}
answer pre_fetch_16(const request& asked) {
    return pre_fetch(asked, range_16(asked));
}

answer or_write_16(const request& asked) {
    return write_as(operation_kind::or_write, asked, range_16(asked), durability_of(asked));
}

/// SBC-4, WRITE ATOMIC(16): a transfer is all or nothing up to MAXIMUM ATOMIC TRANSFER LENGTH of VPD page B0h.
answer write_atomic_16(const request& asked) {
    const block_range range{.first = asked.big64(2), .count = asked.big16(12), .count_at = 12};
    if (const auto wrong = outside(asked, range)) return *wrong;
    if (range.count > max_atomic_blocks(asked.geometry)) return invalid_cdb_field(range.count_at);
    // One block is all or nothing in any write.
    const bool plain = asked.geometry.max_atomic_write_bytes < asked.block_bytes();
    const auto kind = plain ? operation_kind::write : operation_kind::write_atomic;
    return write_as(kind, asked, range, durability_of(asked));
}

/// SBC-3 §5.2: Data-Out is what to compare with, then what to write.
answer compare_and_write(const request& asked) {
    const block_range range{.first = asked.big64(2), .count = asked.byte(13), .count_at = 13};
    if (const auto wrong = refuse_transfer(asked, range)) return *wrong;
    auto work = operation_on(asked, operation_kind::compare_and_write, range);
    work.data_out_bytes = static_cast<std::uint32_t>(2 * work.count.value);
    // A count of zero is no error, but it is when data comes with it: GOOD would tell that the blocks were equal.
    if (disagrees_on_data(asked, work.data_out_bytes)) return invalid_cdb_field(range.count_at);
    if (range.count == 0) return good();
    work.when = durability_of(asked);
    return work;
}

/// SBC-3 §5.2: "…the INFORMATION field … set to the offset from the start of the Data-Out Buffer to the first byte of
/// data that was not equal". With one block compared over and over, that is the offset within the block.
answer finish_compare(const request& asked, const operation& done, const operation_result& found) {
    if (!found.difference) return good();
    auto why = miscompare_during_verify;
    auto distance = (found.difference->offset - done.offset).value;
    if (done.one_block_pattern) distance %= asked.block_bytes();
    why.information = distance;
    return why;
}

/// SBC-3 §5.8: CONDITION MET when the blocks are, or with IMMED will be, in the cache.
answer finish_pre_fetch(const request&, const operation&, const operation_result&) {
    return completed{.code = status::condition_met};
}

}  // namespace obd::scsi::plan

// WRITE SAME, UNMAP and GET LBA STATUS: what thin provisioning adds. SBC-3 §4.7.
#include <algorithm>

#include "protocol/scsi/block_range.hpp"
#include "protocol/scsi/planners.hpp"
#include "protocol/scsi/unit_core.hpp"

namespace obd::scsi::plan {

namespace {

constexpr std::size_t unmap_header_bytes = 8;
constexpr std::size_t unmap_descriptor_bytes = 16;
constexpr std::size_t lba_status_header_bytes = 8;
constexpr std::size_t lba_status_descriptor_bytes = 16;

struct write_same_flags {
    bool unmap;
    bool no_data;  ///< NDOB
};

/// SBC-3 §5.43. WSNZ is one: a count of zero, "up to the end", would nearly always be more than MAXIMUM WRITE SAME
/// LENGTH, so it is never taken. UNMAP needs a unit that is thin.
answer write_same(const request& asked, const block_range& range, write_same_flags flags) {
    if (flags.unmap && !asked.thin()) return invalid_cdb_field(1, 3);
    if (const auto wrong = outside(asked, range)) return *wrong;
    if (range.count == 0) return invalid_cdb_field(range.count_at);
    if (range.count > max_write_same_blocks(asked.geometry)) return invalid_cdb_field(range.count_at);
    auto work = operation_on(asked, operation_kind::write_same, range);
    work.may_deallocate = flags.unmap;
    work.data_out_bytes = flags.no_data ? 0 : asked.block_bytes();
    if (!flags.no_data && disagrees_on_data(asked, work.data_out_bytes)) return invalid_cdb_field(range.count_at);
    const bool write_through = !asked.unit.write_cache_enabled.load(std::memory_order_relaxed);
    if (write_through) work.when = durability::force_unit_access;
    if (flags.no_data && flags.unmap) {
        work.kind = operation_kind::discard;
        work.may_deallocate = false;
        work.ranges = {{work.offset, work.count}};
    }
    return work;
}

}  // namespace

answer write_same_10(const request& asked) {
    const block_range range{.first = asked.big32(2), .count = asked.big16(7), .count_at = 7};
    return write_same(asked, range, {.unmap = asked.bit(1, 3), .no_data = false});
}

answer write_same_16(const request& asked) {
    const block_range range{.first = asked.big64(2), .count = asked.big32(10), .count_at = 10};
    return write_same(asked, range, {.unmap = asked.bit(1, 3), .no_data = asked.bit(1, 0)});
}

/// SBC-3 §5.28: "A PARAMETER LIST LENGTH set to zero … shall not be considered an error."
answer unmap(const request& asked) {
    const auto bytes = asked.big16(7);
    if (bytes == 0) return good();
    if (bytes < unmap_header_bytes) return senses::parameter_list_length_error;
    return wants_parameters{bytes};
}

answer accept_unmap(const request& asked, const_bytes list) {
    if (list.size() < unmap_header_bytes) return senses::parameter_list_length_error;
    byte_reader reader(list);
    reader.skip(2);
    const auto said = reader.big<std::uint16_t>();  // UNMAP BLOCK DESCRIPTOR DATA LENGTH
    reader.skip(4);
    // What does not fit into the list, or is half a descriptor, is ignored (SBC-3 §5.28.2).
    const auto descriptors = std::min<std::size_t>(said, reader.remaining()) / unmap_descriptor_bytes;
    if (descriptors > max_unmap_descriptors) return invalid_parameter_field(2);

    operation work;
    work.kind = operation_kind::discard;
    for (std::size_t i = 0; i < descriptors; ++i) {
        const auto first = reader.big<std::uint64_t>();
        const auto count = reader.big<std::uint32_t>();
        reader.skip(4);
        const block_range range{.first = first, .count = count, .count_at = 0};
        if (const auto wrong = outside(asked, range)) return *wrong;
        if (count == 0) continue;
        work.ranges.push_back(
            {to_bytes(lba{first}, asked.block_bytes()), {count * std::uint64_t{asked.block_bytes()}}});
    }
    if (work.ranges.empty()) return good();
    return work;
}

/// SBC-3 §5.4. The device tells the extents; finish_get_lba_status() writes them down.
answer get_lba_status(const request& asked) {
    const auto first = asked.big64(2);
    const auto allocation_length = asked.big32(10);
    if (first >= asked.blocks()) return senses::lba_out_of_range;
    const block_range rest{.first = first, .count = asked.blocks() - first, .count_at = 10};
    auto work = operation_on(asked, operation_kind::extents, rest);
    const auto room = allocation_length < lba_status_header_bytes ? 0 : allocation_length - lba_status_header_bytes;
    const auto fit = static_cast<std::uint32_t>(room / lba_status_descriptor_bytes);
    work.extent_limit = std::clamp(fit, 1U, max_lba_status_descriptors);
    return work;
}

answer finish_get_lba_status(const request& asked, const operation&, const operation_result& found) {
    byte_writer out;
    out.zeros(lba_status_header_bytes);
    for (const auto& extent : found.found_extents) {
        // Whole blocks: the device's extents are multiples of them.
        std::uint64_t first = extent.offset.value / asked.block_bytes();
        std::uint64_t left = extent.length.value / asked.block_bytes();
        while (left != 0 &&
               out.size() < lba_status_header_bytes + max_lba_status_descriptors * lba_status_descriptor_bytes) {
            const auto count = static_cast<std::uint32_t>(std::min<std::uint64_t>(left, 0xffff'fff0));
            const bool mapped = extent.state == device_extent::kind::data;
            out.big(first).big(count).big<std::uint8_t>(mapped ? 0 : 1).zeros(3);  // PROVISIONING STATUS
            first += count;
            left -= count;
        }
    }
    // PARAMETER DATA LENGTH counts what follows it.
    store(out.written(), boost::endian::native_to_big(static_cast<std::uint32_t>(out.size() - 4)));
    return give(std::move(out).finish(), asked.big32(10));
}

}  // namespace obd::scsi::plan

#include "protocol/scsi/report_luns.hpp"

#include "protocol/scsi/planners.hpp"
#include "protocol/scsi/request.hpp"

namespace obd::scsi {

lun_field encode_lun(std::uint16_t lun) {
    lun_field field{};
    const bool flat = lun > 0xff;
    field[0] = static_cast<std::byte>(flat ? 0x40 | lun >> 8 : 0);
    field[1] = static_cast<std::byte>(lun & 0xff);
    return field;
}

completed report_luns_of(std::span<const std::uint16_t> luns, const_bytes cdb, sense_format format) {
    // SPC-4 table 235: which kinds of unit to list. The last three are for hierarchies, which there are none of.
    const auto select = std::to_integer<std::uint8_t>(cdb[2]);
    const bool hierarchical = select >= 0x10 && select <= 0x12;
    if (select > 0x02 && !hierarchical) return check_condition(invalid_cdb_field(2), format);
    const bool ordinary = select == 0x00 || select == 0x02 || select == 0x11;
    const bool well_known = select == 0x01 || select == 0x02;
    const auto allocation_length = boost::endian::big_to_native(load<std::uint32_t>(cdb, 6));

    byte_writer out;
    out.zeros(8);
    if (well_known) out.put(report_luns_well_known);
    if (ordinary) {
        for (const auto lun : luns) out.put(encode_lun(lun));
    }
    store(out.written(), boost::endian::native_to_big(static_cast<std::uint32_t>(out.size() - 8)));
    return give(std::move(out).finish(), allocation_length);
}

/// For a unit that is not in an inventory, which answers before the unit is asked.
answer plan::report_luns(const request& asked) {
    constexpr std::uint16_t only[] = {0};
    return report_luns_of(only, asked.what.cdb, sense_format::fixed);
}

}  // namespace obd::scsi

// LOG SENSE and LOG SELECT. SPC-4 §6.7, §6.8 and §7.3.
#include <algorithm>

#include "protocol/scsi/planners.hpp"
#include "protocol/scsi/unit_core.hpp"

namespace obd::scsi::plan {

namespace {

constexpr std::uint8_t subpage_format = 0x40;  // SPF
constexpr std::uint8_t all_subpages = 0xff;

/// A log parameter of the binary list form: FORMAT AND LINKING 11b. SPC-4 §7.3.2.2.
void put_parameter(byte_writer& out, std::uint16_t code, const_bytes value) {
    out.big(code).big<std::uint8_t>(0x03).big(static_cast<std::uint8_t>(value.size())).put(value);
}

std::vector<std::byte> supported_pages(const request&);
std::vector<std::byte> supported_subpages(const request&);

/// SPC-4 §7.3.8. Times are not kept: the interval fields are zero, and no time interval parameter follows to read them
/// by.
std::vector<std::byte> general_statistics(const request& asked) {
    const auto sum = asked.unit.statistics();
    byte_writer values;
    values.big(sum.read_commands).big(sum.write_commands).big(sum.blocks_received).big(sum.blocks_transmitted);
    values.zeros(32);
    const auto value = std::move(values).finish();
    byte_writer out;
    put_parameter(out, 0x0001, value);
    return std::move(out).finish();
}

/// SPC-4 §7.3.9: nothing to report, and no temperature.
std::vector<std::byte> informational_exceptions(const request&) {
    byte_writer out;
    put_parameter(out, 0x0000, std::vector<std::byte>(4));
    return std::move(out).finish();
}

struct log_page {
    std::uint8_t code;
    std::uint8_t subpage;
    std::vector<std::byte> (*body)(const request&);
};

/// In ascending order, as page 00h lists them.
constexpr log_page pages[] = {
    {0x00, 0x00, supported_pages},
    {0x00, all_subpages, supported_subpages},
    {0x19, 0x00, general_statistics},
    {0x2f, 0x00, informational_exceptions},
};

std::vector<std::byte> supported_pages(const request&) {
    std::vector<std::byte> out;
    for (const auto& page : pages) {
        if (page.subpage == 0) out.push_back(std::byte{page.code});
    }
    return out;
}

std::vector<std::byte> supported_subpages(const request&) {
    std::vector<std::byte> out;
    for (const auto& page : pages) {
        out.push_back(std::byte{page.code});
        out.push_back(std::byte{page.subpage});
    }
    return out;
}

const log_page* find_page(std::uint8_t code, std::uint8_t subpage) {
    const auto* found =
        std::ranges::find_if(pages, [&](const log_page& page) { return page.code == code && page.subpage == subpage; });
    return found == std::ranges::end(pages) ? nullptr : found;
}

}  // namespace

answer log_sense(const request& asked) {
    constexpr std::uint8_t cumulative = 1;  // PC = 01b; thresholds and defaults are not there
    const auto control = asked.byte(2) >> 6;
    const auto code = static_cast<std::uint8_t>(asked.byte(2) & 0x3f);
    const auto subpage = asked.byte(3);
    const auto* page = find_page(code, subpage);
    if (page == nullptr) return find_page(code, 0) == nullptr ? invalid_cdb_field(2, 5) : invalid_cdb_field(3);
    const bool lists_pages = code == 0;
    if (!lists_pages && control != cumulative) return invalid_cdb_field(2, 7);
    // SPC-4 §6.8: a PARAMETER POINTER above the last parameter's code is an error.
    const auto pointer = asked.big16(5);
    const std::uint16_t last_parameter = code == 0x19 ? 1 : 0;
    if (pointer > last_parameter) return invalid_cdb_field(5);

    const auto body = page->body(asked);
    byte_writer out;
    out.big(static_cast<std::uint8_t>(code | (subpage != 0 ? subpage_format : 0))).big(subpage);
    out.big(static_cast<std::uint16_t>(body.size())).put(body);
    return give(std::move(out).finish(), asked.big16(7));
}

/// Nothing can be set, and resetting the counters would blind whoever else watches them.
answer log_select(const request& asked) {
    const bool reset = asked.bit(1, 1);  // PCR
    if (reset) return invalid_cdb_field(1, 1);
    if (asked.bit(1, 0)) return invalid_cdb_field(1, 0);  // SP
    if (asked.big16(7) != 0) return invalid_cdb_field(7);
    return good();
}

}  // namespace obd::scsi::plan

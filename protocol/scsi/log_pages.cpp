// LOG SENSE and LOG SELECT. SPC-4 §6.7, §6.8 and §7.3; SBC-3 §6.4 for page 0Ch.
#include <algorithm>

#include "protocol/scsi/block_limits.hpp"
#include "protocol/scsi/planners.hpp"
#include "protocol/scsi/unit_core.hpp"

namespace obd::scsi::plan {

namespace {

constexpr std::uint8_t subpage_format = 0x40;  // SPF
constexpr std::uint8_t all_subpages = 0xff;

enum class linking : std::uint8_t { binary_list = 0x03 };  // SPC-4 §7.3.2, FORMAT AND LINKING

/// In ascending order of their codes.
struct log_parameter {
    std::uint16_t code;
    linking form;
    std::vector<std::byte> value;
};
using parameters = std::vector<log_parameter>;

/// SBC-3, Logical Block Provisioning log page: what the writable layer occupies, and what its quota leaves. In units of
/// the threshold set size (VPD page B2h). Both belong to this unit alone (SCOPE 01b).
parameters provisioning(const request& asked) {
    parameters all;
    const auto usage = asked.unit.device->usage();
    if (!asked.thin() || !usage) return all;
    const auto put = [&](std::uint16_t code, byte_count bytes) {
        const auto sets = bytes.value / threshold_set_bytes(asked.geometry);
        byte_writer value;
        value.big(static_cast<std::uint32_t>(std::min<std::uint64_t>(sets, 0xffff'ffff)));
        value.big<std::uint8_t>(0x01).zeros(3);
        all.push_back({code, linking::binary_list, std::move(value).finish()});
    };
    if (usage->available) put(0x0001, *usage->available);
    // What is begun is used.
    put(0x0002, {align_up(usage->used.value, threshold_set_bytes(asked.geometry))});
    return all;
}

/// SPC-4 §7.3.6. Processing intervals count what had to wait for its device; what was done in place took less than half
/// an interval and is none. Idle time is not known.
parameters general_statistics(const request& asked) {
    constexpr std::uint32_t negative_exponent = 4;  // 10^-4 s
    const auto sum = asked.unit.statistics();
    byte_writer counts;
    counts.big(sum.read_commands).big(sum.write_commands).big(sum.blocks_received).big(sum.blocks_transmitted);
    counts.big(sum.read_intervals).big(sum.write_intervals).zeros(16);  // weighted: of commands with a priority group
    byte_writer interval;
    interval.big(negative_exponent).big<std::uint32_t>(1);
    return {{0x0001, linking::binary_list, std::move(counts).finish()},
            {0x0003, linking::binary_list, std::move(interval).finish()}};
}

/// SPC-4 §7.3.8: nothing to report, and no temperature.
parameters informational_exceptions(const request&) {
    return {{0x0000, linking::binary_list, std::vector<std::byte>(4)}};
}

struct log_page {
    std::uint8_t code;
    parameters (*list)(const request&);  ///< null for page 00h, which lists pages
    needs feature = needs::nothing;
};

/// In ascending order, as page 00h lists them.
constexpr log_page pages[] = {
    {0x00, nullptr},
    {0x0c, provisioning, needs::discard},
    {0x19, general_statistics},
    {0x2f, informational_exceptions},
};

std::vector<std::byte> page_codes(const request& asked) {
    std::vector<std::byte> out;
    for (const auto& page : pages) {
        if (asked.has(page.feature)) out.push_back(std::byte{page.code});
    }
    return out;
}

/// Page 00h/FFh lists every page and subpage, any other code's FFh those of that code.
std::vector<std::byte> subpage_codes(const request& asked, std::uint8_t code) {
    std::vector<std::byte> out;
    for (const auto& page : pages) {
        if (!asked.has(page.feature) || (code != 0 && page.code != code)) continue;
        for (const auto subpage : {std::uint8_t{0}, all_subpages}) {
            out.push_back(std::byte{page.code});
            out.push_back(std::byte{subpage});
        }
    }
    return out;
}

std::vector<std::byte> encode(const parameters& list, std::uint16_t first) {
    byte_writer out;
    for (const auto& one : list) {
        if (one.code < first) continue;
        out.big(one.code).big(static_cast<std::uint8_t>(one.form));
        out.big(static_cast<std::uint8_t>(one.value.size())).put(one.value);
    }
    return std::move(out).finish();
}

using page_body = std::variant<std::vector<std::byte>, sense>;

page_body body_of(const request& asked, const log_page& page, std::uint8_t subpage) {
    constexpr std::uint8_t cumulative = 1;  // PC = 01b; thresholds and defaults are not there
    const auto pointer = asked.big16(5);
    const bool lists_pages = page.code == 0 || subpage == all_subpages;
    if (lists_pages) {
        if (pointer != 0) return invalid_cdb_field(5);
        return subpage == 0 ? page_codes(asked) : subpage_codes(asked, page.code);
    }
    if (asked.byte(2) >> 6 != cumulative) return invalid_cdb_field(2, 7);
    const auto list = page.list(asked);
    // SPC-4 §6.8: a PARAMETER POINTER above the last parameter's code is an error.
    const std::uint16_t last = list.empty() ? 0 : list.back().code;
    if (pointer > last) return invalid_cdb_field(5);
    return encode(list, pointer);
}

}  // namespace

answer log_sense(const request& asked) {
    const auto code = static_cast<std::uint8_t>(asked.byte(2) & 0x3f);
    const auto subpage = asked.byte(3);
    const auto* page = std::ranges::find(pages, code, &log_page::code);
    if (page == std::ranges::end(pages) || !asked.has(page->feature)) return invalid_cdb_field(2, 5);
    if (subpage != 0 && subpage != all_subpages) return invalid_cdb_field(3);
    const auto made = body_of(asked, *page, subpage);
    if (const auto* wrong = std::get_if<sense>(&made)) return *wrong;
    const auto& body = std::get<std::vector<std::byte>>(made);
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

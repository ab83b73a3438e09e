// MODE SENSE. SPC-4 §6.13, §6.14 and §7.5.
#include <algorithm>

#include "protocol/scsi/mode_parameters.hpp"
#include "protocol/scsi/planners.hpp"
#include "protocol/scsi/unit_core.hpp"

namespace obd::scsi {

std::vector<std::byte> block_descriptor_of(const device_geometry& geometry, descriptor_form form) {
    const auto blocks = geometry.size.value / geometry.logical_block_bytes;
    byte_writer out;
    if (form == descriptor_form::long_lba) {
        out.big(blocks).zeros(4).big(geometry.logical_block_bytes);
    } else {
        constexpr std::uint64_t most = 0xffff'ffff;
        out.big(static_cast<std::uint32_t>(std::min(blocks, most)));
        out.big(geometry.logical_block_bytes & 0xff'ffff);  // a reserved byte, then three of length
    }
    return std::move(out).finish();
}

namespace {

constexpr std::uint8_t all_pages = 0x3f;
constexpr std::uint8_t all_subpages = 0xff;
constexpr sense saving_not_supported{.key = sense_key::illegal_request, .asc = 0x39, .ascq = 0x00};

std::vector<std::byte> page_bytes(const request& asked, const mode_page& page, page_control control) {
    auto& unit = asked.unit;
    std::vector<std::byte> bytes;
    if (control == page_control::changeable) {
        const auto shape = page.values({});
        bytes.resize(shape.size());
        const std::size_t header = has_subpage_format(page) ? 4 : 2;
        std::copy_n(shape.begin(), header, bytes.begin());
        if (page.changeable != nullptr) page.changeable(bytes);
    } else {
        mode_settings settings;
        if (control == page_control::current) settings = unit.current_mode();
        if (control == page_control::saved) settings = unit.saved_mode();
        bytes = page.values(settings);
    }
    if (unit.can_save() && page.changeable != nullptr) bytes[0] |= std::byte{0x80};  // PS
    return bytes;
}

/// The pages that the CDB names, or nothing when there is no such page.
std::optional<std::vector<std::byte>> pages_asked_for(const request& asked) {
    const auto control = static_cast<page_control>(asked.byte(2) >> 6);
    const auto code = static_cast<std::uint8_t>(asked.byte(2) & 0x3f);
    const auto subpage = asked.byte(3);
    if (code == all_pages && subpage != 0 && subpage != all_subpages) return {};
    byte_writer out;
    for (const auto& page : mode_pages()) {
        const bool code_matches = code == all_pages || page.code == code;
        const bool subpage_matches = subpage == all_subpages || page.subpage == subpage;
        if (code_matches && subpage_matches) out.put(page_bytes(asked, page, control));
    }
    if (out.size() == 0) return {};
    return std::move(out).finish();
}

std::uint8_t device_specific(const request& asked) {
    constexpr std::uint8_t wp = 0x80;
    constexpr std::uint8_t dpofua = 0x10;
    return asked.unit.write_protected() ? wp | dpofua : dpofua;
}

std::vector<std::byte> descriptors_asked_for(const request& asked, descriptor_form form) {
    const bool disabled = asked.bit(1, 3);  // DBD
    if (disabled) return {};
    return block_descriptor_of(asked.geometry, form);
}

std::optional<sense> refuse_saved(const request& asked) {
    const bool wants_saved = asked.byte(2) >> 6 == 3;
    if (wants_saved && !asked.unit.can_save()) return saving_not_supported;
    return {};
}

}  // namespace

answer plan::mode_sense_6(const request& asked) {
    if (const auto wrong = refuse_saved(asked)) return *wrong;
    const auto pages = pages_asked_for(asked);
    if (!pages) return invalid_cdb_field(2, 5);
    const auto descriptors = descriptors_asked_for(asked, descriptor_form::short_lba);
    byte_writer out;
    out.big(static_cast<std::uint8_t>(3 + descriptors.size() + pages->size()));
    out.zeros(1).big(device_specific(asked)).big(static_cast<std::uint8_t>(descriptors.size()));
    out.put(descriptors).put(*pages);
    return give(std::move(out).finish(), asked.byte(4));
}

answer plan::mode_sense_10(const request& asked) {
    if (const auto wrong = refuse_saved(asked)) return *wrong;
    const auto pages = pages_asked_for(asked);
    if (!pages) return invalid_cdb_field(2, 5);
    const bool long_lba = asked.bit(1, 4);  // LLBAA
    const auto descriptors =
        descriptors_asked_for(asked, long_lba ? descriptor_form::long_lba : descriptor_form::short_lba);
    byte_writer out;
    out.big(static_cast<std::uint16_t>(6 + descriptors.size() + pages->size()));
    out.zeros(1).big(device_specific(asked)).big<std::uint8_t>(long_lba ? 1 : 0).zeros(1);
    out.big(static_cast<std::uint16_t>(descriptors.size())).put(descriptors).put(*pages);
    return give(std::move(out).finish(), asked.big16(7));
}

}  // namespace obd::scsi

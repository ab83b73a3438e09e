// MODE SELECT: a list is taken whole or not at all. SPC-4 §6.11, §6.12 and §7.5.
#include <algorithm>

#include "protocol/scsi/mode_parameters.hpp"
#include "protocol/scsi/planners.hpp"
#include "protocol/scsi/unit_core.hpp"

namespace obd::scsi {

namespace {

struct mode_header {
    std::size_t bytes;
    std::size_t descriptors_at;
    std::size_t descriptors_bytes;
    descriptor_form form;
};

answer begin_select(const request& asked, std::uint32_t bytes) {
    // SPC-4 §6.11: PF = 0 means parameters of the vendor's own form, which there are not.
    const bool page_format = asked.bit(1, 4);
    const bool save = asked.bit(1, 0);
    if (save && !asked.unit.can_save()) return invalid_cdb_field(1, 0);
    if (bytes == 0) return good();
    if (!page_format) return invalid_cdb_field(1, 4);
    return wants_parameters{bytes};
}

/// The block descriptor may be there if it says what is so already: neither length nor capacity can be set.
std::optional<sense> check_descriptor(const request& asked, const_bytes list, const mode_header& header) {
    if (header.descriptors_bytes == 0) return {};
    const auto at = static_cast<std::uint16_t>(header.bytes);
    const auto now = block_descriptor_of(asked.geometry, header.form);
    if (header.descriptors_bytes != now.size()) {
        return invalid_parameter_field(static_cast<std::uint16_t>(header.descriptors_at));
    }
    if (list.size() < header.bytes + now.size()) return senses::parameter_list_length_error;
    const auto sent = list.subspan(header.bytes, now.size());
    // A NUMBER OF LOGICAL BLOCKS of zero or of all ones means "as it is" (SBC-3 §6.5.2).
    const std::size_t number_bytes = header.form == descriptor_form::long_lba ? 8 : 4;
    const auto number = sent.first(number_bytes);
    const bool keeps = std::ranges::all_of(number, [](auto b) { return b == std::byte{0}; }) ||
                       std::ranges::all_of(number, [](auto b) { return b == std::byte{0xff}; }) ||
                       std::ranges::equal(number, const_bytes(now).first(number_bytes));
    if (!keeps) return invalid_parameter_field(at);
    if (!std::ranges::equal(sent.subspan(number_bytes), const_bytes(now).subspan(number_bytes))) {
        return invalid_parameter_field(static_cast<std::uint16_t>(at + number_bytes));
    }
    return {};
}

/// The first bit of `sent` that differs from `now` where `changeable` does not allow it.
std::optional<sense> check_bits(const_bytes sent, const_bytes now, const_bytes changeable, std::size_t at) {
    for (std::size_t i = 2; i < sent.size(); ++i) {
        const auto wrong = std::to_integer<unsigned>((sent[i] ^ now[i]) & ~changeable[i]);
        if (wrong == 0) continue;
        std::uint8_t bit = 7;
        while ((wrong >> bit & 1) == 0) --bit;
        return invalid_parameter_field(static_cast<std::uint16_t>(at + i), bit);
    }
    return {};
}

struct page_taken {
    std::size_t bytes = 0;
    std::optional<sense> wrong = {};
};

/// One page at the front of `rest`, which begins at byte `at` of the list.
page_taken take_page(const_bytes rest, std::size_t at, mode_settings& settings) {
    const auto pointer = static_cast<std::uint16_t>(at);
    const auto first = std::to_integer<std::uint8_t>(rest[0]);
    const bool subpage_format = (first & 0x40) != 0;
    if (rest.size() < (subpage_format ? 4U : 2U)) return {.wrong = senses::parameter_list_length_error};
    const auto subpage = subpage_format ? std::to_integer<std::uint8_t>(rest[1]) : std::uint8_t{0};
    const auto* page = find_mode_page(first & 0x3f, subpage);
    if (page == nullptr || subpage_format != has_subpage_format(*page))
        return {.wrong = invalid_parameter_field(pointer)};
    if ((first & 0x80) != 0) return {.wrong = invalid_parameter_field(pointer, 7)};  // PS is reserved in MODE SELECT

    const auto now = page->values(settings);
    std::vector<std::byte> changeable(now.size());
    if (page->changeable != nullptr) page->changeable(changeable);
    const std::size_t header = subpage_format ? 4 : 2;
    if (!std::equal(rest.begin() + 1, rest.begin() + static_cast<std::ptrdiff_t>(header), now.begin() + 1)) {
        return {.wrong = invalid_parameter_field(static_cast<std::uint16_t>(at + header - 1))};  // PAGE LENGTH
    }
    if (rest.size() < now.size()) return {.wrong = senses::parameter_list_length_error};
    const auto sent = rest.first(now.size());
    if (auto wrong = check_bits(sent, now, changeable, at)) return {.wrong = std::move(wrong)};
    if (page->take != nullptr) page->take(sent, settings);
    return {.bytes = now.size()};
}

answer select(const request& asked, const_bytes list, const mode_header& header) {
    constexpr sense could_not_save{.key = sense_key::hardware_error, .asc = 0x44, .ascq = 0x00};
    if (const auto wrong = check_descriptor(asked, list, header)) return *wrong;
    auto settings = asked.unit.current_mode();
    std::size_t at = header.bytes + header.descriptors_bytes;
    while (at < list.size()) {
        const auto taken = take_page(list.subspan(at), at, settings);
        if (taken.wrong) return *taken.wrong;
        at += taken.bytes;
    }
    const bool save = asked.bit(1, 0);
    if (!asked.unit.set_mode(settings, save, asked.nexus)) return could_not_save;
    return good();
}

}  // namespace

answer plan::mode_select_6(const request& asked) {
    return begin_select(asked, asked.byte(4));
}
answer plan::mode_select_10(const request& asked) {
    return begin_select(asked, asked.big16(7));
}

answer plan::accept_mode_select_6(const request& asked, const_bytes list) {
    if (list.size() < 4) return senses::parameter_list_length_error;
    if (list[0] != std::byte{0}) return invalid_parameter_field(0);  // MODE DATA LENGTH is reserved
    if (list[1] != std::byte{0}) return invalid_parameter_field(1);  // MEDIUM TYPE
    const mode_header header{.bytes = 4,
                             .descriptors_at = 3,
                             .descriptors_bytes = std::to_integer<std::size_t>(list[3]),
                             .form = descriptor_form::short_lba};
    return select(asked, list, header);
}

answer plan::accept_mode_select_10(const request& asked, const_bytes list) {
    if (list.size() < 8) return senses::parameter_list_length_error;
    if (list[0] != std::byte{0} || list[1] != std::byte{0}) return invalid_parameter_field(0);
    if (list[2] != std::byte{0}) return invalid_parameter_field(2);
    const bool long_lba = (list[4] & std::byte{1}) != std::byte{0};
    const auto descriptors = boost::endian::big_to_native(load<std::uint16_t>(list, 6));
    const mode_header header{.bytes = 8,
                             .descriptors_at = 6,
                             .descriptors_bytes = descriptors,
                             .form = long_lba ? descriptor_form::long_lba : descriptor_form::short_lba};
    return select(asked, list, header);
}

}  // namespace obd::scsi

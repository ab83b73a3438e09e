#include "protocol/scsi/mode_pages.hpp"

#include <algorithm>

namespace obd::scsi {

namespace {

constexpr std::uint8_t wce = 0x04;      // caching page, byte 2
constexpr std::uint8_t d_sense = 0x04;  // control page, byte 2
constexpr std::uint8_t swp = 0x08;      // control page, byte 4

bool has(const_bytes page, std::size_t at, std::uint8_t bit) {
    return (std::to_integer<std::uint8_t>(page[at]) & bit) != 0;
}

/// A page of the short form: `bytes` in all, header included.
std::vector<std::byte> short_page(std::uint8_t code, std::size_t bytes) {
    std::vector<std::byte> page(bytes);
    page[0] = std::byte{code};
    page[1] = static_cast<std::byte>(bytes - 2);
    return page;
}

/// SBC-3 §6.5.8. No automatic reallocation, no retries to set: the layers below do what they can, always.
std::vector<std::byte> read_write_error_recovery(const mode_settings&) {
    return short_page(0x01, 12);
}

/// SBC-3 §6.5.5. Reads are cached (RCD = 0); a write is in the volatile cache until a flush when WCE is one.
std::vector<std::byte> caching(const mode_settings& now) {
    auto page = short_page(0x08, 20);
    if (now.write_cache_enabled) page[2] = std::byte{wce};
    return page;
}
void caching_changeable(std::span<std::byte> page) {
    page[2] = std::byte{wce};
}
void take_caching(const_bytes page, mode_settings& into) {
    into.write_cache_enabled = has(page, 2, wce);
}

/// SPC-4 §7.5.8. One task set for all (TST), reordered freely (QUEUE ALGORITHM MODIFIER 1h), aborted tasks end
/// silently (TAS = 0), unit attentions are cleared when reported (UA_INTLCK_CTRL = 00b).
std::vector<std::byte> control(const mode_settings& now) {
    auto page = short_page(0x0a, 12);
    if (now.descriptor_sense) page[2] = std::byte{d_sense};
    page[3] = std::byte{0x10};
    if (now.software_write_protect) page[4] = std::byte{swp};
    return page;
}
void control_changeable(std::span<std::byte> page) {
    page[2] = std::byte{d_sense};
    page[4] = std::byte{swp};
}
void take_control(const_bytes page, mode_settings& into) {
    into.descriptor_sense = has(page, 2, d_sense);
    into.software_write_protect = has(page, 4, swp);
}

/// SPC-4 §7.5.9: IALUAE, implicit ALUA is on.
std::vector<std::byte> control_extension(const mode_settings&) {
    std::vector<std::byte> page(32);
    page[0] = std::byte{0x40 | 0x0a};  // SPF
    page[1] = std::byte{0x01};
    page[3] = std::byte{32 - 4};
    page[4] = std::byte{0x01};
    return page;
}

/// SPC-4, Informational Exceptions Control mode page: DEXCPT, there are no exceptions to report.
std::vector<std::byte> informational_exceptions(const mode_settings&) {
    auto page = short_page(0x1c, 12);
    page[2] = std::byte{0x08};
    return page;
}

constexpr mode_page pages[] = {
    {0x01, 0x00, "Read-Write Error Recovery", "SBC-3 §6.5.8", read_write_error_recovery},
    {0x08, 0x00, "Caching", "SBC-3 §6.5.5", caching, caching_changeable, take_caching},
    {0x0a, 0x00, "Control", "SPC-4 §7.5.8", control, control_changeable, take_control},
    {0x0a, 0x01, "Control Extension", "SPC-4 §7.5.9", control_extension},
    {0x1c, 0x00, "Informational Exceptions Control", "SPC-4, Informational Exceptions Control mode page",
     informational_exceptions},
};

}  // namespace

std::span<const mode_page> mode_pages() noexcept {
    return pages;
}

const mode_page* find_mode_page(std::uint8_t code, std::uint8_t subpage) noexcept {
    const auto* found = std::ranges::find_if(
        pages, [&](const mode_page& page) { return page.code == code && page.subpage == subpage; });
    return found == std::ranges::end(pages) ? nullptr : found;
}

bool has_subpage_format(const mode_page& page) noexcept {
    return page.subpage != 0;
}

}  // namespace obd::scsi

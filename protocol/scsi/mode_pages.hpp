// Mode pages as bytes: what they hold for given settings, and which bits an initiator may change. SPC-4 §7.5, SBC-3
// §6.5.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/bytes.hpp"
#include "protocol/scsi/ports.hpp"

namespace obd::scsi {

struct mode_page {
    std::uint8_t code;
    std::uint8_t subpage;
    std::string_view name;
    std::string_view clause;
    /// The whole page with its header, PS = 0.
    std::vector<std::byte> (*values)(const mode_settings&);
    /// Ones where MODE SELECT may change a bit, in the page's shape; null where it may change nothing.
    void (*changeable)(std::span<std::byte> page) = nullptr;
    /// Takes the changeable bits out of a page that was checked.
    void (*take)(const_bytes page, mode_settings& into) = nullptr;
};

/// In ascending order of code and subpage.
std::span<const mode_page> mode_pages() noexcept;
const mode_page* find_mode_page(std::uint8_t code, std::uint8_t subpage) noexcept;

/// PC of MODE SENSE, the page control field. SPC-4 table 147.
enum class page_control : std::uint8_t { current = 0, changeable = 1, defaults = 2, saved = 3 };

/// SPF: the page has a subpage code and a two-byte length.
bool has_subpage_format(const mode_page& page) noexcept;

}  // namespace obd::scsi

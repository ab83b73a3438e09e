// key=value text of login and text PDUs. RFC 7143 §6.1. Codec only.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.hpp"

namespace obd::iscsi {

/// Views into the text that was parsed.
struct text_pair {
    std::string_view key;
    std::string_view value;
};

/// All pairs of a whole text (continuations joined), or nothing when it breaks §6.1: no '=', an illegal or too long key
/// name, a too long value, a last pair without its zero byte.
std::optional<std::vector<text_pair>> parse_text(std::string_view text);

void append_pair(std::string& text, std::string_view key, std::string_view value);

/// Decimal or 0x hexadecimal, at most 32 bits. Nothing for anything else.
std::optional<std::uint32_t> parse_number(std::string_view value);
/// A binary value: "0x" hexadecimal or "0b" base64. §6.1. Nothing when malformed.
std::optional<std::vector<std::byte>> parse_binary(std::string_view value);
std::string format_binary(const_bytes value);

/// The items of "a,b,c"; empty items are dropped.
std::vector<std::string_view> split_list(std::string_view value);

/// An iSCSI name (§4.2.7): iqn., eui. or naa., legal characters, at most 223 bytes. Upper case is folded, as §4.2.7.2
/// asks.
std::optional<std::string> normalise_name(std::string_view name);

}  // namespace obd::iscsi

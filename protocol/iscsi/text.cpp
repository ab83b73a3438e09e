#include "protocol/iscsi/text.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/limits.hpp"

namespace obd::iscsi {
namespace {

bool is_letter(char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}
bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

// RFC 7143 §6.1: letters, digits, dot, minus, plus, commercial at and underscore; '#' stands in extension keys (X#…,
// Z#…).
bool is_legal_key(std::string_view key) {
    if (key.empty() || key.size() > limits::text_key_name_bytes) return false;
    return std::all_of(key.begin(), key.end(), [](char c) {
        return is_letter(c) || is_digit(c) || c == '.' || c == '-' || c == '+' || c == '@' || c == '_' || c == '#';
    });
}

std::optional<std::uint8_t> base64_digit(char c) {
    if (c >= 'A' && c <= 'Z') return static_cast<std::uint8_t>(c - 'A');
    if (c >= 'a' && c <= 'z') return static_cast<std::uint8_t>(c - 'a' + 26);
    if (is_digit(c)) return static_cast<std::uint8_t>(c - '0' + 52);
    if (c == '+') return std::uint8_t{62};
    if (c == '/') return std::uint8_t{63};
    return std::nullopt;
}

// RFC 4648 §4, with or without the padding.
std::optional<std::vector<std::byte>> from_base64(std::string_view text) {
    const auto end = text.find('=');
    if (end != std::string_view::npos) {
        if (text.size() % 4 != 0 || text.size() - end > 2 ||
            text.substr(end).find_first_not_of('=') != std::string_view::npos) {
            return std::nullopt;
        }
        text = text.substr(0, end);
    }
    if (text.size() % 4 == 1) return std::nullopt;
    std::vector<std::byte> bytes;
    std::uint32_t bits = 0;
    unsigned count = 0;
    for (const char c : text) {
        const auto digit = base64_digit(c);
        if (!digit) return std::nullopt;
        bits = bits << 6 | *digit;
        count += 6;
        if (count >= 8) {
            count -= 8;
            bytes.push_back(static_cast<std::byte>(bits >> count & 0xff));
        }
    }
    return bytes;
}

bool starts_with_radix(std::string_view value, char lower) {
    return value.size() > 2 && value[0] == '0' && (value[1] == lower || value[1] == lower - 'a' + 'A');
}

}  // namespace

std::optional<std::vector<text_pair>> parse_text(std::string_view text) {
    std::vector<text_pair> pairs;
    while (!text.empty()) {
        const auto end = text.find('\0');
        if (end == std::string_view::npos) return std::nullopt;
        const auto pair = text.substr(0, end);
        text.remove_prefix(end + 1);
        if (pair.empty()) continue;  // stray zero bytes: some initiators pad with them
        const auto equals = pair.find('=');
        if (equals == std::string_view::npos) return std::nullopt;
        const text_pair parsed{pair.substr(0, equals), pair.substr(equals + 1)};
        if (!is_legal_key(parsed.key) || parsed.value.size() > limits::text_value_bytes) return std::nullopt;
        pairs.push_back(parsed);
    }
    return pairs;
}

void append_pair(std::string& text, std::string_view key, std::string_view value) {
    text.append(key).append(1, '=').append(value).append(1, '\0');
}

std::optional<std::uint32_t> parse_number(std::string_view value) {
    int base = 10;
    if (starts_with_radix(value, 'x')) {
        value.remove_prefix(2);
        base = 16;
    }
    std::uint32_t number = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number, base);
    if (value.empty() || error != std::errc{} || end != value.data() + value.size()) return std::nullopt;
    return number;
}

std::optional<std::vector<std::byte>> parse_binary(std::string_view value) {
    if (starts_with_radix(value, 'b')) return from_base64(value.substr(2));
    if (!starts_with_radix(value, 'x')) return std::nullopt;
    std::string digits(value.substr(2));
    if (digits.size() % 2 != 0) digits.insert(0, 1, '0');
    return from_hex(digits);
}

std::string format_binary(const_bytes value) {
    return "0x" + to_hex(value);
}

std::vector<std::string_view> split_list(std::string_view value) {
    std::vector<std::string_view> items;
    while (!value.empty()) {
        const auto comma = value.find(',');
        const auto item = value.substr(0, comma);
        if (!item.empty()) items.push_back(item);
        if (comma == std::string_view::npos) break;
        value.remove_prefix(comma + 1);
    }
    return items;
}

std::optional<std::string> normalise_name(std::string_view name) {
    if (name.size() < 5 || name.size() > limits::iscsi_name_bytes) return std::nullopt;
    std::string folded(name);
    for (char& c : folded) {
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
        // Beyond ASCII the name is UTF-8 that the initiator has prepared by stringprep; we compare it byte for byte.
        const bool legal =
            is_letter(c) || is_digit(c) || c == '.' || c == '-' || c == ':' || static_cast<unsigned char>(c) >= 0x80;
        // Not legal, but seen in the field and harmless.
        const bool tolerated = c == '_' || c == '+' || c == '@';
        if (!legal && !tolerated) return std::nullopt;
    }
    constexpr std::array<std::string_view, 3> kinds = {"iqn.", "eui.", "naa."};
    const bool known =
        std::any_of(kinds.begin(), kinds.end(), [&](std::string_view kind) { return folded.starts_with(kind); });
    if (!known) return std::nullopt;
    return folded;
}

}  // namespace obd::iscsi

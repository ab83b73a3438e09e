// Tar headers and pax records as POSIX.1-2017 (pax, "ustar Interchange Format") lays them out.
#include <algorithm>
#include <charconv>
#include <cstring>

#include "layers/tar/wrapper.hpp"

namespace obd::layers::tar {
namespace {

struct field {
    std::size_t offset;
    std::size_t length;
};
constexpr field name_field{0, 100};
constexpr field size_field{124, 12};
constexpr field checksum_field{148, 8};
constexpr std::size_t type_offset = 156;
constexpr field magic_field{257, 5};
constexpr field version_field{263, 2};

std::string_view text_at(const_bytes block, field where) {
    return as_text(block.subspan(where.offset, where.length));
}

/// Octal digits between optional leading spaces and an optional space or NUL; nothing when there is anything else.
std::optional<std::uint64_t> octal(std::string_view text) {
    const auto first = text.find_first_not_of(' ');
    if (first == std::string_view::npos) return 0;
    text.remove_prefix(first);
    const auto digits = text.substr(0, text.find_first_of(std::string_view(" \0", 2)));
    if (digits.empty()) return 0;
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(digits.begin(), digits.end(), value, 8);
    if (error != std::errc{} || end != digits.end()) return std::nullopt;
    return value;
}

/// Sizes of 8 GiB and more: bit 7 of the first byte set, then a big-endian number.
std::optional<std::uint64_t> size_of_member(const_bytes block) {
    const auto bytes = block.subspan(size_field.offset, size_field.length);
    if ((bytes[0] & std::byte{0x80}) == std::byte{0}) return octal(text_at(block, size_field));
    std::uint64_t value = std::to_integer<std::uint64_t>(bytes[0]) & 0x7f;
    for (const std::byte b : bytes.subspan(1)) {
        if (value >> 55 != 0) return std::nullopt;
        value = value << 8 | std::to_integer<std::uint64_t>(b);
    }
    return value;
}

/// POSIX: "the checksum field is treated as all spaces". Old writers summed signed bytes.
bool checksum_matches(const_bytes block) {
    std::int64_t as_unsigned = 0;
    std::int64_t as_signed = 0;
    for (std::size_t i = 0; i < block_bytes; ++i) {
        const bool in_checksum = i >= checksum_field.offset && i < checksum_field.offset + checksum_field.length;
        const auto byte = in_checksum ? std::uint8_t{' '} : std::to_integer<std::uint8_t>(block[i]);
        as_unsigned += byte;
        as_signed += static_cast<std::int8_t>(byte);
    }
    const auto recorded = octal(text_at(block, checksum_field));
    if (!recorded) return false;
    const auto value = static_cast<std::int64_t>(*recorded);
    return value == as_unsigned || value == as_signed;
}

header::kind kind_of(std::byte type) {
    switch (static_cast<char>(type)) {
        case '0':
        case '\0':
        case '7':
            return header::kind::file;
        case 'x':
            return header::kind::pax;
        case 'g':
            return header::kind::pax_global;
        default:
            return header::kind::other;
    }
}

}  // namespace

result<std::optional<header>> decode_header(const_bytes block) {
    const auto magic = text_at(block, magic_field);
    const auto version = text_at(block, version_field);
    const bool finished = magic == "ustar" && version == "00";
    const bool unfinished = magic == "xxtar" && version == "xx";
    if ((!finished && !unfinished) || !checksum_matches(block)) return std::optional<header>{};
    header decoded;
    const auto name = text_at(block, name_field);
    decoded.name = name.substr(0, name.find('\0'));
    decoded.type = unfinished ? header::kind::unfinished : kind_of(block[type_offset]);
    const auto size = size_of_member(block);
    if (!size) return fail(errc::corrupt, "tar header of \"" + decoded.name + "\": bad size field");
    decoded.size = *size;
    return std::optional(std::move(decoded));
}

result<std::optional<std::uint64_t>> size_in_pax(const_bytes records) {
    std::optional<std::uint64_t> size;
    std::string_view rest = as_text(records);
    while (!rest.empty()) {
        // "<length> <keyword>=<value>\n", the length counting all of it.
        std::size_t length = 0;
        const auto [digits_end, error] = std::from_chars(rest.begin(), rest.end(), length);
        const auto digits = static_cast<std::size_t>(digits_end - rest.begin());
        if (error != std::errc{} || length < digits + 2 || length > rest.size() || rest[digits] != ' ' ||
            rest[length - 1] != '\n') {
            return fail(errc::corrupt, "malformed pax record");
        }
        const auto record = rest.substr(digits + 1, length - digits - 2);
        rest.remove_prefix(length);
        const auto equals = record.find('=');
        if (equals == std::string_view::npos) return fail(errc::corrupt, "malformed pax record");
        if (record.substr(0, equals) != "size") continue;
        const auto text = record.substr(equals + 1);
        std::uint64_t value = 0;
        const auto [end, bad] = std::from_chars(text.begin(), text.end(), value);
        if (bad != std::errc{} || end != text.end()) return fail(errc::corrupt, "bad size in a pax record");
        size = value;
    }
    return size;
}

}  // namespace obd::layers::tar

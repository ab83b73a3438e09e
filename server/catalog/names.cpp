#include "server/catalog/names.hpp"

#include <algorithm>
#include <boost/endian/conversion.hpp>
#include <charconv>

#include "base/bytes.hpp"
#include "base/limits.hpp"

namespace obd::server {
namespace {

bool is_letter_or_digit(char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}
bool is_name_character(char c) {
    return is_letter_or_digit(c) || c == '.' || c == '-' || c == ':';
}

/// Makes a legal name of any text: every run of other characters becomes one '-'.
std::string sanitised(std::string_view text) {
    std::string name;
    for (char c : text) {
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
        const bool plain = is_letter_or_digit(c) || c == '.';
        if (plain && (!name.empty() || c != '.')) name.push_back(c);
        if (!plain && !name.empty() && name.back() != '-') name.push_back('-');
    }
    if (name.size() > export_name_characters) name.resize(export_name_characters);
    while (!name.empty() && !is_letter_or_digit(name.back())) name.pop_back();
    return name.empty() ? "image" : name;
}

/// As container tools decide it: the part before the first '/' is a host if it looks like one.
std::string_view without_registry(std::string_view reference) {
    const auto slash = reference.find('/');
    if (slash == std::string_view::npos) return reference;
    const auto first = reference.substr(0, slash);
    const bool host = first.find_first_of(".:[") != std::string_view::npos || first == "localhost";
    return host ? reference.substr(slash + 1) : reference;
}

}  // namespace

result<void> check_export_name(std::string_view name) {
    const bool legal = !name.empty() && name.size() <= export_name_characters && is_letter_or_digit(name.front()) &&
                       std::all_of(name.begin(), name.end(), is_name_character);
    if (legal) return {};
    return fail(
        errc::invalid_argument,
        "name \"" + std::string(name.substr(0, 200)) +
            "\": a name is 1 to 100 lower-case letters, digits, '.', '-' and ':', and begins with a letter or digit");
}

std::string name_from_reference(std::string_view reference) {
    auto rest = without_registry(reference);
    // Twelve digits tell images apart as well as people can.
    const auto digest = rest.find("@sha256:");
    if (digest == std::string_view::npos) return sanitised(rest);
    const auto hex = rest.substr(digest + 8, 12);
    return sanitised(std::string(rest.substr(0, digest)) + "-" + std::string(hex));
}

std::string name_from_config(const std::filesystem::path& config) {
    if (config.filename() != "config.v1.json") return sanitised(config.stem().native());
    return sanitised(config.parent_path().filename().native());
}

result<std::string> target_name(std::string_view given, std::string_view prefix) {
    const bool whole = given.starts_with("iqn.") || given.starts_with("eui.") || given.starts_with("naa.");
    if (!whole) {
        TRYV(check_export_name(given));
    }
    auto name = whole ? std::string(given) : std::string(prefix) + ":" + std::string(given);
    if (name.size() > limits::iscsi_name_bytes || !std::all_of(name.begin(), name.end(), is_name_character)) {
        return fail(errc::invalid_argument, "target \"" + name.substr(0, 300) + "\": not an iSCSI name");
    }
    return name;
}

result<iscsi::redirection> parse_redirect(std::string_view address, iscsi::redirection::kind how) {
    const auto refuse = [&](const std::string& why) {
        return fail(errc::invalid_argument, "redirect to \"" + std::string(address) + "\": " + why);
    };
    // RFC 7143 §13.8: "If the TargetAddress is returned as the result of a redirect status in a login response, the
    // comma and portal-group-tag MUST be omitted."
    if (address.find(',') != std::string_view::npos) return refuse("a redirection has no portal group tag");
    const auto colon = address.rfind(':');
    if (colon == std::string_view::npos || colon == 0) return refuse("want HOST:PORT or [ADDRESS]:PORT");
    const auto host = address.substr(0, colon);
    const auto digits = address.substr(colon + 1);
    std::uint16_t port = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    if (error != std::errc{} || end != digits.data() + digits.size() || port == 0) return refuse("no port");
    const bool bracketed = host.front() == '[' && host.back() == ']';
    constexpr std::string_view plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-";
    constexpr std::string_view v6 = "0123456789abcdefABCDEF:.";
    const bool legal =
        bracketed ? host.size() > 2 && host.substr(1, host.size() - 2).find_first_not_of(v6) == std::string_view::npos
                  : host.find_first_not_of(plain) == std::string_view::npos;
    if (!legal || host.size() > 255) return refuse("no host name or address");
    return iscsi::redirection{std::string(address), how};
}

scsi::identity unit_identity(std::string_view content_hex, std::string_view target) {
    const auto hash = from_hex(content_hex);
    ASSERT(hash && hash->size() == 32);
    const const_bytes bytes(*hash);
    scsi::identity id;
    id.serial = std::string(content_hex.substr(0, 32));
    id.name = std::string(target);
    // NAA 3h: 60 bits that the owner assigns as it likes. SPC-4 §7.8.6.6.4.
    const auto head = boost::endian::big_to_native(load<std::uint64_t>(bytes));
    id.naa = (std::uint64_t{3} << 60) | (head >> 4);
    // EUI-64 based, 16 bytes: identifier extension, company_id, extension. SPC-4 §7.8.6.5.4. The company_id carries the
    // "locally administered" bit, since nobody assigned us one.
    std::copy_n(bytes.begin(), id.eui.size(), id.eui.begin());
    id.eui[8] = (id.eui[8] & std::byte{0xfc}) | std::byte{0x02};
    return id;
}

}  // namespace obd::server

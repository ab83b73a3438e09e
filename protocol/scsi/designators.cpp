// VPD page 83h, Device Identification, and page 88h, SCSI Ports: by what names a unit, its port and its target go.
// SPC-4 §7.8.6 and §7.8.14.
#include <array>
#include <cstdio>

#include "protocol/scsi/inquiry.hpp"
#include "protocol/scsi/unit_core.hpp"
#include "protocol/scsi/vpd_pages.hpp"

namespace obd::scsi {

namespace {

enum class association : std::uint8_t { unit = 0, target_port = 1, target_device = 2 };
enum class code_set : std::uint8_t { binary = 1, ascii = 2, utf_8 = 3 };

constexpr std::uint8_t iscsi_protocol = 5;  // SPC-4 table 470
constexpr std::uint8_t piv = 0x80;          // PROTOCOL IDENTIFIER is valid

code_set code_set_of(std::uint8_t type) {
    if (type == designator::t10_vendor) return code_set::ascii;
    return type == designator::scsi_name_string ? code_set::utf_8 : code_set::binary;
}

void put_designator(byte_writer& out, association of, std::uint8_t type, const_bytes value) {
    const bool unit = of == association::unit;
    const auto protocol = static_cast<std::uint8_t>(unit ? 0 : iscsi_protocol << 4);
    out.big(static_cast<std::uint8_t>(protocol | static_cast<std::uint8_t>(code_set_of(type))));
    out.big(static_cast<std::uint8_t>((unit ? 0 : piv) | static_cast<std::uint8_t>(of) << 4 | type));
    out.zeros(1).big(static_cast<std::uint8_t>(value.size())).put(value);
}

/// UTF-8, ended by a NUL and padded to a multiple of four. SPC-4 §7.8.6.11.
std::vector<std::byte> name_string(std::string_view text) {
    byte_writer out;
    out.put(as_bytes(text)).zeros(4 - text.size() % 4);
    return std::move(out).finish();
}

/// RFC 7143 §4.4.2: target port name.
std::string port_name(const target_port& port) {
    std::array<char, 16> suffix{};
    std::snprintf(suffix.data(), suffix.size(), ",t,0x%04x", static_cast<unsigned>(port.portal_group_tag));
    return port.name + suffix.data();
}

std::string unit_name(const identity& id) {
    std::array<std::byte, 8> naa{};
    store(naa, boost::endian::native_to_big(id.naa));
    return "naa." + to_hex(naa);
}

void put_port_number(byte_writer& out, std::uint8_t type, std::uint16_t number) {
    const std::array<std::byte, 4> value{std::byte{0}, std::byte{0}, std::byte(number >> 8), std::byte(number & 0xff)};
    put_designator(out, association::target_port, type, value);
}

}  // namespace

std::vector<std::byte> unit_designator(const identity& id, std::uint8_t type) {
    byte_writer out;
    if (type == designator::naa && id.naa != 0) out.big(id.naa);
    if (type == designator::eui_64 && id.eui != std::array<std::byte, 16>{}) out.put(id.eui);
    if (type == designator::scsi_name_string && id.naa != 0) out.put(name_string(unit_name(id)));
    if (type == designator::t10_vendor) {
        std::array<char, 8> vendor{};
        put_padded(vendor, id.vendor);
        const auto serial = std::string_view(id.serial).substr(0, 128);
        out.put(std::as_bytes(std::span(vendor))).put(as_bytes(serial));
    }
    return std::move(out).finish();
}

/// Of the target port and the target: all that a well-known logical unit has to name.
std::vector<std::byte> target_identification(const target_port& port) {
    byte_writer out;
    put_port_number(out, designator::relative_target_port, port.relative_port);
    put_port_number(out, designator::target_port_group, port.port_group);
    put_designator(out, association::target_port, designator::scsi_name_string, name_string(port_name(port)));
    put_designator(out, association::target_device, designator::scsi_name_string, name_string(port.name));
    return std::move(out).finish();
}

std::vector<std::byte> device_identification(const request& asked) {
    const auto& id = asked.unit.id;
    byte_writer out;
    for (const auto type :
         {designator::naa, designator::eui_64, designator::t10_vendor, designator::scsi_name_string}) {
        const auto value = unit_designator(id, type);
        if (!value.empty()) put_designator(out, association::unit, type, value);
    }
    out.put(target_identification(asked.nexus.to));
    return std::move(out).finish();
}

std::vector<std::byte> scsi_ports(const request& asked) {
    const auto& port = asked.nexus.to;
    byte_writer names;
    put_designator(names, association::target_port, designator::scsi_name_string, name_string(port_name(port)));
    const auto descriptors = std::move(names).finish();
    byte_writer out;
    out.zeros(2).big(port.relative_port).zeros(4);  // no initiator port TransportID
    out.zeros(2).big(static_cast<std::uint16_t>(descriptors.size())).put(descriptors);
    return std::move(out).finish();
}

}  // namespace obd::scsi

// Standard INQUIRY data. SPC-4 §6.6.2.
#include "protocol/scsi/inquiry.hpp"

#include <algorithm>
#include <array>
#include <boost/endian/arithmetic.hpp>

#include "protocol/scsi/planners.hpp"
#include "protocol/scsi/unit_core.hpp"

namespace obd::scsi {

namespace {

/// SPC-4 table 168.
struct standard_inquiry {
    std::uint8_t peripheral;  // qualifier and device type
    std::uint8_t removable;   // RMB
    std::uint8_t version;
    std::uint8_t format;  // NORMACA, HISUP, RESPONSE DATA FORMAT
    std::uint8_t additional_length;
    std::uint8_t flags_5;  // SCCS, ACC, TPGS, 3PC, PROTECT
    std::uint8_t flags_6;  // ENCSERV, MULTIP
    std::uint8_t flags_7;  // CMDQUE
    std::array<char, 8> vendor;
    std::array<char, 16> product;
    std::array<char, 4> revision;
    std::array<std::uint8_t, 22> vendor_specific_and_reserved;
    std::array<boost::endian::big_uint16_t, 8> version_descriptors;
    std::array<std::uint8_t, 22> reserved;
};
static_assert(sizeof(standard_inquiry) == 96 && alignof(standard_inquiry) == 1);

constexpr std::uint8_t spc_4 = 0x06;
constexpr std::uint8_t hierarchical_luns = 0x10;  // HISUP
constexpr std::uint8_t response_format = 0x02;
constexpr std::uint8_t implicit_alua = 0x10;     // TPGS = 01b
constexpr std::uint8_t third_party_copy = 0x08;  // 3PC
constexpr std::uint8_t multi_port = 0x10;        // MULTIP
constexpr std::uint8_t command_queuing = 0x02;   // CMDQUE
constexpr std::uint8_t removable_medium = 0x80;  // RMB

// SPC-4 annex on version descriptors.
constexpr std::uint16_t sam_5 = 0x00a0;
constexpr std::uint16_t iscsi = 0x0960;
constexpr std::uint16_t spc_4_any = 0x0460;
constexpr std::uint16_t sbc_3 = 0x04c0;

}  // namespace

void put_padded(std::span<char> field, std::string_view text) {
    std::fill(field.begin(), field.end(), ' ');
    std::copy_n(text.begin(), std::min(text.size(), field.size()), field.begin());
}

std::vector<std::byte> standard_inquiry_of(const identity& id, medium_kind medium) {
    standard_inquiry data{};
    data.removable = medium == medium_kind::removable ? removable_medium : 0;
    data.version = spc_4;
    data.format = hierarchical_luns | response_format;
    data.additional_length = sizeof(data) - 5;
    data.flags_5 = implicit_alua | third_party_copy;
    data.flags_6 = multi_port;
    data.flags_7 = command_queuing;
    put_padded(data.vendor, id.vendor);
    put_padded(data.product, id.product);
    put_padded(data.revision, id.revision);
    data.version_descriptors = {boost::endian::big_uint16_t{sam_5}, boost::endian::big_uint16_t{iscsi},
                                boost::endian::big_uint16_t{spc_4_any}, boost::endian::big_uint16_t{sbc_3}};
    const auto bytes = bytes_of(data);
    return {bytes.begin(), bytes.end()};
}

std::vector<std::byte> bare_inquiry(std::uint8_t peripheral) {
    identity nobody;
    auto data = standard_inquiry_of(nobody, medium_kind::fixed);
    data.resize(36);
    data[0] = std::byte{peripheral};
    data[4] = std::byte{36 - 5};
    data[5] = data[6] = std::byte{0};
    return data;
}

answer plan::inquiry(const request& asked) {
    const auto allocation_length = asked.big16(3);
    const bool vital_product_data = asked.bit(1, 0);
    const auto page = asked.byte(2);
    if (vital_product_data) {
        auto data = vpd_page(asked, page);
        if (!data) return invalid_cdb_field(2);
        return give(std::move(*data), allocation_length);
    }
    // SPC-4 §6.6.1: "If the EVPD bit is set to zero, and the PAGE CODE field is not set to zero…"
    if (page != 0) return invalid_cdb_field(2);
    const auto medium = asked.unit.removable ? medium_kind::removable : medium_kind::fixed;
    return give(standard_inquiry_of(asked.unit.id, medium), allocation_length);
}

}  // namespace obd::scsi

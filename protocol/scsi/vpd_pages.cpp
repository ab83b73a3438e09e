// Vital product data pages, one row each. SPC-4 §7.8, SBC-3 §6.6.
#include "protocol/scsi/vpd_pages.hpp"

#include <algorithm>
#include <boost/endian/arithmetic.hpp>

#include "protocol/scsi/block_limits.hpp"
#include "protocol/scsi/inquiry.hpp"
#include "protocol/scsi/unit_core.hpp"

namespace obd::scsi {

namespace {

/// SBC-3 table 166 with the fields that SBC-4 added; without the page's header.
struct block_limits {
    std::uint8_t flags;  // WSNZ
    std::uint8_t max_compare_and_write;
    boost::endian::big_uint16_t optimal_granularity;
    boost::endian::big_uint32_t max_transfer;
    boost::endian::big_uint32_t optimal_transfer;
    boost::endian::big_uint32_t max_prefetch;
    boost::endian::big_uint32_t max_unmap_blocks;
    boost::endian::big_uint32_t max_unmap_descriptors;
    boost::endian::big_uint32_t optimal_unmap_granularity;
    boost::endian::big_uint32_t unmap_alignment;  // UGAVALID in bit 31
    boost::endian::big_uint64_t max_write_same;
    boost::endian::big_uint32_t max_atomic;
    boost::endian::big_uint32_t atomic_alignment;
    boost::endian::big_uint32_t atomic_granularity;
    boost::endian::big_uint32_t max_atomic_with_boundary;
    boost::endian::big_uint32_t max_atomic_boundary;
};
static_assert(sizeof(block_limits) == 60 && alignof(block_limits) == 1);

std::vector<std::byte> supported_pages(const request& asked);

std::vector<std::byte> unit_serial_number(const request& asked) {
    const auto bytes = as_bytes(asked.unit.id.serial);
    return {bytes.begin(), bytes.end()};
}

/// SPC-4 table 598.
std::vector<std::byte> extended_inquiry(const request& asked) {
    constexpr std::uint8_t head_ordered_simple = 0x07;  // HEADSUP, ORDSUP, SIMPSUP
    constexpr std::uint8_t volatile_cache = 0x01;       // V_SUP
    constexpr std::uint8_t clears_luns_changed = 0x01;  // LUICLR
    const bool writes = asked.geometry.access == access_mode::read_write;
    byte_writer out;
    out.big<std::uint8_t>(0).big(head_ordered_simple).big<std::uint8_t>(writes ? volatile_cache : 0);
    out.big(clears_luns_changed).zeros(56);
    return std::move(out).finish();
}

/// SPC-4 §7.8.9: every mode page is shared by all I_T nexuses.
std::vector<std::byte> mode_page_policy(const request&) {
    byte_writer out;
    out.big<std::uint8_t>(0x3f).big<std::uint8_t>(0xff).big<std::uint8_t>(0x00).zeros(1);
    return std::move(out).finish();
}

std::vector<std::byte> block_limits_page(const request& asked) {
    const auto& geometry = asked.geometry;
    const auto block = geometry.logical_block_bytes;
    constexpr std::uint8_t wsnz = 0x01;
    block_limits page{};
    page.flags = wsnz;
    page.optimal_granularity = static_cast<std::uint16_t>(std::max(1U, geometry.preferred_granularity_bytes / block));
    page.max_transfer = static_cast<std::uint32_t>(max_transfer_blocks(geometry));
    page.optimal_transfer = geometry.optimal_transfer_bytes / block;
    if (geometry.access == access_mode::read_write) {
        page.max_compare_and_write = max_compare_blocks;
        page.max_write_same = max_write_same_blocks(geometry);
        page.max_atomic = static_cast<std::uint32_t>(max_atomic_blocks(geometry));
    }
    if (asked.thin()) {
        page.max_unmap_blocks = max_unmap_blocks;
        page.max_unmap_descriptors = max_unmap_descriptors;
        page.optimal_unmap_granularity = std::max(1U, geometry.discard_granularity_bytes / block);
        page.unmap_alignment = 0x8000'0000;
    }
    const auto bytes = bytes_of(page);
    return {bytes.begin(), bytes.end()};
}

/// SBC-3 §6.6.2: no moving parts; VERIFY compares unmapped blocks as zeros (VBULS).
std::vector<std::byte> block_device_characteristics(const request& asked) {
    constexpr std::uint16_t non_rotating = 0x0001;
    constexpr std::uint8_t reads_after_erase = 0x40;  // WABEREQ = 01b: after a block erase, reads succeed
    constexpr std::uint8_t vbuls = 0x01;
    byte_writer out;
    out.big(non_rotating).zeros(1).big<std::uint8_t>(asked.geometry.erasable ? reads_after_erase : 0);
    out.big(vbuls).zeros(55);
    return std::move(out).finish();
}

/// SBC-3 §6.6.4.
std::vector<std::byte> logical_block_provisioning(const request& asked) {
    constexpr std::uint8_t unmap_and_write_same = 0xe0;  // LBPU, LBPWS, LBPWS10
    constexpr std::uint8_t lbprz = 0x04;
    constexpr std::uint8_t thin = 0x02;  // PROVISIONING TYPE
    byte_writer out;
    out.big<std::uint8_t>(asked.thin() ? threshold_exponent : 0);
    out.big<std::uint8_t>(asked.thin() ? unmap_and_write_same | lbprz : 0);
    out.big<std::uint8_t>(asked.thin() ? thin : 0).zeros(1);
    return std::move(out).finish();
}

struct page_row {
    std::uint8_t code;
    std::vector<std::byte> (*body)(const request&);
};

/// In ascending order, as page 00h lists them.
constexpr page_row pages[] = {
    {0x00, supported_pages},
    {0x80, unit_serial_number},
    {0x83, device_identification},
    {0x86, extended_inquiry},
    {0x87, mode_page_policy},
    {0x88, scsi_ports},
    {0x8f, third_party_copy_page},
    {0xb0, block_limits_page},
    {0xb1, block_device_characteristics},
    {0xb2, logical_block_provisioning},
};
static_assert(std::ranges::is_sorted(pages, std::ranges::less_equal{}, &page_row::code));

std::vector<std::byte> supported_pages(const request&) {
    std::vector<std::byte> codes;
    for (const auto& row : pages) codes.push_back(std::byte{row.code});
    return codes;
}

}  // namespace

std::optional<std::vector<std::byte>> vpd_page(const request& asked, std::uint8_t page) {
    const auto* row = std::ranges::find(pages, page, &page_row::code);
    if (row == std::ranges::end(pages)) return {};
    const auto body = row->body(asked);
    byte_writer out;
    out.zeros(1).big(page).big(static_cast<std::uint16_t>(body.size())).put(body);
    return std::move(out).finish();
}

}  // namespace obd::scsi

// READ CAPACITY, and the defect lists of a medium that has no defects. SBC-3 §5.15-5.18.
#include <algorithm>
#include <bit>
#include <boost/endian/arithmetic.hpp>
#include <limits>

#include "protocol/scsi/planners.hpp"
#include "protocol/scsi/request.hpp"

namespace obd::scsi::plan {

namespace {

/// SBC-3 table 41.
struct read_capacity_16_data {
    boost::endian::big_uint64_t last_lba;
    boost::endian::big_uint32_t block_bytes;
    std::uint8_t protection;                // P_TYPE and PROT_EN: none
    std::uint8_t physical_exponent;         // LOGICAL BLOCKS PER PHYSICAL BLOCK EXPONENT
    boost::endian::big_uint16_t alignment;  // LBPME, LBPRZ, LOWEST ALIGNED LOGICAL BLOCK ADDRESS
    std::array<std::uint8_t, 16> reserved;
};
static_assert(sizeof(read_capacity_16_data) == 32 && alignof(read_capacity_16_data) == 1);

constexpr std::uint16_t lbpme = 0x8000;
constexpr std::uint16_t lbprz = 0x4000;

template <typename Wire>
std::vector<std::byte> to_vector(const Wire& wire) {
    const auto bytes = bytes_of(wire);
    return {bytes.begin(), bytes.end()};
}

}  // namespace

answer read_capacity_10(const request& asked) {
    const auto last = asked.blocks() - 1;
    constexpr std::uint64_t most = std::numeric_limits<std::uint32_t>::max();
    byte_writer out;
    out.big(static_cast<std::uint32_t>(std::min(last, most))).big(asked.block_bytes());
    return give(std::move(out).finish(), 8);
}

answer read_capacity_16(const request& asked) {
    const auto per_physical = std::max(1U, asked.geometry.physical_block_bytes / asked.block_bytes());
    read_capacity_16_data data{};
    data.last_lba = asked.blocks() - 1;
    data.block_bytes = asked.block_bytes();
    data.physical_exponent = static_cast<std::uint8_t>(std::bit_width(per_physical) - 1);
    // A discarded block reads as zeros: block_device promises it.
    data.alignment = asked.thin() ? lbpme | lbprz : 0;
    return give(to_vector(data), asked.big32(10));
}

/// The header tells which lists and which format were asked for, and that they are empty. The format is the one asked
/// for: an empty list is right in any.
answer read_defect_data_10(const request& asked) {
    byte_writer out;
    out.big<std::uint8_t>(0).big(static_cast<std::uint8_t>(asked.byte(2) & 0x1f)).big<std::uint16_t>(0);
    return give(std::move(out).finish(), asked.big16(7));
}

answer read_defect_data_12(const request& asked) {
    byte_writer out;
    out.big<std::uint8_t>(0).big(static_cast<std::uint8_t>(asked.byte(1) & 0x1f)).zeros(6);
    return give(std::move(out).finish(), asked.big32(6));
}

}  // namespace obd::scsi::plan

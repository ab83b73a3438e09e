// One command on its way through the device server, as planners see it.
#pragma once

#include <boost/endian/conversion.hpp>

#include "protocol/scsi/command_table.hpp"
#include "protocol/scsi/sense.hpp"

namespace obd::scsi {

class unit_core;
class nexus_core;

struct request {
    unit_core& unit;
    nexus_core& nexus;
    const command& what;
    const command_spec& spec;
    device_geometry geometry;

    std::uint8_t byte(std::size_t at) const { return std::to_integer<std::uint8_t>(what.cdb[at]); }
    bool bit(std::size_t at, unsigned number) const { return (byte(at) >> number & 1) != 0; }
    /// A big-endian field of the CDB.
    std::uint16_t big16(std::size_t at) const {
        return boost::endian::big_to_native(load<std::uint16_t>(what.cdb, at));
    }
    std::uint32_t big24(std::size_t at) const { return static_cast<std::uint32_t>(byte(at)) << 16 | big16(at + 1); }
    std::uint32_t big32(std::size_t at) const {
        return boost::endian::big_to_native(load<std::uint32_t>(what.cdb, at));
    }
    std::uint64_t big64(std::size_t at) const {
        return boost::endian::big_to_native(load<std::uint64_t>(what.cdb, at));
    }

    std::uint32_t block_bytes() const { return geometry.logical_block_bytes; }
    std::uint64_t blocks() const { return geometry.size.value / geometry.logical_block_bytes; }
    bool has(needs feature) const {
        if (feature == needs::discard) return thin();
        return feature != needs::erase || geometry.erasable;
    }
    bool thin() const { return geometry.access == access_mode::read_write && geometry.discard_granularity_bytes != 0; }
};

inline completed good() {
    return {};
}

/// GOOD with `data`, cut to the CDB's allocation length. SPC-4 §4.2.5.6.
inline completed give(std::vector<std::byte> data, std::uint64_t allocation_length) {
    completed out;
    if (data.size() > allocation_length) data.resize(static_cast<std::size_t>(allocation_length));
    out.data_in = std::move(data);
    return out;
}

}  // namespace obd::scsi

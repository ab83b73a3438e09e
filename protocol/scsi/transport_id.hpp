// TransportIDs of iSCSI initiator ports. SPC-4 §7.6.4.6.
#pragma once

#include <optional>

#include "base/bytes.hpp"
#include "protocol/scsi/ports.hpp"

namespace obd::scsi {

/// FORMAT CODE 01b: name, ",i,0x", ISID in hex; NUL-ended and padded to four bytes.
std::vector<std::byte> encode_transport_id(const initiator_port& port);

struct decoded_transport_id {
    initiator_port port;
    std::size_t bytes;  ///< it takes in the list
};

/// The one at the front of `list`. Nothing when it is damaged, of another protocol, or names a device (FORMAT CODE 00b)
/// instead of a port: reservations belong to ports.
std::optional<decoded_transport_id> decode_transport_id(const_bytes list);

}  // namespace obd::scsi

// One SCSI task of a session, from its command PDU to its status. Data only; session.hpp moves it along.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "base/bytes.hpp"
#include "protocol/iscsi/bhs.hpp"
#include "protocol/iscsi/io_buffer.hpp"

namespace obd::iscsi {

/// Sense of RFC 7143 §11.4.7.2, for what goes wrong below SCSI: all are ABORTED COMMAND.
enum class transport_sense : std::uint16_t {
    none = 0,
    unexpected_unsolicited_data = 0x0c0c,
    not_enough_unsolicited_data = 0x0c0d,
    protocol_service_crc_error = 0x4705,
};

/// A Data-Out sequence that the target asked for.
struct outstanding_r2t {
    std::uint32_t target_transfer_tag;
    std::uint32_t end;  ///< offset after its last byte
};

inline constexpr std::size_t r2t_per_task = 8;

/// The LUN field of a PDU, as it came.
using lun_bytes = std::array<std::byte, 8>;

/// The same for every way to write the same LUN.
lun_bytes unit_key(const lun_bytes& lun);

enum class task_state : std::uint8_t {
    free,
    blocked,    ///< waits for tasks before it (ordered attribute); not begun
    receiving,  ///< waits for Data-Out
    running,    ///< begun; its owner works on it
    finishing,  ///< the outcome is known; unsolicited data that is still to come is swallowed first
    aborting,   ///< a task management function ended it; something of it is still under way
};

struct scsi_task {
    std::uint16_t index = 0;  ///< in the session's table
    task_state state = task_state::free;
    bool immediate = false;         ///< takes no place in the command window
    bool counted = false;           ///< its place in the window is still to be given back
    bool has_host_state = false;    ///< the host keeps something for it: forget() when it ends
    bool unsolicited_open = false;  ///< unsolicited Data-Out PDUs are still to come
    bool reads = false, writes = false;
    std::uint8_t attribute = 0;  ///< as in the PDU: 0 untagged, 1 simple, 2 ordered, 3 head of queue, 4 ACA
    std::uint8_t priority = 0;
    std::uint32_t initiator_task_tag = reserved_tag;
    std::uint32_t cmd_sn = 0;
    std::uint64_t order = 0;  ///< counts commands, for ordered tasks
    lun_bytes lun{};
    lun_bytes unit{};  ///< unit_key(lun)
    std::array<std::byte, 16> cdb{};
    std::vector<std::byte> long_cdb;  ///< the whole CDB when an AHS made it longer than 16 bytes

    std::uint32_t expected_out = 0;  ///< what the initiator means to send
    std::uint32_t room_in = 0;       ///< what it has room for
    std::uint32_t takes = 0;         ///< what the command takes; 0 when it is refused
    std::uint32_t gives = 0;         ///< what it gives; after a failure: what was sent

    // Data-Out
    io_buffer out;               ///< where Data-Out goes: out.size() bytes are kept, the rest is dropped
    std::uint32_t received = 0;  ///< the next offset; data comes in order
    std::uint32_t next_r2t = 0;  ///< offset of the next R2T
    std::uint32_t r2t_sn = 0;
    std::uint32_t data_out_sn = 0;  ///< next DataSN of the sequence under way
    std::array<outstanding_r2t, r2t_per_task> r2ts{};
    std::uint8_t r2t_count = 0;
    transport_sense broken = transport_sense::none;

    // While `aborting`
    bool device_works = false;  ///< the device has not let go of it
    bool awaits_data = false;   ///< Data-Out that was asked for is still to come, and a function waits for it

    // Data-In
    std::uint32_t sent = 0;  ///< next buffer offset
    std::uint32_t data_in_sn = 0;

    // The outcome, while `finishing`.
    std::uint8_t status = 0;
    std::vector<std::byte> sense;

    const_bytes cdb_bytes() const { return long_cdb.empty() ? const_bytes(cdb) : const_bytes(long_cdb); }
};

}  // namespace obd::iscsi

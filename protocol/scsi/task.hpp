// The contract between the SCSI command set (pure: CDBs in, decisions out) and whoever runs it (protocol/net).
//
// A command goes through a logical unit in one to three steps:
//   1. begin(command) decides. Most commands are `completed` at once. A medium command yields an `operation` to run on
//   the
//      block device, with how many Data-Out bytes it takes and Data-In bytes it gives. A command with a parameter list
//      yields `wants_parameters`.
//   2. parameters(command, list) decides again, once that list has arrived: `completed` or `operation`.
//   3. The runner executes the operation and calls finish() where the result shapes the reply; it turns failures of the
//      device into sense itself (protocol/net/to_sense.cpp).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/block_device.hpp"
#include "base/bytes.hpp"
#include "base/units.hpp"

namespace obd::scsi {

/// SAM-5 §5.3.1.
enum class status : std::uint8_t {
    good = 0x00,
    check_condition = 0x02,
    condition_met = 0x04,
    busy = 0x08,
    reservation_conflict = 0x18,
    task_set_full = 0x28,
    aca_active = 0x30,
    task_aborted = 0x40,
};

/// SPC-4 §4.5.6.
enum class sense_key : std::uint8_t {
    no_sense = 0x0,
    recovered_error = 0x1,
    not_ready = 0x2,
    medium_error = 0x3,
    hardware_error = 0x4,
    illegal_request = 0x5,
    unit_attention = 0x6,
    data_protect = 0x7,
    blank_check = 0x8,
    copy_aborted = 0xa,
    aborted_command = 0xb,
    miscompare = 0xe,
    completed = 0xf,
};

/// Where in the CDB or the parameter list the wrong field is. SPC-4 §4.5.2.4.2.
struct field_pointer {
    enum class part : std::uint8_t { cdb, parameter_list };
    part in;
    std::uint16_t byte;
    std::optional<std::uint8_t> bit = {};  ///< most significant bit of the field
};

struct sense {
    sense_key key = sense_key::no_sense;
    std::uint8_t asc = 0;
    std::uint8_t ascq = 0;
    std::optional<field_pointer> pointer = {};
    std::optional<std::uint64_t> information = {};  ///< LBA, or byte offset of a miscompare
    std::optional<std::uint16_t> progress = {};     ///< SPC-4 §4.5.2.4.4, in 1/65536
};

/// SAM-5 §8.9.
enum class task_attribute : std::uint8_t { untagged = 0, simple = 1, ordered = 2, head_of_queue = 3, aca = 4 };

/// A number for one I_T nexus while it exists; given by the logical-unit inventory when a session begins.
enum class nexus_id : std::uint64_t {};

struct command {
    nexus_id nexus{};  ///< i_t_nexus::id(), for the runner's own book-keeping; the unit_nexus is what decides
    const_bytes cdb;   ///< 16 bytes, or more with an extended-CDB AHS; borrowed for the call
    task_attribute attribute = task_attribute::simple;
    std::uint8_t priority = 0;
    std::uint32_t expected_data_out = 0;  ///< what the initiator said it will send
    std::uint32_t expected_data_in = 0;   ///< what the initiator has room for
};

/// The end of a command.
struct completed {
    status code = status::good;
    std::vector<std::byte> data_in = {};  ///< already cut to the CDB's allocation length, not to the initiator's room
    std::vector<std::byte> sense = {};  ///< encoded, fixed or descriptor format as the control mode page's D_SENSE says
    /// PREEMPT AND ABORT, CLEAR TASK-like effects: the runner aborts every other task of these nexuses on this logical
    /// unit before it sends the response.
    std::vector<nexus_id> abort_tasks_of = {};
};

/// The device server needs a parameter list of that many Data-Out bytes (MODE SELECT, UNMAP, PERSISTENT RESERVE OUT …).
struct wants_parameters {
    std::uint32_t bytes;
};

enum class operation_kind : std::uint8_t {
    read,               ///< data_in_bytes from `offset`
    write,              ///< data_out_bytes to `offset`
    write_atomic,       ///< write that is all or nothing as a whole
    write_and_verify,   ///< write, then read back from stable storage and compare
    verify,             ///< read `count` bytes, give nothing
    verify_compare,     ///< compare the Data-Out bytes with the medium; write_same form: one block against all
    write_same,         ///< the one block of Data-Out (or zeros when data_out_bytes is 0) over `count` bytes
    or_write,           ///< bitwise OR of Data-Out into the medium
    compare_and_write,  ///< first half of Data-Out is expected, second half is written
    discard,            ///< every range in `ranges`
    flush,
    prefetch,  ///< `count` bytes from `offset`; `immediate` does not wait
    extents,   ///< GET LBA STATUS: finish() formats the reply
    copy,      ///< EXTENDED COPY: every segment in `copies`
    erase,     ///< SANITIZE, BLOCK ERASE: the whole device
};

/// Kept with an operation; its end tells the unit that the work is over.
class operation_lease {
public:
    virtual ~operation_lease() = default;
    /// The device has done it. The runner calls it before the end, from any thread; needed for what has no finish(),
    /// since with IMMED nobody waits for it.
    virtual void succeeded() noexcept {}
};

struct byte_range {
    byte_offset offset;
    byte_count count;
};

struct copy_segment {
    std::shared_ptr<block_device> source;
    std::shared_ptr<block_device> destination;
    byte_offset from;
    byte_offset to;
    byte_count count;
};

/// Work on the medium. The range was checked against the capacity, the access against reservations and write
/// protection.
struct operation {
    operation_kind kind = operation_kind::read;
    byte_offset offset;
    byte_count count;
    std::uint32_t data_in_bytes = 0;   ///< what the device server gives on success
    std::uint32_t data_out_bytes = 0;  ///< what it takes
    durability when = durability::write_back;
    bool immediate = false;  ///< IMMED: `early` before the work ends
    status early = status::good;
    bool one_block_pattern = false;       ///< verify_compare with BYTCHK = 11b
    bool may_deallocate = false;          ///< write_same with UNMAP: a block of zeros may be done as a discard
    std::uint32_t extent_limit = 0;       ///< for `extents`
    std::vector<byte_range> ranges = {};  ///< for `discard`
    std::shared_ptr<operation_lease> lease = {};
    std::uint8_t copy_list_id = 0;          ///< of `copy`, for finish()
    std::vector<copy_segment> copies = {};  ///< for `copy`
};

using decision = std::variant<completed, wants_parameters, operation>;

/// What running an operation gave besides read data, for finish().
struct operation_result {
    /// Counted from the start of the device, as `operation::offset` is.
    std::optional<miscompare> difference = {};      ///< verify_compare, write_and_verify, compare_and_write
    std::vector<device_extent> found_extents = {};  ///< extents
};

/// How a logical unit names itself (INQUIRY, VPD 80 and 83). The same on every node that serves the same content.
struct identity {
    std::string vendor = "OVERLAYB";         ///< T10 vendor, at most 8 characters
    std::string product = "overlaybd disk";  ///< at most 16
    std::string revision = "0001";           ///< at most 4
    std::string serial;                      ///< unit serial number, printable ASCII
    std::uint64_t naa = 0;                   ///< NAA 3h (locally assigned), 8 bytes, complete with the leading nibble
    std::array<std::byte, 16> eui{};         ///< EUI-64 based, 16 bytes; all zero: none
    std::string name;                        ///< SCSI name string: the iSCSI name of the target
};

}  // namespace obd::scsi

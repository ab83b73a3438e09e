// Runs CDBs given in hex on a logical unit and says what was decided in words, so that a test is a table of lines.
//
//   good [DATA]            check KEY/ASC/ASCQ [@cdb|@list BYTE[.BIT]] [info N]      conflict      met
//   wants N                OPERATION OFFSET+COUNT in N out N fua immediate …        (offset and count in blocks)
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "protocol/scsi/device_server.hpp"
#include "tests/unit/protocol/scsi/fake_disk.hpp"

namespace obd::test {

std::string describe(const scsi::decision& what);
std::string describe(const scsi::completed& what);
/// 16 bytes at least; spaces are ignored.
std::vector<std::byte> cdb_of(std::string_view hex);
std::vector<std::byte> bytes_of_hex(std::string_view hex);

scsi::initiator_port initiator(char last);
scsi::identity some_identity(std::uint64_t number = 1);
scsi::unit_options unit_on(device_geometry geometry);

/// One session's commands on LUN 0 of its own little target, unit attentions taken.
class script {
public:
    explicit script(device_geometry geometry);
    explicit script(scsi::unit_options options);

    /// Sends the CDB, and `list` when it is wanted.
    std::string run(std::string_view cdb, std::string_view list = {});
    scsi::decision send(std::string_view cdb, std::string_view list = {});
    /// Sends the CDB and finishes its operation with `found`.
    std::string finish(std::string_view cdb, const scsi::operation_result& found);
    /// Another session, with its power-on unit attention still waiting.
    std::string run_on(scsi::i_t_nexus& nexus, std::string_view cdb, std::string_view list = {});
    std::unique_ptr<scsi::i_t_nexus> another(char last);

    scsi::lun_inventory luns;
    std::shared_ptr<scsi::logical_unit> unit;
    std::unique_ptr<scsi::i_t_nexus> nexus;
};

/// TEST UNIT READY until no unit attention waits; what they were, separated by spaces.
std::string drain(script& on, scsi::i_t_nexus& nexus);

}  // namespace obd::test

#include "protocol/net/to_sense.hpp"

#include "protocol/scsi/sense.hpp"

namespace obd::iscsi {
namespace {

using scsi::sense_key;

struct row {
    errc code;
    scsi::sense on_read;
    scsi::sense on_write;
};

constexpr scsi::sense same(sense_key key, std::uint8_t asc, std::uint8_t ascq) {
    return {.key = key, .asc = asc, .ascq = ascq};
}

constexpr scsi::sense unrecovered_read = same(sense_key::medium_error, 0x11, 0x00);
constexpr scsi::sense write_error = same(sense_key::medium_error, 0x0c, 0x00);
constexpr scsi::sense internal_failure = same(sense_key::hardware_error, 0x44, 0x00);
constexpr scsi::sense communication_failure = same(sense_key::aborted_command, 0x08, 0x00);
constexpr scsi::sense timeout_during_processing = same(sense_key::aborted_command, 0x2e, 0x02);
constexpr scsi::sense aborted = same(sense_key::aborted_command, 0x00, 0x00);
constexpr scsi::sense manual_intervention = same(sense_key::not_ready, 0x04, 0x03);
constexpr scsi::sense space_allocation_failed = same(sense_key::data_protect, 0x27, 0x07);

// SPC-4 annex D has the additional sense codes.
constexpr row rows[] = {
    {errc::corrupt, unrecovered_read, write_error},
    {errc::unsupported, internal_failure, internal_failure},
    {errc::invalid_argument, internal_failure, internal_failure},
    {errc::not_found, unrecovered_read, write_error},
    {errc::already_exists, internal_failure, internal_failure},
    {errc::read_only, scsi::senses::write_protected, scsi::senses::write_protected},
    {errc::out_of_space, space_allocation_failed, space_allocation_failed},
    {errc::out_of_range, scsi::senses::lba_out_of_range, scsi::senses::lba_out_of_range},
    {errc::unavailable, communication_failure, communication_failure},
    {errc::permission_denied, manual_intervention, manual_intervention},
    {errc::timed_out, timeout_during_processing, timeout_during_processing},
    {errc::cancelled, aborted, aborted},
    {errc::io_error, unrecovered_read, write_error},
};

}  // namespace

sense_or_status to_sense(const failure& what, media_access access) {
    if (what.is(errc::busy) || what.is(errc::limit_exceeded)) return {scsi::status::busy, {}};
    for (const auto& row : rows) {
        if (what.is(row.code))
            return {scsi::status::check_condition, access == media_access::read ? row.on_read : row.on_write};
    }
    return {scsi::status::check_condition, internal_failure};
}

}  // namespace obd::iscsi

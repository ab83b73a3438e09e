// Every failure of a device, and the sense that an initiator gets for it. docs/conformance.md has the table.
#include <catch2/catch.hpp>

#include "protocol/net/to_sense.hpp"

using namespace obd;
using namespace obd::iscsi;

TEST_CASE("failures become sense by table") {
    struct row {
        errc code;
        media_access access;
        std::uint8_t key, asc, ascq;
    };
    using enum media_access;
    const auto row = GENERATE(values<struct row>({
        {errc::corrupt, read, 3, 0x11, 0},
        {errc::corrupt, write, 3, 0x0c, 0},
        {errc::unsupported, read, 4, 0x44, 0},
        {errc::invalid_argument, read, 4, 0x44, 0},
        {errc::not_found, read, 3, 0x11, 0},
        {errc::already_exists, write, 4, 0x44, 0},
        {errc::read_only, write, 7, 0x27, 0},
        {errc::out_of_space, write, 7, 0x27, 7},
        {errc::out_of_range, read, 5, 0x21, 0},
        {errc::unavailable, read, 0xb, 0x08, 0},
        {errc::permission_denied, read, 2, 0x04, 3},
        {errc::timed_out, read, 0xb, 0x2e, 2},
        {errc::cancelled, read, 0xb, 0, 0},
        {errc::io_error, read, 3, 0x11, 0},
        {errc::io_error, write, 3, 0x0c, 0},
    }));
    const auto told = to_sense(fail(row.code, "test"), row.access);
    CAPTURE(static_cast<int>(row.code));
    CHECK(told.code == scsi::status::check_condition);
    CHECK(static_cast<std::uint8_t>(told.sense.key) == row.key);
    CHECK(told.sense.asc == row.asc);
    CHECK(told.sense.ascq == row.ascq);
    CHECK(to_sense(fail(errc::busy, ""), row.access).code == scsi::status::busy);
    CHECK(to_sense(fail(errc::limit_exceeded, ""), row.access).code == scsi::status::busy);
}

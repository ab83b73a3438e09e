// Sense data in both formats. SPC-4 §4.5.
#include <catch2/catch.hpp>

#include "protocol/scsi/sense.hpp"

using namespace obd;
using namespace obd::scsi;

namespace {

struct row {
    const char* name;
    sense what;
    const char* fixed;
    const char* descriptor;
};

sense with(sense what, std::uint64_t information) {
    what.information = information;
    return what;
}

sense in_progress() {
    return {
        .key = sense_key::not_ready, .asc = 0x04, .ascq = 0x1b, .pointer = {}, .information = {}, .progress = 0x8000};
}

}  // namespace

TEST_CASE("sense data is laid out as SPC-4 says", "[spc4-4.5]") {
    const auto [name, what, fixed, descriptor] = GENERATE(
        row{"plain", senses::lba_out_of_range, "700005000000000a00000000210000000000", "7205210000000000"},
        row{"pointer with bit", invalid_cdb_field(1, 4), "700005000000000a000000002400 00cc0001",
            "720524000000000802060000cc000100"},
        row{"pointer into the list", invalid_parameter_field(0x102), "700005000000000a00000000260000800102",
            "7205260000000008020600008001 0200"},
        row{"information", with(senses::lba_out_of_range, 0x12345678), "f00005123456780a00000000210000000000",
            "720521000000000c000a80000000000012345678"},
        row{"information too large for the fixed format", with(senses::lba_out_of_range, 0x1'0000'0000),
            "700005000000000a00000000210000000000", "720521000000000c000a80000000000100000000"},
        row{"progress", in_progress(), "700002000000000a00000000041b00808000", "7202041b00000008020600008080 0000"});
    CAPTURE(name);
    const auto squeeze = [](std::string text) {
        std::erase(text, ' ');
        return text;
    };
    CHECK(to_hex(encode(what, sense_format::fixed)) == squeeze(fixed));
    CHECK(to_hex(encode(what, sense_format::descriptor)) == squeeze(descriptor));
}

TEST_CASE("check_condition carries the sense and nothing else") {
    const auto reply = check_condition(senses::write_protected);
    CHECK(reply.code == status::check_condition);
    CHECK(reply.data_in.empty());
    CHECK(reply.sense == encode(senses::write_protected, sense_format::fixed));
}

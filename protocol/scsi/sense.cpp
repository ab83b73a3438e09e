#include "protocol/scsi/sense.hpp"

#include <array>
#include <limits>

namespace obd::scsi {

namespace {

constexpr std::uint8_t fixed_current = 0x70;       // SPC-4 table 26: current information, fixed format
constexpr std::uint8_t descriptor_current = 0x72;  // … descriptor format
constexpr std::uint8_t sksv = 0x80;                // the sense-key specific field is valid
constexpr std::uint8_t in_cdb = 0x40;              // C/D
constexpr std::uint8_t bit_pointer_valid = 0x08;   // BPV
constexpr std::size_t fixed_bytes = 18;

/// SPC-4 §4.5.2.4: three bytes, shared by both formats; all zero when there is nothing to say.
std::array<std::byte, 3> sense_key_specific(const sense& what) {
    std::uint8_t first = 0;
    std::uint16_t rest = 0;
    if (what.pointer) {
        first = sksv;
        if (what.pointer->in == field_pointer::part::cdb) first |= in_cdb;
        if (what.pointer->bit) first = static_cast<std::uint8_t>(first | bit_pointer_valid | (*what.pointer->bit & 7));
        rest = what.pointer->byte;
    } else if (what.progress) {
        first = sksv;
        rest = *what.progress;
    }
    return {std::byte{first}, std::byte(rest >> 8), std::byte(rest & 0xff)};
}

std::vector<std::byte> encode_fixed(const sense& what) {
    const bool valid = what.information && *what.information <= std::numeric_limits<std::uint32_t>::max();
    const auto specific = sense_key_specific(what);
    byte_writer out;
    out.big<std::uint8_t>(valid ? fixed_current | 0x80 : fixed_current).big<std::uint8_t>(0);
    out.big(static_cast<std::uint8_t>(what.key));
    out.big(valid ? static_cast<std::uint32_t>(*what.information) : 0U);
    out.big<std::uint8_t>(fixed_bytes - 8);     // ADDITIONAL SENSE LENGTH
    out.zeros(4).big(what.asc).big(what.ascq);  // COMMAND-SPECIFIC INFORMATION, ASC, ASCQ
    out.zeros(1).put(specific);                 // FIELD REPLACEABLE UNIT CODE, sense-key specific
    return std::move(out).finish();
}

std::vector<std::byte> encode_descriptors(const sense& what) {
    byte_writer out;
    out.big(descriptor_current).big(static_cast<std::uint8_t>(what.key)).big(what.asc).big(what.ascq).zeros(4);
    if (what.information) {  // SPC-4 §4.5.2.2: type 00h, VALID
        out.big<std::uint8_t>(0x00).big<std::uint8_t>(0x0a).big<std::uint8_t>(0x80).zeros(1).big(*what.information);
    }
    if (what.pointer || what.progress) {  // SPC-4 §4.5.2.4: type 02h
        const auto specific = sense_key_specific(what);
        out.big<std::uint8_t>(0x02).big<std::uint8_t>(0x06).zeros(2).put(specific).zeros(1);
    }
    const auto additional = out.size() - 8;
    out.written()[7] = static_cast<std::byte>(additional);
    return std::move(out).finish();
}

sense pointing(sense what, field_pointer::part in, std::uint16_t byte, std::optional<std::uint8_t> bit) {
    what.pointer = field_pointer{.in = in, .byte = byte, .bit = bit};
    return what;
}

}  // namespace

std::vector<std::byte> encode(const sense& what, sense_format format) {
    return format == sense_format::fixed ? encode_fixed(what) : encode_descriptors(what);
}

completed check_condition(const sense& what, sense_format format) {
    completed out;
    out.code = status::check_condition;
    out.sense = encode(what, format);
    return out;
}

sense invalid_cdb_field(std::uint16_t byte, std::optional<std::uint8_t> bit) {
    return pointing(senses::invalid_field_in_cdb, field_pointer::part::cdb, byte, bit);
}

sense invalid_parameter_field(std::uint16_t byte, std::optional<std::uint8_t> bit) {
    return pointing(senses::invalid_field_in_parameter_list, field_pointer::part::parameter_list, byte, bit);
}

}  // namespace obd::scsi

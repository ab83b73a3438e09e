// Where one PDU ends and the next begins: lengths, additional header segments, padding, digests. RFC 7143 §11.1-2.
// Pure, and without copies: it looks at bytes that somebody else received.
#pragma once

#include "base/bytes.hpp"
#include "protocol/iscsi/bhs.hpp"

namespace obd::iscsi {

struct framing {
    bool header_digest = false;
    bool data_digest = false;
    std::uint32_t max_data_segment_bytes = 8192;
};

constexpr std::uint32_t padding_of(std::uint32_t bytes) {
    return (4 - bytes % 4) % 4;
}

/// A PDU whose header is complete and checked; its data may still be on the way. Views into the received bytes.
struct pdu_frame {
    const_bytes header;  ///< 48 bytes
    const_bytes ahs;
    std::uint32_t head_bytes = 0;  ///< header, AHS and header digest
    std::uint32_t data_bytes = 0;  ///< without padding
    std::uint32_t tail_bytes = 0;  ///< padding and data digest

    std::size_t total_bytes() const { return std::size_t{head_bytes} + data_bytes + tail_bytes; }
    opcode code() const { return static_cast<opcode>(static_cast<std::uint8_t>(header[0]) & opcode_mask); }
};

/// A whole PDU, as the session takes it.
struct pdu_view {
    const_bytes header;  ///< 48 bytes
    const_bytes ahs;
    const_bytes data;         ///< without padding
    bool data_intact = true;  ///< false: the data digest was wrong
};

enum class framing_verdict {
    incomplete,  ///< the header is not all there
    framed,
    bad_header_digest,  ///< nothing after it can be trusted: the connection ends
    segment_too_long,   ///< longer than we declared: the connection ends
};

struct framing_result {
    framing_verdict verdict = framing_verdict::incomplete;
    pdu_frame frame{};
};

/// Looks at the front of `received`. RFC 7143 §11.2: header, then AHS, header digest, data, padding, data digest.
framing_result look(const framing& how, const_bytes received);

/// Over data and padding. `tail` is padding and digest, as they came. REQUIRES: how.data_digest implies tail has it.
bool data_digest_matches(const_bytes data, const_bytes tail);
/// The same when the CRC of the data is known already.
bool data_digest_matches(std::uint32_t crc_of_data, const_bytes tail);

/// A digest as it stands on the wire (§11.2.3: the CRC's own byte order, which is little endian).
std::array<std::byte, digest_bytes> encode_digest(std::uint32_t crc);

}  // namespace obd::iscsi

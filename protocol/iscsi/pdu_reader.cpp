#include "protocol/iscsi/pdu_reader.hpp"

#include "base/crc32c.hpp"

namespace obd::iscsi {

std::array<std::byte, digest_bytes> encode_digest(std::uint32_t crc) {
    const auto little = boost::endian::native_to_little(crc);
    return load<std::array<std::byte, digest_bytes>>(bytes_of(little));
}

framing_result look(const framing& how, const_bytes received) {
    framing_result result;
    if (received.size() < bhs_bytes) return result;
    const auto bhs = load<basic_bhs>(received);
    const std::uint32_t ahs_bytes = std::uint32_t{bhs.total_ahs_words} * 4;
    const std::uint32_t covered = static_cast<std::uint32_t>(bhs_bytes) + ahs_bytes;
    auto& frame = result.frame;
    frame.head_bytes = covered + (how.header_digest ? static_cast<std::uint32_t>(digest_bytes) : 0);
    if (received.size() < frame.head_bytes) return result;
    if (how.header_digest) {
        const auto digest = load<std::array<std::byte, digest_bytes>>(received, covered);
        if (digest != encode_digest(crc32c(received.first(covered)))) {
            result.verdict = framing_verdict::bad_header_digest;
            return result;
        }
    }
    frame.header = received.first(bhs_bytes);
    frame.ahs = received.subspan(bhs_bytes, ahs_bytes);
    frame.data_bytes = bhs.data_segment_bytes;
    if (frame.data_bytes > how.max_data_segment_bytes) {
        result.verdict = framing_verdict::segment_too_long;
        return result;
    }
    // RFC 7143 §11.2.3: no data digest when there is no data segment.
    frame.tail_bytes = padding_of(frame.data_bytes);
    if (how.data_digest && frame.data_bytes != 0) frame.tail_bytes += static_cast<std::uint32_t>(digest_bytes);
    result.verdict = framing_verdict::framed;
    return result;
}

bool data_digest_matches(std::uint32_t crc_of_data, const_bytes tail) {
    const auto padding = tail.first(tail.size() - digest_bytes);
    return load<std::array<std::byte, digest_bytes>>(tail, padding.size()) ==
           encode_digest(crc32c(padding, crc_of_data));
}

bool data_digest_matches(const_bytes data, const_bytes tail) {
    return data_digest_matches(crc32c(data), tail);
}

}  // namespace obd::iscsi

#include "protocol/scsi/transport_id.hpp"

#include <algorithm>

#include "base/limits.hpp"

namespace obd::scsi {

namespace {

constexpr std::byte iscsi_port{0x45};  // FORMAT CODE 01b, PROTOCOL IDENTIFIER 5h
constexpr std::size_t header_bytes = 4;
constexpr std::size_t least_bytes = 20;  // of what follows the header
constexpr std::string_view separator = ",i,0x";
constexpr std::size_t isid_digits = 12;

}  // namespace

std::vector<std::byte> encode_transport_id(const initiator_port& port) {
    const auto text = port.name + std::string(separator) + to_hex(port.isid);
    const auto padded = std::max<std::size_t>((text.size() + 1 + 3) / 4 * 4, least_bytes);
    byte_writer out;
    out.put(const_bytes(&iscsi_port, 1)).zeros(1).big(static_cast<std::uint16_t>(padded));
    out.put(as_bytes(text)).zeros(padded - text.size());
    return std::move(out).finish();
}

std::optional<decoded_transport_id> decode_transport_id(const_bytes list) {
    byte_reader reader(list);
    const auto first = reader.take(1);
    reader.skip(1);
    const auto bytes = reader.big<std::uint16_t>();
    const auto field = as_text(reader.take(bytes));
    if (!reader.ok() || first[0] != iscsi_port || bytes < least_bytes || bytes % 4 != 0) return {};

    const auto text = field.substr(0, field.find('\0'));
    const auto split = text.rfind(separator);
    if (split == std::string_view::npos || split == 0 || split > limits::iscsi_name_bytes) return {};
    const auto digits = text.substr(split + separator.size());
    const auto isid = from_hex(digits);
    if (digits.size() != isid_digits || !isid) return {};
    decoded_transport_id out{.port = {.name = std::string(text.substr(0, split))}, .bytes = header_bytes + bytes};
    std::ranges::copy(*isid, out.port.isid.begin());
    return out;
}

}  // namespace obd::scsi

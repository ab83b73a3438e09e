// EXTENDED COPY(LID1) from block device to block device, and what RECEIVE COPY RESULTS tells of it. SPC-4 §5.17, §6.4.
//
// The units may be any of the target's, named by their designators. The whole list is checked before anything is
// copied.
#include <algorithm>

#include "protocol/scsi/inquiry.hpp"
#include "protocol/scsi/planners.hpp"
#include "protocol/scsi/unit_core.hpp"
#include "protocol/scsi/vpd_pages.hpp"

namespace obd::scsi {

namespace {

namespace sa = service_action;

constexpr std::uint16_t max_units = 16;
constexpr std::uint16_t max_segments = 64;
constexpr std::uint32_t max_segment_bytes = 32 << 20;  // 64 of them end within a command's deadline on a disk of today
constexpr std::size_t header_bytes = 16;
constexpr std::size_t unit_descriptor_bytes = 32;
constexpr std::uint32_t max_descriptor_bytes = max_units * unit_descriptor_bytes + max_segments * 32;

constexpr std::uint8_t block_to_block = 0x02;
constexpr std::uint8_t block_to_block_offset = 0x0a;
constexpr std::uint8_t identification_descriptor = 0xe4;

constexpr sense refused(std::uint8_t asc, std::uint8_t ascq) {
    return {.key = sense_key::illegal_request, .asc = asc, .ascq = ascq};
}
constexpr auto too_many_units = refused(0x26, 0x06);
constexpr auto unknown_unit_type = refused(0x26, 0x07);
constexpr auto too_many_segments = refused(0x26, 0x08);
constexpr auto unknown_segment_type = refused(0x26, 0x09);
constexpr auto operation_in_progress = refused(0x00, 0x16);

constexpr sense aborted(std::uint8_t asc, std::uint8_t ascq) {
    return {.key = sense_key::copy_aborted, .asc = asc, .ascq = ascq};
}
constexpr auto unreachable = aborted(0x08, 0x04);  // UNREACHABLE COPY TARGET
constexpr auto past_the_end = aborted(0x00, 0x00);
constexpr auto protected_destination = aborted(0x27, 0x00);
constexpr auto reserved_elsewhere = aborted(0x0d, 0x01);  // THIRD PARTY DEVICE FAILURE

template <typename T>
using checked = std::variant<T, sense>;

using unit_list = std::vector<std::shared_ptr<unit_core>>;

struct copy_header {
    std::uint8_t list_id;
    std::uint8_t usage;  ///< LIST ID USAGE
    std::size_t units_bytes;
    std::size_t segments_bytes;
};

/// SPC-4 §6.4, table 100.
checked<copy_header> decode_header(const_bytes list) {
    if (list.size() < header_bytes) return senses::parameter_list_length_error;
    byte_reader reader(list);
    copy_header header{};
    header.list_id = reader.big<std::uint8_t>();
    header.usage = reader.big<std::uint8_t>() >> 3 & 3;
    header.units_bytes = reader.big<std::uint16_t>();
    reader.skip(4);
    header.segments_bytes = reader.big<std::uint32_t>();
    const auto inline_bytes = reader.big<std::uint32_t>();
    const auto descriptors = header.units_bytes + header.segments_bytes;
    if (descriptors > max_descriptor_bytes || descriptors > reader.remaining())
        return senses::parameter_list_length_error;
    if (inline_bytes != 0) return invalid_parameter_field(12);
    if (header.units_bytes % unit_descriptor_bytes != 0) return invalid_parameter_field(2);
    if (header.units_bytes / unit_descriptor_bytes > max_units) return too_many_units;
    const bool unlisted = header.usage == 3;
    if (unlisted && header.list_id != 0) return invalid_parameter_field(0);
    return header;
}

/// SPC-4 §6.4.5.5, identification descriptor CSCD descriptor. One that names nobody is an error only when it is used.
checked<unit_list> decode_units(const request& asked, const_bytes descriptors) {
    unit_list units;
    for (; !descriptors.empty(); descriptors = descriptors.subspan(unit_descriptor_bytes)) {
        byte_reader reader(descriptors.first(unit_descriptor_bytes));
        if (reader.big<std::uint8_t>() != identification_descriptor) return unknown_unit_type;
        reader.skip(4);
        const auto type = static_cast<std::uint8_t>(reader.big<std::uint8_t>() & 0x0f);
        reader.skip(1);
        const auto bytes = reader.big<std::uint8_t>();
        const auto value = reader.take(bytes);
        if (!reader.ok() || bytes > 20) return invalid_parameter_field(static_cast<std::uint16_t>(header_bytes + 7));
        units.push_back(asked.nexus.find_unit(type, value));
    }
    return units;
}

struct segment_fields {
    std::uint16_t source;
    std::uint16_t destination;
    std::uint64_t from_byte;
    std::uint64_t to_byte;
    std::uint64_t bytes;
};

/// The units of a segment and the blocks it names, in bytes. SPC-4 §6.4.6.2 and §6.4.6.8.
checked<segment_fields> decode_segment(const_bytes segment, const unit_list& units) {
    byte_reader reader(segment);
    const auto type = reader.big<std::uint8_t>();
    const bool counts_destination = (reader.big<std::uint8_t>() & 0x02) != 0;  // DC
    reader.skip(2);
    segment_fields out{};
    out.source = reader.big<std::uint16_t>();
    out.destination = reader.big<std::uint16_t>();
    const bool known = out.source < units.size() && out.destination < units.size() && units[out.source] != nullptr &&
                       units[out.destination] != nullptr;
    if (!known) return unreachable;
    const auto source_block = units[out.source]->device->geometry().logical_block_bytes;
    const auto destination_block = units[out.destination]->device->geometry().logical_block_bytes;
    if (type == block_to_block) {
        reader.skip(2);
        const std::uint64_t blocks = reader.big<std::uint16_t>();
        out.bytes = blocks * (counts_destination ? destination_block : source_block);
    } else {
        out.bytes = reader.big<std::uint32_t>();
    }
    const auto from = reader.big<std::uint64_t>();
    const auto to = reader.big<std::uint64_t>();
    constexpr std::uint64_t most = std::uint64_t{1} << 50;  // blocks: beyond any device, and no product overflows
    if (from > most || to > most) return past_the_end;
    out.from_byte = from * source_block;
    out.to_byte = to * destination_block;
    if (type == block_to_block_offset) {
        out.from_byte += reader.big<std::uint16_t>();
        out.to_byte += reader.big<std::uint16_t>();
    }
    const bool aligned = out.from_byte % source_block == 0 && out.to_byte % destination_block == 0 &&
                         out.bytes % source_block == 0 && out.bytes % destination_block == 0;
    if (!aligned) return senses::invalid_field_in_parameter_list;
    return out;
}

checked<copy_segment> check_segment(const request& asked, const segment_fields& fields, const unit_list& units) {
    const auto& source = *units[fields.source];
    const auto& destination = *units[fields.destination];
    if (fields.bytes > max_segment_bytes) return senses::invalid_field_in_parameter_list;
    const byte_count count{fields.bytes};
    if (!within({fields.from_byte}, count, source.device->geometry().size)) return past_the_end;
    if (!within({fields.to_byte}, count, destination.device->geometry().size)) return past_the_end;
    if (destination.write_protected()) return protected_destination;
    if (source.conflicts(asked.nexus, access::reads, asked.spec.code)) return reserved_elsewhere;
    if (destination.conflicts(asked.nexus, access::writes, asked.spec.code)) return reserved_elsewhere;
    return copy_segment{.source = source.device,
                        .destination = destination.device,
                        .from = {fields.from_byte},
                        .to = {fields.to_byte},
                        .count = count};
}

checked<std::vector<copy_segment>> decode_segments(const request& asked, const_bytes rest, const unit_list& units) {
    std::vector<copy_segment> segments;
    std::size_t seen = 0;
    while (!rest.empty()) {
        const auto type = std::to_integer<std::uint8_t>(rest[0]);
        if (type != block_to_block && type != block_to_block_offset) return unknown_segment_type;
        const std::size_t bytes = type == block_to_block ? 28 : 32;
        if (rest.size() < bytes) return senses::parameter_list_length_error;
        const auto said = boost::endian::big_to_native(load<std::uint16_t>(rest, 2));
        if (said != bytes - 4) return senses::invalid_field_in_parameter_list;  // DESCRIPTOR LENGTH
        if (++seen > max_segments) return too_many_segments;
        auto fields = decode_segment(rest.first(bytes), units);
        if (const auto* wrong = std::get_if<sense>(&fields)) return *wrong;
        auto segment = check_segment(asked, std::get<segment_fields>(fields), units);
        if (const auto* wrong = std::get_if<sense>(&segment)) return *wrong;
        auto& good_one = std::get<copy_segment>(segment);
        if (good_one.count.value != 0) segments.push_back(std::move(good_one));
        rest = rest.subspan(bytes);
    }
    return segments;
}

/// Marks the copy as failed when the operation ends and finish() has not said otherwise.
class copy_lease final : public operation_lease {
public:
    copy_lease(std::shared_ptr<nexus_core> nexus, std::uint8_t list_id) : nexus_(std::move(nexus)), list_id_(list_id) {}
    ~copy_lease() override {
        const auto now = nexus_->copy(list_id_);
        if (!now || now->now != copy_record::state::running) return;
        nexus_->remember_copy({list_id_, copy_record::state::failed, 0, 0});
    }
    copy_lease(const copy_lease&) = delete;
    copy_lease& operator=(const copy_lease&) = delete;

private:
    std::shared_ptr<nexus_core> nexus_;
    std::uint8_t list_id_;
};

}  // namespace

answer plan::extended_copy(const request& asked) {
    const auto bytes = asked.big32(10);
    if (bytes == 0) return good();  // SPC-4 §6.4: "…zero specifies that no data … shall not be considered an error"
    if (bytes < header_bytes || bytes > header_bytes + 4 * max_descriptor_bytes)
        return senses::parameter_list_length_error;
    return wants_parameters{bytes};
}

answer plan::accept_extended_copy(const request& asked, const_bytes list) {
    const auto header = decode_header(list);
    if (const auto* wrong = std::get_if<sense>(&header)) return *wrong;
    const auto& [list_id, usage, units_bytes, segments_bytes] = std::get<copy_header>(header);
    const auto units = decode_units(asked, list.subspan(header_bytes, units_bytes));
    if (const auto* wrong = std::get_if<sense>(&units)) return *wrong;
    const auto rest = list.subspan(header_bytes + units_bytes, segments_bytes);
    auto segments = decode_segments(asked, rest, std::get<unit_list>(units));
    if (const auto* wrong = std::get_if<sense>(&segments)) return *wrong;

    const auto earlier = asked.nexus.copy(list_id);
    const bool listed = usage != 3;
    if (listed && earlier && earlier->now == copy_record::state::running) return operation_in_progress;
    operation work;
    work.kind = operation_kind::copy;
    work.copies = std::get<std::vector<copy_segment>>(std::move(segments));
    if (listed) asked.nexus.remember_copy({list_id, copy_record::state::running, 0, 0});
    if (work.copies.empty()) {
        if (listed) asked.nexus.remember_copy({list_id, copy_record::state::done, 0, 0});
        return good();
    }
    work.copy_list_id = list_id;
    if (listed) work.lease = std::make_shared<copy_lease>(asked.nexus.shared_from_this(), list_id);
    return work;
}

answer plan::finish_extended_copy(const request& asked, const operation& done, const operation_result&) {
    if (done.lease == nullptr) return good();
    std::uint64_t bytes = 0;
    for (const auto& segment : done.copies) bytes += segment.count.value;
    const auto segments = static_cast<std::uint16_t>(done.copies.size());
    asked.nexus.remember_copy({done.copy_list_id, copy_record::state::done, segments, bytes});
    return good();
}

namespace {

/// SPC-4 §6.26.
answer copy_status(const request& asked) {
    const auto record = asked.nexus.copy(asked.byte(2));
    if (!record) return invalid_cdb_field(2);
    byte_writer out;
    out.big<std::uint32_t>(8).big(static_cast<std::uint8_t>(record->now)).big(record->segments);
    out.big<std::uint8_t>(0).big(static_cast<std::uint32_t>(record->bytes));  // TRANSFER COUNT UNITS: bytes
    return give(std::move(out).finish(), asked.big32(10));
}

/// SPC-4 §6.22: the sense of a failed copy went out with its status; nothing more is held.
answer failure_details(const request& asked) {
    byte_writer out;
    out.big<std::uint32_t>(0);
    return give(std::move(out).finish(), asked.big32(10));
}

/// SPC-4 §6.23.
answer operating_parameters(const request& asked) {
    constexpr std::uint8_t no_list_id = 0x01;  // SNLID
    constexpr std::uint8_t granularity = 9;    // 512 bytes
    byte_writer out;
    out.zeros(4).big(no_list_id).zeros(3);
    out.big(max_units).big(max_segments).big(max_descriptor_bytes).big(max_segment_bytes);
    out.zeros(4 + 4 + 4 + 2);  // inline data, held data, stream transfers
    out.big<std::uint16_t>(max_copy_records).big(static_cast<std::uint8_t>(max_copy_records));
    out.big(granularity).zeros(2 + 3);
    out.big<std::uint8_t>(3).big(block_to_block).big(block_to_block_offset).big(identification_descriptor);
    store(out.written(), boost::endian::native_to_big(static_cast<std::uint32_t>(out.size() - 4)));
    return give(std::move(out).finish(), asked.big32(10));
}

void put_padded_list(byte_writer& out, std::uint16_t type, const std::vector<std::byte>& body) {
    const auto padded = (body.size() + 3) / 4 * 4;
    out.big(type).big(static_cast<std::uint16_t>(padded)).put(body).zeros(padded - body.size());
}

}  // namespace

answer plan::receive_copy_results(const request& asked) {
    const auto action = asked.byte(1) & 0x1f;
    if (action == sa::copy_status_lid1) return copy_status(asked);
    if (action == sa::operating_parameters) return operating_parameters(asked);
    return failure_details(asked);
}

/// VPD page 8Fh. SPC-4 §7.8.17.
std::vector<std::byte> third_party_copy_page(const request&) {
    byte_writer commands;  // 0001h, supported commands
    commands.big<std::uint8_t>(3 + 5);
    commands.big(static_cast<std::uint8_t>(opcode::third_party_copy_out))
        .big<std::uint8_t>(1)
        .big(sa::extended_copy_lid1);
    commands.big(static_cast<std::uint8_t>(opcode::third_party_copy_in)).big<std::uint8_t>(3).big(sa::copy_status_lid1);
    commands.big(sa::operating_parameters).big(sa::failed_segment_details);
    byte_writer parameters;  // 0004h, parameter data
    parameters.zeros(4).big(max_units).big(max_segments).big(max_descriptor_bytes).zeros(4 + 12);
    byte_writer descriptors;  // 0008h, supported descriptors
    descriptors.big<std::uint8_t>(3).big(block_to_block).big(block_to_block_offset).big(identification_descriptor);
    byte_writer general;  // 8001h, general copy operations
    general.big<std::uint32_t>(max_copy_records).big<std::uint32_t>(max_copy_records).big(max_segment_bytes);
    general.big<std::uint8_t>(9).zeros(19);

    byte_writer out;
    put_padded_list(out, 0x0001, std::move(commands).finish());
    put_padded_list(out, 0x0004, std::move(parameters).finish());
    put_padded_list(out, 0x0008, std::move(descriptors).finish());
    put_padded_list(out, 0x8001, std::move(general).finish());
    return std::move(out).finish();
}

}  // namespace obd::scsi

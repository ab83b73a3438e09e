#include "layers/lsmt/header.hpp"

#include <algorithm>
#include <cstring>

#include "base/limits.hpp"

namespace obd::layers::lsmt {
namespace {

/// Text in a fixed field: up to the first NUL, or all of it.
template <std::size_t Size>
std::string text_in(const std::array<char, Size>& field) {
    return {field.begin(), std::find(field.begin(), field.end(), '\0')};
}

/// The all-zero UUID is how writers say that there is none.
std::string uuid_in(const std::array<char, 37>& field) {
    std::string text = text_in(field);
    if (text.find_first_not_of("0-") == std::string::npos) text.clear();
    return text;
}

failure bad_entry(std::size_t number, packed_mapping entry, const std::string& reason) {
    return fail(errc::corrupt, "lsmt index entry " + std::to_string(number) + " (sector " +
                                   std::to_string(entry.start().value) + "): " + reason);
}

struct sector_span {
    sector first;
    sector end;
};

result<void> check_entry(std::size_t number, packed_mapping entry, sector_span data) {
    if (entry.length() == 0) return bad_entry(number, entry, "its length is 0");
    const std::uint64_t moffset = entry.moffset().value;
    // A zeroed mapping points at where its data would have been, and may stand at the very end.
    const std::uint64_t occupied = entry.zeroed() ? 0 : entry.length();
    if (moffset < data.first.value || moffset > data.end.value || occupied > data.end.value - moffset) {
        return bad_entry(number, entry,
                         "it points at sectors " + std::to_string(moffset) + "+" + std::to_string(occupied) +
                             " of the file, outside the data (" + std::to_string(data.first.value) + ".." +
                             std::to_string(data.end.value) + ")");
    }
    return {};
}

/// Appends an entry that keeps the order.
result<void> append_entry(std::vector<packed_mapping>& mappings, std::size_t number, packed_mapping entry) {
    if (!mappings.empty() && entry.start() < mappings.back().end()) {
        const bool overlaps = entry.end() > mappings.back().start();
        return bad_entry(number, entry, overlaps ? "it overlaps the one before it" : "it is out of order");
    }
    mappings.push_back(entry);
    return {};
}

}  // namespace

bool has_magic(const_bytes bytes) noexcept {
    return bytes.size() >= header_struct_bytes && std::memcmp(bytes.data(), magic0.data(), magic0.size()) == 0 &&
           std::memcmp(bytes.data() + magic0.size(), magic1.data(), magic1.size()) == 0;
}

result<header_fields> decode_header(const_bytes bytes) {
    if (!has_magic(bytes)) return fail(errc::corrupt, "the lsmt magic is missing");
    const auto wire = load<header_trailer>(bytes);
    return header_fields{.flags = wire.flags,
                         .index_offset = wire.index_offset,
                         .index_entries = wire.index_size,
                         .virtual_size = {wire.virtual_size},
                         .uuid = uuid_in(wire.uuid),
                         .parent_uuid = uuid_in(wire.parent_uuid),
                         .user_tag = text_in(wire.user_tag)};
}

result<header_fields> decode_layer_header(const_bytes bytes) {
    auto decoded = decode_header(bytes);
    if (!decoded) return in_context(std::move(decoded).error(), "lsmt header at byte 0");
    if (!decoded->has(flag::header)) return fail(errc::corrupt, "lsmt header at byte 0: its flags say trailer");
    if (!decoded->has(flag::data_file)) return fail(errc::corrupt, "lsmt header at byte 0: its flags say index file");
    return decoded;
}

result<header_fields> decode_layer_trailer(const_bytes bytes, trailer_position where) {
    if (where.file_size.value < 2 * header_space_bytes) {
        return fail(errc::corrupt, "lsmt layer of " + std::to_string(where.file_size.value) +
                                       " bytes: too short for a header and a trailer");
    }
    const std::uint64_t position = where.file_size.value - header_space_bytes;
    const std::string place = "lsmt trailer at byte " + std::to_string(position);
    auto decoded = decode_header(bytes);
    if (!decoded) return in_context(std::move(decoded).error(), place);
    if (decoded->has(flag::header)) return fail(errc::corrupt, place + ": its flags say header");
    if (!decoded->has(flag::data_file)) return fail(errc::corrupt, place + ": its flags say index file");
    if (!decoded->has(flag::sealed)) return fail(errc::corrupt, place + ": its flags say unsealed");
    if (decoded->index_entries > limits::lsmt_entries_per_layer) {
        return fail(errc::limit_exceeded, place + ": an index of " + std::to_string(decoded->index_entries) +
                                              " entries, the limit is " +
                                              std::to_string(limits::lsmt_entries_per_layer));
    }
    const std::uint64_t index_offset = decoded->index_offset;
    const std::uint64_t index_bytes = decoded->index_entries * sizeof(index_entry);
    if (index_offset < header_space_bytes || index_offset % sector_bytes != 0 || index_offset > position ||
        index_bytes > position - index_offset) {
        return fail(errc::corrupt, place + ": the index (bytes " + std::to_string(index_offset) + "+" +
                                       std::to_string(index_bytes) + ") does not lie between header and trailer");
    }
    // Beyond this no index entry could reach.
    if (decoded->virtual_size.value / sector_bytes > offset_mask) {
        return fail(errc::corrupt, place + ": absurd virtual size " + std::to_string(decoded->virtual_size.value));
    }
    return decoded;
}

result<std::vector<packed_mapping>> decode_index(const_bytes raw, sector data_end) {
    const std::size_t count = raw.size() / sizeof(index_entry);
    std::vector<packed_mapping> mappings;
    mappings.reserve(count);
    for (std::size_t i = 0; i < count; ++i) {
        const auto entry = from_disk(load<index_entry>(raw, i * sizeof(index_entry))).with_tag(0);
        if (entry.is_padding()) continue;
        TRYV(check_entry(i, entry, {first_data_sector, data_end}));
        TRYV(append_entry(mappings, i, entry));
    }
    mappings.shrink_to_fit();
    return mappings;
}

result<std::vector<packed_mapping>> decode_turbo_index(const_bytes raw, turbo_layout layout) {
    const std::size_t count = raw.size() / sizeof(index_entry);
    unsigned base = 255;
    for (std::size_t i = 0; i < count; ++i) {
        const auto entry = from_disk(load<index_entry>(raw, i * sizeof(index_entry)));
        if (!entry.is_padding()) base = std::min<unsigned>(base, entry.tag());
    }
    const sector target_length = layout.target_end - layout.target_start;
    std::vector<packed_mapping> mappings;
    mappings.reserve(count);
    for (std::size_t i = 0; i < count; ++i) {
        auto entry = from_disk(load<index_entry>(raw, i * sizeof(index_entry)));
        if (entry.is_padding()) continue;
        const unsigned tag = entry.tag() - base;
        if (tag > 1) return bad_entry(i, entry, "its tag is " + std::to_string(tag) + ", neither 0 nor 1");
        entry = entry.with_tag(0);
        if (tag == 0) {
            TRYV(check_entry(i, entry, {first_data_sector, layout.data_end}));
        } else {
            TRYV(check_entry(i, entry, {sector{0}, target_length}));
            mapping moved = unpack(entry);
            moved.moffset = moved.moffset + layout.target_start;
            entry = pack(moved);
        }
        TRYV(append_entry(mappings, i, entry));
    }
    return mappings;
}

}  // namespace obd::layers::lsmt

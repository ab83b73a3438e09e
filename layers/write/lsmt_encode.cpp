#include "layers/write/lsmt_encode.hpp"

#include <algorithm>
#include <string_view>

#include "layers/write/uuid.hpp"

namespace obd::layers::lsmt {
namespace {

result<void> check_uuid(std::string_view what, const std::string& text) {
    if (text.empty() || is_uuid(text)) return {};
    return fail(errc::invalid_argument, std::string(what) + " \"" + text + "\" (8-4-4-4-12 hex digits are wanted)");
}

void put_uuid(std::array<char, 37>& field, std::string_view text) {
    if (text.empty()) text = null_uuid;
    std::copy_n(text.begin(), std::min(text.size(), field.size() - 1), field.begin());
}

}  // namespace

result<void> check(const header_content& content) {
    TRYV(check_uuid("uuid", content.uuid));
    TRYV(check_uuid("parent uuid", content.parent_uuid));
    if (content.user_tag.size() > sizeof(header_trailer::user_tag)) {
        return fail(errc::invalid_argument, "message of more than 256 bytes");
    }
    if (content.virtual_size.value % sector_bytes != 0) {
        return fail(errc::invalid_argument,
                    "virtual size " + std::to_string(content.virtual_size.value) + " (a multiple of 512 is wanted)");
    }
    if (content.virtual_size.value / sector_bytes >= invalid_offset) {
        return fail(errc::invalid_argument,
                    "virtual size " + std::to_string(content.virtual_size.value) + " (the format ends at 2^59 bytes)");
    }
    return {};
}

header_space encode_header(const header_content& content) {
    header_trailer h{};
    h.magic0 = magic0;
    h.magic1 = magic1;
    h.size = header_struct_bytes;
    h.flags = content.flags;
    h.index_offset = content.index_offset;
    h.index_size = content.index_entries;
    h.virtual_size = content.virtual_size.value;
    put_uuid(h.uuid, content.uuid);
    put_uuid(h.parent_uuid, content.parent_uuid);
    h.version = 1;
    h.sub_version = 1;
    std::copy_n(content.user_tag.begin(), std::min(content.user_tag.size(), h.user_tag.size()), h.user_tag.begin());
    header_space space{};
    store(space, h);
    return space;
}

void append_joined(std::vector<packed_mapping>& index, const mapping& next) {
    if (!index.empty()) {
        mapping last = unpack(index.back());
        if (last.end() == next.start && last.moffset_end() == next.moffset && last.zeroed == next.zeroed &&
            last.tag == next.tag && last.length + next.length < max_mapping_sectors) {
            last.length += next.length;
            index.back() = pack(last);
            return;
        }
    }
    index.push_back(pack(next));
}

std::vector<std::byte> encode_index(std::span<const packed_mapping> index, std::size_t multiple) {
    const auto padded = (index.size() + multiple - 1) / multiple * multiple;
    std::vector<std::byte> bytes(padded * sizeof(index_entry));
    for (std::size_t i = 0; i < padded; ++i) {
        const auto entry = to_disk(i < index.size() ? index[i] : padding_mapping);
        store(mutable_bytes(bytes), entry, i * sizeof(index_entry));
    }
    return bytes;
}

}  // namespace obd::layers::lsmt

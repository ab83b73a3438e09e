#include "layers/write/lsmt_writer.hpp"

#include <algorithm>

#include "base/limits.hpp"

namespace obd::layers {
namespace {

namespace flags = lsmt::flag;
constexpr std::uint64_t sectors_a_step = 64;  // overlaybd copies in steps of 32 KiB and makes an entry for each
constexpr std::size_t entries_a_page = 256;   // an index is padded to whole 4 KiB

}  // namespace

result<lsmt_writer> lsmt_writer::begin(byte_sink& to, const layer_description& description) {
    lsmt::header_content header{.flags = flags::header | flags::data_file | flags::sealed,
                                .virtual_size = description.virtual_size,
                                .uuid = description.uuid,
                                .parent_uuid = description.parent_uuid,
                                .user_tag = description.user_tag};
    TRYV(check(header));
    TRYV(to.write(lsmt::encode_header(header)));
    return lsmt_writer(to, std::move(header), description.form);
}

result<void> lsmt_writer::append(const lsmt::mapping& next) {
    ASSERT(next.start >= reached_ && next.length > 0);
    if (next.end().value > lsmt::invalid_offset) return fail(errc::out_of_range, "a sector beyond what LSMT can name");
    reached_ = next.end();
    has_own_ = has_own_ || next.tag == lsmt::turbo_tag_own;
    lsmt::append_joined(index_, next);
    if (index_.size() > limits::lsmt_entries_per_layer) {
        return fail(errc::limit_exceeded,
                    "a layer of more than " + std::to_string(limits::lsmt_entries_per_layer) + " index entries");
    }
    return {};
}

result<void> lsmt_writer::data(sector start, const_bytes bytes) {
    ASSERT(bytes.size() % sector_bytes == 0);
    TRYV(to_->write(bytes));
    for (std::uint64_t left = bytes.size() / sector_bytes; left > 0;) {
        const auto length = std::min(left, sectors_a_step);
        TRYV(append({.start = start, .moffset = next_data_, .length = static_cast<std::uint32_t>(length)}));
        start.value += length;
        next_data_.value += length;
        left -= length;
    }
    return {};
}

result<void> lsmt_writer::zeroed(sector start, std::uint64_t sectors) {
    while (sectors > 0) {
        const auto length = std::min<std::uint64_t>(sectors, lsmt::max_mapping_sectors);
        TRYV(append(
            {.start = start, .moffset = next_data_, .length = static_cast<std::uint32_t>(length), .zeroed = true}));
        start.value += length;
        sectors -= length;
    }
    return {};
}

result<void> lsmt_writer::target(sector start, sector target, std::uint64_t sectors) {
    ASSERT(form_ == layer_form::turbo);
    while (sectors > 0) {
        const auto length = static_cast<std::uint32_t>(std::min<std::uint64_t>(sectors, lsmt::max_mapping_sectors));
        TRYV(append({.start = start, .moffset = target, .length = length, .tag = lsmt::turbo_tag_target}));
        start.value += length;
        target.value += length;
        sectors -= length;
    }
    return {};
}

result<layer_totals> lsmt_writer::finish() {
    if (form_ == layer_form::turbo && !has_own_)
        return fail(errc::invalid_argument, "a TurboOCI layer without file system metadata");
    const auto index = lsmt::encode_index(index_, form_ == layer_form::turbo ? 1 : entries_a_page);
    TRYV(to_->write(index));
    auto trailer = header_;
    trailer.flags &= ~flags::header;
    trailer.index_offset = to_bytes(next_data_).value;
    trailer.index_entries = index.size() / sizeof(lsmt::index_entry);
    TRYV(to_->write(lsmt::encode_header(trailer)));
    return layer_totals{.data = to_bytes(next_data_) - to_bytes(lsmt::first_data_sector),
                        .size = {trailer.index_offset + index.size() + lsmt::header_space_bytes},
                        .mappings = index_.size()};
}

}  // namespace obd::layers

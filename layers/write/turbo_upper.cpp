#include "layers/write/turbo_upper.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "base/limits.hpp"
#include "layers/lsmt/header.hpp"
#include "layers/write/host_file.hpp"
#include "layers/write/lsmt_encode.hpp"
#include "layers/write/lsmt_writer.hpp"
#include "layers/write/uuid.hpp"

namespace obd::layers {
namespace {

namespace flags = lsmt::flag;
constexpr std::size_t entries_a_read = 65536;
constexpr std::uint64_t sectors_a_read = 2048;

lsmt::header_content header_of(const upper_identity& identity) {
    return {.flags = flags::header,
            .index_offset = lsmt::header_space_bytes,
            .index_entries = 0,
            .virtual_size = identity.virtual_size,
            .uuid = identity.uuid,
            .parent_uuid = identity.parent_uuid,
            .user_tag = identity.user_tag};
}

result<upper_identity> read_identity(file& journal) {
    std::array<std::byte, lsmt::header_struct_bytes> raw{};
    TRYV(journal.read({0}, raw));
    auto header = lsmt::decode_header(raw);
    if (!header) return in_context(std::move(header).error(), journal.name());
    if (!header->has(flags::header) || header->has(flags::data_file) || header->has(flags::sealed) ||
        header->index_offset != lsmt::header_space_bytes)
        return fail(errc::corrupt, journal.name() + ": is no index of a writable layer");
    return upper_identity{.virtual_size = {align_down(header->virtual_size.value, sector_bytes)},
                          .uuid = header->uuid,
                          .parent_uuid = header->parent_uuid,
                          .user_tag = header->user_tag};
}

result<void> make_turbo_files(file_system& files, const upper_paths& paths, const upper_identity& identity) {
    TRY(const auto data, files.open(paths.data, open_mode::create));
    TRYV(data->resize(identity.virtual_size));
    TRY(const auto index, files.open(paths.index, open_mode::create));
    TRYV(index->write({0}, lsmt::encode_header(header_of(identity))));
    TRYV(data->sync());
    TRYV(index->sync());
    TRYV(files.sync_directory_of(paths.data));
    return files.sync_directory_of(paths.index);
}

}  // namespace

result<void> create_turbo_upper(const create_upper_options& options) {
    host_file_system files;
    const upper_identity identity{.virtual_size = options.virtual_size,
                                  .uuid = options.uuid.empty() ? random_uuid() : options.uuid,
                                  .parent_uuid = options.parent_uuid,
                                  .user_tag = {}};
    TRYV(lsmt::check(header_of(identity)));
    for (const auto& path : {options.paths.data, options.paths.index}) {
        TRY(const bool there, files.exists(path));
        if (there) return fail(errc::already_exists, path.string());
    }
    auto made = make_turbo_files(files, options.paths, identity);
    if (!made) {
        static_cast<void>(files.remove(options.paths.data));
        static_cast<void>(files.remove(options.paths.index));
    }
    return made;
}

result<std::unique_ptr<turbo_upper>> turbo_upper::open(const upper_paths& paths, access mode,
                                                       byte_count inherited_size) {
    host_file_system files;
    const auto how = mode == access::read_write ? open_mode::existing : open_mode::read_only;
    std::unique_ptr<turbo_upper> opened(new turbo_upper);
    TRY(opened->journal_, files.open(paths.index, how));
    TRY(opened->identity_, read_identity(*opened->journal_));
    TRY(opened->data_, files.open(paths.data, how));
    if (opened->identity_.virtual_size.value == 0) opened->identity_.virtual_size = inherited_size;
    TRYV(opened->load_journal());
    return opened;
}

result<void> turbo_upper::load_journal() {
    TRY(const auto size, journal_->size());
    constexpr auto entry_bytes = sizeof(lsmt::index_entry);
    const auto count = (std::max(size.value, lsmt::header_space_bytes) - lsmt::header_space_bytes) / entry_bytes;
    if (count > limits::lsmt_journal_entries) return fail(errc::limit_exceeded, journal_->name() + ": entries");
    journal_end_ = {lsmt::header_space_bytes + count * entry_bytes};
    unsigned base = 255;  // overlaybd may have counted the tags from another number than 0
    std::vector<lsmt::packed_mapping> entries;
    for (std::uint64_t at = 0; at < count;) {
        std::vector<std::byte> raw(std::min<std::uint64_t>(entries_a_read, count - at) * entry_bytes);
        TRYV(journal_->read({lsmt::header_space_bytes + at * entry_bytes}, raw));
        for (std::size_t i = 0; i < raw.size() / entry_bytes; ++i) {
            const auto entry = lsmt::from_disk(load<lsmt::index_entry>(raw, i * entry_bytes));
            if (entry.is_padding() || entry.length() == 0) continue;
            base = std::min<unsigned>(base, entry.tag());
            entries.push_back(entry);
        }
        at += raw.size() / entry_bytes;
    }
    for (const auto& entry : entries) {
        auto m = lsmt::unpack(entry);
        m.tag = static_cast<std::uint8_t>(m.tag - base);
        const bool own = m.tag == lsmt::turbo_tag_own;
        if (m.tag > lsmt::turbo_tag_target || (own && !m.zeroed && m.moffset != m.start) ||
            m.end().value > identity_.virtual_size.value / sector_bytes)
            return fail(errc::corrupt, journal_->name() + ": an entry that no TurboOCI layer has");
        insert(m);
    }
    return {};
}

/// On top of what is there.
void turbo_upper::insert(const lsmt::mapping& m) {
    auto at = mappings_.lower_bound(m.start.value);
    if (at != mappings_.begin()) at = std::prev(at);
    while (at != mappings_.end() && at->second.start < m.end()) {
        const auto old = at->second;
        if (old.end() <= m.start) {
            ++at;
            continue;
        }
        at = mappings_.erase(at);
        if (old.start < m.start) mappings_[old.start.value] = lsmt::clipped(old, old.start, m.start);
        if (m.end() < old.end()) mappings_[m.end().value] = lsmt::clipped(old, m.end(), old.end());
    }
    mappings_[m.start.value] = m;
}

void turbo_upper::put(lsmt::mapping m) {
    insert(m);
    unwritten_.push_back(lsmt::pack(m));
}

std::vector<lsmt::mapping> turbo_upper::lookup(sector_range range) const {
    std::vector<lsmt::mapping> found;
    const sector end{range.start.value + range.length};
    auto at = mappings_.upper_bound(range.start.value);
    if (at != mappings_.begin()) at = std::prev(at);
    for (; at != mappings_.end() && at->second.start < end; ++at) {
        const auto& m = at->second;
        if (m.end() <= range.start) continue;
        found.push_back(lsmt::clipped(m, std::max(m.start, range.start), std::min(m.end(), end)));
    }
    return found;
}

std::vector<lsmt::packed_mapping> turbo_upper::dump() const {
    std::vector<lsmt::packed_mapping> all;
    for (const auto& [start, m] : mappings_) lsmt::append_joined(all, m);
    return all;
}

result<void> turbo_upper::write(sector start, const_bytes bytes) {
    ASSERT(bytes.size() % sector_bytes == 0);
    TRYV(data_->write(to_bytes(start), bytes));
    for (std::uint64_t left = bytes.size() / sector_bytes; left > 0;) {
        const auto length = static_cast<std::uint32_t>(std::min<std::uint64_t>(left, lsmt::max_mapping_sectors));
        put({.start = start, .moffset = start, .length = length, .tag = lsmt::turbo_tag_own});
        start.value += length;
        left -= length;
    }
    return {};
}

void turbo_upper::zero(sector_range range) {
    while (range.length > 0) {
        const auto length =
            static_cast<std::uint32_t>(std::min<std::uint64_t>(range.length, lsmt::max_mapping_sectors));
        put({.start = range.start, .moffset = lsmt::first_data_sector, .length = length, .zeroed = true});
        range.start.value += length;
        range.length -= length;
    }
}

void turbo_upper::map_target(sector_range range, sector target) {
    while (range.length > 0) {
        const auto length =
            static_cast<std::uint32_t>(std::min<std::uint64_t>(range.length, lsmt::max_mapping_sectors));
        put({.start = range.start, .moffset = target, .length = length, .tag = lsmt::turbo_tag_target});
        range.start.value += length;
        range.length -= length;
        target.value += length;
    }
}

result<void> turbo_upper::flush() {
    TRYV(data_->sync());
    if (!unwritten_.empty()) {
        const auto raw = lsmt::encode_index(unwritten_, 1);
        TRYV(journal_->write(journal_end_, raw));
        journal_end_ = journal_end_ + byte_count{raw.size()};
        unwritten_.clear();
    }
    return journal_->sync();
}

result<commit_totals> commit_turbo(turbo_upper& from, layer_description description, const layer_wrapping& wrapping,
                                   byte_sink& to) {
    description.form = layer_description::layer_form::turbo;
    commit_totals totals;
    std::vector<std::byte> buffer(sectors_a_read * sector_bytes);
    const auto copy = [&](const lsmt::mapping& m, lsmt_writer& writer) -> result<void> {
        for (std::uint64_t done = 0; done < m.length;) {
            const auto count = std::min<std::uint64_t>(sectors_a_read, m.length - done);
            const auto part = mutable_bytes(buffer).first(count * sector_bytes);
            TRYV(from.data().read(to_bytes(sector{m.moffset.value + done}), part));
            TRYV(writer.data({m.start.value + done}, part));
            done += count;
        }
        return {};
    };
    const auto write_layer = [&](byte_sink& sink) -> result<void> {
        TRY(auto writer, lsmt_writer::begin(sink, description));
        for (const auto& entry : from.dump()) {
            const auto m = lsmt::unpack(entry);
            if (m.zeroed) {
                TRYV(writer.zeroed(m.start, m.length));
            } else if (m.tag == lsmt::turbo_tag_target) {
                TRYV(writer.target(m.start, m.moffset, m.length));
            } else {
                TRYV(copy(m, writer));
            }
        }
        TRY(totals.layer, writer.finish());
        return {};
    };
    TRY(totals.zfile, write_wrapped(wrapping, to, write_layer));
    return totals;
}

}  // namespace obd::layers

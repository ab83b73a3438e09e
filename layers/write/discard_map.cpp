#include "layers/write/discard_map.hpp"

#include <algorithm>
#include <array>
#include <boost/endian/arithmetic.hpp>

#include "base/crc32c.hpp"
#include "base/limits.hpp"

namespace obd::layers {
namespace {

constexpr std::uint64_t header_bytes = 512;
constexpr std::uint64_t records_worth_compacting = 4096;

/// The beginning of the map. docs/formats/side-files.md.
struct map_header {
    std::array<char, 8> magic;
    std::array<char, 40> uuid;  ///< of the layer, zero padded
    boost::endian::little_uint32_t reserved;
    boost::endian::little_uint32_t crc;  ///< crc32c of the 52 bytes before
};
static_assert(sizeof(map_header) == 56 && offsetof(map_header, crc) == 52);

/// One range. Little-endian. Never crosses a sector.
struct map_record {
    boost::endian::little_uint64_t start, length;  ///< virtual sectors
    std::array<std::uint8_t, 12> reserved;
    boost::endian::little_uint32_t crc;  ///< crc32c of the 28 bytes before
};
static_assert(sizeof(map_record) == 32);

constexpr std::array<char, 8> map_magic{'O', 'B', 'D', 'M', 'A', 'P', 0, 1};

template <typename Wire>
std::uint32_t crc_of(const Wire& wire) {
    return crc32c(bytes_of(wire).first(offsetof(Wire, crc)));
}

map_header make_header(const std::string& uuid) {
    map_header header{};
    header.magic = map_magic;
    std::copy_n(uuid.begin(), std::min(uuid.size(), header.uuid.size()), header.uuid.begin());
    header.crc = crc_of(header);
    return header;
}

map_record make_record(sector_range range) {
    map_record record{};
    record.start = range.start.value;
    record.length = range.length;
    record.crc = crc_of(record);
    return record;
}

byte_offset position_of(std::uint64_t record) {
    return {header_bytes + record * sizeof(map_record)};
}

}  // namespace

std::filesystem::path discard_map::path_for(const std::filesystem::path& data) {
    auto path = data;
    path += ".obdmap";
    return path;
}

result<std::unique_ptr<discard_map>> discard_map::open(location where) {
    std::unique_ptr<discard_map> map(new discard_map(std::move(where)));
    TRYV(map->load());
    const bool writable = map->where_.mode != open_mode::read_only;
    // A damaged record would be found, and told, at every opening.
    const bool worth_it =
        map->damaged_ > 0 || (map->records_ > records_worth_compacting && map->records_ > 2 * map->ranges_.size());
    if (writable && worth_it) {
        const auto compacted = map->compact();
        if (!compacted && !compacted.error().is(errc::out_of_space)) return compacted.error();
    }
    return map;
}

result<void> discard_map::load() {
    const auto path = path_for(where_.data);
    TRY(const bool there, where_.files->exists(path));
    if (!there) return {};
    TRY(const auto found, where_.files->open(path, where_.mode));
    std::array<std::byte, sizeof(map_header)> raw{};
    TRYV(found->read({0}, raw));
    const auto expected = make_header(where_.uuid);
    const auto same = bytes_of(expected);
    if (!std::equal(same.begin(), same.end(), raw.begin())) return {};  // of another layer, or never finished
    TRY(const auto size, found->size());
    records_ = (std::max(size.value, header_bytes) - header_bytes) / sizeof(map_record);
    if (records_ > limits::lsmt_journal_entries) {
        return fail(errc::limit_exceeded, path.string() + ": " + std::to_string(records_) + " records");
    }
    std::vector<std::byte> bytes(records_ * sizeof(map_record));
    TRYV(found->read(position_of(0), bytes));
    for (std::uint64_t i = 0; i < records_; ++i) {
        const auto record = obd::load<map_record>(bytes, i * sizeof(map_record));
        const std::uint64_t start = record.start;
        const std::uint64_t length = record.length;
        const bool sound = record.crc == crc_of(record) && length > 0 && start < lsmt::invalid_offset &&
                           length < lsmt::invalid_offset - start;
        if (sound) {
            merge({.start = {start}, .length = length});
        } else {
            ++damaged_;
        }
    }
    file_ = found;
    if (where_.mode == open_mode::read_only) return {};
    return file_->sync();  // also what a process that died left in the page cache
}

result<void> discard_map::create() {
    const auto path = path_for(where_.data);
    TRYV(where_.files->remove(path));
    TRY(const auto fresh, where_.files->open(path, open_mode::create));
    TRYV(fresh->resize({header_bytes}));
    const auto header = make_header(where_.uuid);
    TRYV(fresh->write({0}, bytes_of(header)));
    TRYV(fresh->sync());
    TRYV(where_.files->sync_directory_of(path));
    file_ = fresh;
    records_ = 0;
    return {};
}

result<void> discard_map::compact() {
    const auto path = path_for(where_.data);
    auto temporary = path;
    temporary += ".new";
    TRYV(where_.files->remove(temporary));
    TRY(const auto fresh, where_.files->open(temporary, open_mode::create));
    byte_writer content;
    const auto header = make_header(where_.uuid);
    content.put(bytes_of(header)).zeros(header_bytes - sizeof(map_header));
    for (const auto& [start, end] : ranges_) {
        const auto record = make_record({.start = {start}, .length = end - start});
        content.put(bytes_of(record));
    }
    TRYV(fresh->write({0}, content.written()));
    TRYV(fresh->sync());
    TRYV(where_.files->rename(temporary, path));
    TRYV(where_.files->sync_directory_of(path));
    file_ = fresh;
    records_ = ranges_.size();
    return {};
}

std::vector<sector_range> discard_map::ranges() const {
    const std::lock_guard lock(mutex_);
    std::vector<sector_range> all;
    all.reserve(ranges_.size());
    for (const auto& [start, end] : ranges_) all.push_back({.start = {start}, .length = end - start});
    return all;
}

byte_count discard_map::size() const {
    const std::lock_guard lock(mutex_);
    return {file_ ? position_of(records_).value : 0};
}

bool discard_map::covers(sector_range range) const {
    auto next = ranges_.upper_bound(range.start.value);
    if (next == ranges_.begin()) return false;
    return std::prev(next)->second >= range.start.value + range.length;
}

void discard_map::merge(sector_range range) {
    auto start = range.start.value;
    auto end = start + range.length;
    auto next = ranges_.upper_bound(start);
    if (next != ranges_.begin() && std::prev(next)->second >= start) --next;
    while (next != ranges_.end() && next->first <= end) {
        start = std::min(start, next->first);
        end = std::max(end, next->second);
        next = ranges_.erase(next);
    }
    ranges_[start] = end;
}

result<void> discard_map::add(sector_range range) {
    const std::lock_guard lock(mutex_);
    if (range.length == 0 || covers(range)) return {};
    if (!file_) {
        TRYV(create());
    }
    const auto record = make_record(range);
    TRYV(file_->write(position_of(records_), bytes_of(record)));
    ++records_;
    dirty_ = true;
    merge(range);
    return {};
}

result<void> discard_map::sync() {
    std::shared_ptr<file> what;
    {
        const std::lock_guard lock(mutex_);
        if (!dirty_) return {};
        what = file_;
        dirty_ = false;
    }
    auto synced = what->sync();
    if (!synced) {
        const std::lock_guard lock(mutex_);
        dirty_ = true;
    }
    return synced;
}

void discard_map::unlock() noexcept {
    const std::lock_guard lock(mutex_);
    if (file_) file_->unlock();
}

}  // namespace obd::layers

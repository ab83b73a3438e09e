#include "layers/write/sparse_upper.hpp"

#include <algorithm>
#include <array>
#include <vector>

#include "base/limits.hpp"

namespace obd::layers {
namespace {

constexpr std::size_t parts_in_place = 64;  // a 32 KiB write over the worst fragmented range

byte_offset place_of(sector where) {
    return {to_bytes(where).value + lsmt::header_space_bytes};
}

/// The range as mappings of the greatest length; data lies at its own place, zeroed ones anywhere.
std::vector<lsmt::mapping> mappings_of(sector_range range, segment::kind state) {
    std::vector<lsmt::mapping> all;
    for (std::uint64_t done = 0; done < range.length;) {
        const auto length = std::min<std::uint64_t>(range.length - done, lsmt::max_mapping_sectors);
        const sector start{range.start.value + done};
        const bool zeroed = state == segment::kind::zeroed;
        all.push_back({.start = start,
                       .moffset = zeroed ? lsmt::first_data_sector : sector_of(place_of(start)),
                       .length = static_cast<std::uint32_t>(length),
                       .zeroed = zeroed});
        done += length;
    }
    return all;
}

}  // namespace

result<std::shared_ptr<upper>> sparse_upper::open(const upper_opening& how, upper_files files) {
    std::shared_ptr<sparse_upper> opened(new sparse_upper);
    opened->files_ = how.files;
    opened->paths_ = how.paths;
    opened->identity_ = std::move(files.identity);
    opened->data_ = std::move(files.data);
    const bool writable = how.mode == upper_opening::access::read_write;
    discard_map::location where{.files = how.files,
                                .data = how.paths.data,
                                .uuid = opened->identity_.uuid,
                                .mode = writable ? open_mode::existing : open_mode::read_only};
    TRY(opened->map_, discard_map::open(std::move(where)));
    const std::uint64_t full_bytes = lsmt::header_space_bytes + opened->identity_.virtual_size.value;
    TRY(const auto size, opened->data_->size());
    if (size.value < full_bytes && writable) {
        TRYV(opened->data_->resize({full_bytes}));  // the size of the disk was taken from the layers below just now
    }
    if (writable) {
        TRYV(opened->data_->sync());  // also what a process that died left in the page cache
    }
    TRYV(opened->load());
    return std::shared_ptr<upper>(std::move(opened));
}

result<void> sparse_upper::load() {
    const std::uint64_t disk_sectors = identity_.virtual_size.value / sector_bytes;
    for (const auto& range : map_->ranges()) {
        if (range.start.value >= disk_sectors) continue;
        const auto length = std::min(range.length, disk_sectors - range.start.value);
        index_.insert(mappings_of({.start = range.start, .length = length}, segment::kind::zeroed));
    }
    if (map_->damaged_records() > 0) {
        repairs_.dropped_entries = map_->damaged_records();
        repairs_.notes.push_back(std::to_string(map_->damaged_records()) +
                                 " discards that never completed are dropped");
    }
    // Data wins over discards: it was written later, or the discard did not get as far as to punch it out.
    byte_offset at{lsmt::header_space_bytes};
    for (;;) {
        TRY(const auto found, data_->next_data(at));
        if (!found) return {};
        const sector begin{(std::max(found->begin, at).value - lsmt::header_space_bytes) / sector_bytes};
        const sector end{std::min(
            disk_sectors, (align_up(found->end.value, sector_bytes) - lsmt::header_space_bytes) / sector_bytes)};
        if (begin >= end) return {};
        const sector_range range{.start = begin, .length = end.value - begin.value};
        index_.insert(mappings_of(range, segment::kind::data));
        data_sectors_ += range.length;
        if (index_.size() > limits::merged_entries) return fail(errc::limit_exceeded, data_->name() + ": extents");
        at = found->end;
    }
}

result<void> sparse_upper::check_usable() const {
    if (!failed_.load(std::memory_order_relaxed)) return {};
    return fail(errc::io_error, data_->name() + ": an earlier sync failed; open the image again");
}

std::uint64_t sparse_upper::without_data(std::span<const segment> parts) noexcept {
    std::uint64_t sectors = 0;
    for (const auto& part : parts) sectors += part.state == segment::kind::data ? 0 : part.length;
    return sectors;
}

result<void> sparse_upper::put(sector start, const_bytes bytes, std::uint64_t fresh) {
    const auto most = quota_.load(std::memory_order_relaxed);
    if (most != 0 && fresh != 0 && place_of({data_sectors_ + fresh}).value + map_->size().value > most) {
        return fail(errc::out_of_space, "quota");
    }
    TRYV(data_->write(place_of(start), bytes));
    dirty_ = true;
    if (fresh == 0) return {};
    const sector_range range{.start = start, .length = bytes.size() / sector_bytes};
    index_.insert(mappings_of(range, segment::kind::data));
    data_sectors_ += fresh;
    return {};
}

attempt sparse_upper::try_write(sector start, const_bytes bytes) noexcept {
    if (failed_.load(std::memory_order_relaxed)) return attempt::would_block;
    std::array<segment, parts_in_place> parts;
    const auto count = index_.try_lookup({.start = start, .length = bytes.size() / sector_bytes}, parts);
    if (!count) return attempt::would_block;
    const auto fresh = without_data(std::span<const segment>(parts).first(*count));
    return put(start, bytes, fresh).has_value() ? attempt::complete : attempt::would_block;
}

result<void> sparse_upper::write(sector start, const_bytes bytes) {
    TRYV(check_usable());
    const auto parts = index_.lookup({.start = start, .length = bytes.size() / sector_bytes});
    return put(start, bytes, without_data(parts));
}

result<void> sparse_upper::zero(sector_range range) {
    TRYV(check_usable());
    TRYV(map_->add(range));
    const auto parts = index_.lookup(range);
    const auto data = range.length - without_data(parts);
    if (data > 0) {
        // The record must be durable before the hole can be: a hole without it would show the layer below.
        TRYV(map_->sync());
        TRYV(data_->punch_hole(place_of(range.start), {range.length * sector_bytes}));
    }
    index_.insert(mappings_of(range, segment::kind::zeroed));
    data_sectors_ -= data;
    dirty_ = true;
    return {};
}

result<void> sparse_upper::sync_all() {
    TRYV(data_->sync());
    return map_->sync();
}

result<void> sparse_upper::flush() {
    TRYV(check_usable());
    if (!dirty_.exchange(false)) return {};
    auto synced = sync_all();
    // After a failed sync the kernel forgets which pages were not written: nothing can be promised any more.
    if (!synced) failed_ = true;
    ++flushes_;
    return synced;
}

result<void> sparse_upper::resize(byte_count virtual_size) {
    upper_files files{.data = data_, .index = nullptr, .identity = identity_};
    files.identity.virtual_size = virtual_size;
    TRYV(unseal());  // nothing that lies behind the disk may become part of it
    TRYV(data_->resize({lsmt::header_space_bytes + virtual_size.value}));
    TRYV(rewrite_headers(files));
    identity_.virtual_size = virtual_size;
    return {};
}

result<void> sparse_upper::seal() {
    TRYV(flush());
    // In a block of its own: sharing one with the end of the disk would make that data, should the seal be given up.
    const auto end = align_up(place_of({identity_.virtual_size.value / sector_bytes}).value, data_->block_bytes());
    const sealing what{.data = *data_, .identity = identity_, .end = {end}};
    auto sealed = write_seal(what, index_.dump());
    if (!sealed) static_cast<void>(unseal());
    return sealed;
}

result<void> sparse_upper::unseal() {
    return data_->resize({lsmt::header_space_bytes + identity_.virtual_size.value});
}

result<void> sparse_upper::close() {
    TRYV(flush());
    data_->unlock();
    map_->unlock();
    return {};
}

result<void> sparse_upper::remove_side_file() {
    return files_->remove(discard_map::path_for(paths_.data));
}

upper_usage sparse_upper::usage() const {
    return {.data = {lsmt::header_space_bytes + data_sectors_.load() * sector_bytes},
            .index = map_->size(),
            .flushes = flushes_.load()};
}

}  // namespace obd::layers

#include "tests/support/memory_disk.hpp"

#include <algorithm>
#include <cstdlib>

namespace obd::testing {
namespace {

std::uint64_t grain(const device_geometry& geometry) {
    return geometry.discard_granularity_bytes != 0 ? geometry.discard_granularity_bytes : 4096;
}

}  // namespace

memory_disk::memory_disk(device_geometry geometry)
    : geometry_(geometry),
      memory_(new std::byte[geometry.size.value]()),
      has_data_((geometry.size.value + grain(geometry) - 1) / grain(geometry)) {}

result<void> memory_disk::check(byte_offset offset, byte_count count) const {
    if (!within(offset, count, geometry_.size)) return fail(errc::out_of_range, "memory disk");
    return {};
}

void memory_disk::note(byte_offset offset, byte_count count, bool has_data) {
    const auto each = grain(geometry_);
    // A part of a grain that is discarded leaves the grain's other data.
    const auto first = has_data ? offset.value / each : (offset.value + each - 1) / each;
    const auto end = has_data ? (offset.value + count.value + each - 1) / each : (offset.value + count.value) / each;
    for (auto i = first; i < end; ++i) has_data_[i] = has_data;
}

void memory_disk::put(byte_offset offset, const_bytes data) {
    std::copy(data.begin(), data.end(), memory_.get() + offset.value);
    note(offset, {data.size()}, true);
}

attempt memory_disk::try_read(byte_offset offset, mutable_bytes out) noexcept {
    if (!within(offset, {out.size()}, geometry_.size)) return attempt::would_block;
    std::copy_n(memory_.get() + offset.value, out.size(), out.begin());
    return attempt::complete;
}

asio::awaitable<result<void>> memory_disk::read(byte_offset offset, mutable_bytes out) {
    CO_TRYV(check(offset, {out.size()}));
    std::copy_n(memory_.get() + offset.value, out.size(), out.begin());
    co_return result<void>{};
}

attempt memory_disk::try_write(byte_offset offset, const_bytes data) noexcept {
    if (geometry_.access == access_mode::read_only || !within(offset, {data.size()}, geometry_.size))
        return attempt::would_block;
    const std::lock_guard lock(mutex_);
    put(offset, data);
    return attempt::complete;
}

asio::awaitable<result<void>> memory_disk::write(byte_offset offset, const_bytes data, durability) {
    CO_TRYV(check(offset, {data.size()}));
    if (geometry_.access == access_mode::read_only) co_return fail(errc::read_only, "memory disk");
    const std::lock_guard lock(mutex_);
    put(offset, data);
    co_return result<void>{};
}

asio::awaitable<result<void>> memory_disk::write_atomic(byte_offset offset, const_bytes data, durability when) {
    return write(offset, data, when);
}

asio::awaitable<result<std::optional<miscompare>>> memory_disk::compare_and_write(byte_offset offset,
                                                                                  const_bytes expected,
                                                                                  const_bytes data, durability) {
    CO_TRYV(check(offset, {data.size()}));
    if (geometry_.access == access_mode::read_only) co_return fail(errc::read_only, "memory disk");
    const std::lock_guard lock(mutex_);
    const const_bytes found(memory_.get() + offset.value, expected.size());
    const auto difference = std::mismatch(found.begin(), found.end(), expected.begin()).first;
    if (difference != found.end()) {
        co_return std::optional(
            miscompare{offset + byte_count{static_cast<std::uint64_t>(difference - found.begin())}});
    }
    put(offset, data);
    co_return std::optional<miscompare>{};
}

asio::awaitable<result<void>> memory_disk::discard(byte_offset offset, byte_count count) {
    CO_TRYV(check(offset, count));
    if (geometry_.access == access_mode::read_only) co_return fail(errc::read_only, "memory disk");
    const std::lock_guard lock(mutex_);
    std::fill_n(memory_.get() + offset.value, count.value, std::byte{0});
    note(offset, count, false);
    co_return result<void>{};
}

asio::awaitable<result<void>> memory_disk::erase() {
    return discard({0}, geometry_.size);
}

asio::awaitable<result<void>> memory_disk::flush() {
    co_return result<void>{};
}

asio::awaitable<result<std::vector<device_extent>>> memory_disk::extents(byte_offset offset, byte_count count,
                                                                         std::size_t limit) {
    CO_TRYV(check(offset, count));
    const std::lock_guard lock(mutex_);
    std::vector<device_extent> found;
    const auto end = offset.value + count.value;
    for (auto at = offset.value; at < end;) {
        const bool data = has_data_[at / grain(geometry_)];
        const auto kind = data ? device_extent::kind::data : device_extent::kind::deallocated;
        const auto next = std::min(end, (at / grain(geometry_) + 1) * grain(geometry_));
        if (!found.empty() && found.back().state == kind) {
            found.back().length.value += next - at;
        } else if (found.size() == limit) {
            break;
        } else {
            found.push_back({{at}, {next - at}, kind});
        }
        at = next;
    }
    co_return found;
}

asio::awaitable<result<void>> memory_disk::prefetch(byte_offset offset, byte_count count) {
    co_return check(offset, count);
}

}  // namespace obd::testing

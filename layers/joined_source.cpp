#include "layers/joined_source.hpp"

namespace obd::layers {

joined_source::joined_source(std::shared_ptr<blob_source> first, std::shared_ptr<blob_source> second)
    : first_(std::move(first)),
      second_(std::move(second)),
      second_start_{align_up(first_->size().value, sector_bytes)} {}

byte_count joined_source::size() const noexcept {
    return {second_start_.value + second_->size().value};
}

joined_source::place joined_source::find(byte_offset offset) const noexcept {
    if (offset < second_start_) return {*first_, offset};
    return {*second_, byte_offset{offset.value - second_start_.value}};
}

attempt joined_source::try_read(byte_offset offset, mutable_bytes out) noexcept {
    const auto at = find(offset);
    return at.source.try_read(at.offset, out);
}

asio::awaitable<result<void>> joined_source::read(byte_offset offset, mutable_bytes out) {
    const auto at = find(offset);
    co_return co_await at.source.read(at.offset, out);
}

bool joined_source::discard_cached(byte_offset offset, byte_count count) noexcept {
    const auto at = find(offset);
    return at.source.discard_cached(at.offset, count);
}

void joined_source::prefetch(byte_offset offset, byte_count count) noexcept {
    const auto at = find(offset);
    at.source.prefetch(at.offset, count);
}

}  // namespace obd::layers

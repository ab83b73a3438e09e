#include "layers/window_source.hpp"

#include <algorithm>
#include <string>

namespace obd::layers {

byte_count window_source::clip(byte_offset offset, byte_count count) const noexcept {
    if (offset.value >= size_.value) return {0};
    return {std::min(count.value, size_.value - offset.value)};
}

attempt window_source::try_read(byte_offset offset, mutable_bytes out) noexcept {
    if (!within(offset, {out.size()}, size_)) return attempt::would_block;
    return source_->try_read(outer(offset), out);
}

asio::awaitable<result<void>> window_source::read(byte_offset offset, mutable_bytes out) {
    if (!within(offset, {out.size()}, size_)) {
        co_return fail(errc::out_of_range, std::string(name()) + ": read of " + std::to_string(out.size()) +
                                               " bytes at " + std::to_string(offset.value) + " in a payload of " +
                                               std::to_string(size_.value));
    }
    co_return co_await source_->read(outer(offset), out);
}

bool window_source::discard_cached(byte_offset offset, byte_count count) noexcept {
    const auto clipped = clip(offset, count);
    return clipped.value > 0 && source_->discard_cached(outer(offset), clipped);
}

void window_source::prefetch(byte_offset offset, byte_count count) noexcept {
    const auto clipped = clip(offset, count);
    if (clipped.value > 0) source_->prefetch(outer(offset), clipped);
}

}  // namespace obd::layers

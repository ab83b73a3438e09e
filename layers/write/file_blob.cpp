#include "layers/write/file_blob.hpp"

#include <string>
#include <utility>

namespace obd::layers {

attempt file_blob::try_read(byte_offset offset, mutable_bytes out) noexcept {
    if (!within(offset, {out.size()}, size_)) return attempt::would_block;
    return file_->try_read(offset, out);
}

asio::awaitable<result<void>> file_blob::read(byte_offset offset, mutable_bytes out) {
    if (!within(offset, {out.size()}, size_)) {
        co_return fail(errc::out_of_range, file_->name() + ": byte " + std::to_string(offset.value));
    }
    auto work = [this, offset, out] { return file_->read(offset, out); };
    co_return co_await workers_.run(std::move(work));
}

}  // namespace obd::layers

#include "tests/support/fault_blob.hpp"

#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstring>
#include <utility>

namespace obd::test {

fault_blob::fault_blob(std::vector<std::byte> content, place where, std::string name)
    : content_(std::move(content)), where_(where), name_(std::move(name)) {}

void fault_blob::fail_at(std::uint64_t offset, errc code, int times) {
    faults_.push_back({offset, code, times});
}
void fault_blob::spoil_at(std::uint64_t offset, int discards) {
    faults_.push_back({offset, errc::ok, discards});
}

result<void> fault_blob::serve(byte_offset offset, mutable_bytes out) {
    if (!within(offset, {out.size()}, size())) return fail(errc::out_of_range, name_);
    if (out.empty()) return {};
    std::memcpy(out.data(), content_.data() + offset.value, out.size());
    const std::lock_guard lock(mutex_);
    for (fault& f : faults_) {
        if (f.left <= 0 || f.offset < offset.value || f.offset >= offset.value + out.size()) continue;
        if (f.code == errc::ok) {
            out[f.offset - offset.value] ^= std::byte{0x40};
        } else {
            --f.left;
            return fail(f.code, name_);
        }
    }
    return {};
}

attempt fault_blob::try_read(byte_offset offset, mutable_bytes out) noexcept {
    if (where_ == place::far) return attempt::would_block;
    ++reads_in_place_;
    return serve(offset, out) ? attempt::complete : attempt::would_block;
}

asio::awaitable<result<void>> fault_blob::read(byte_offset offset, mutable_bytes out) {
    ++reads_;
    auto executor = co_await asio::this_coro::executor;
    co_await asio::post(executor, asio::use_awaitable);
    co_return serve(offset, out);
}

bool fault_blob::discard_cached(byte_offset offset, byte_count count) noexcept {
    ++discards_;
    const std::lock_guard lock(mutex_);
    for (fault& f : faults_) {
        const bool covered = f.offset >= offset.value && f.offset - offset.value < count.value;
        if (f.code == errc::ok && covered) --f.left;
    }
    return refetchable_;
}

void fault_blob::prefetch(byte_offset, byte_count) noexcept {
    ++prefetches_;
}

}  // namespace obd::test

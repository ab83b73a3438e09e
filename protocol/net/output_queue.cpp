#include "protocol/net/output_queue.hpp"

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>

#include "base/crc32c.hpp"

namespace obd::iscsi {
namespace {

constexpr std::size_t vectors_per_send = 1024;  // IOV_MAX of Linux

/// Gathers stretches of memory, after skipping what was sent before.
class gatherer {
public:
    explicit gatherer(std::size_t skip) : skip_(skip) {}

    bool full() const { return count_ + 3 > vectors_.size(); }
    void add(const std::byte* data, std::size_t bytes) {
        const auto skipped = std::min(skip_, bytes);
        skip_ -= skipped;
        if (bytes == skipped) return;
        vectors_[count_++] = {const_cast<std::byte*>(data) + skipped, bytes - skipped};  // sendmsg only reads
        bytes_ += bytes - skipped;
    }
    ssize_t send(int descriptor) {
        msghdr message{};
        message.msg_iov = vectors_.data();
        message.msg_iovlen = count_;
        return ::sendmsg(descriptor, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    std::size_t bytes() const { return bytes_; }

private:
    std::array<iovec, vectors_per_send> vectors_;
    std::size_t count_ = 0;
    std::size_t bytes_ = 0;
    std::size_t skip_;
};

}  // namespace

void output_queue::push(const framing& how, const_bytes header, const_bytes data, io_buffer owner) {
    auto& pdu = queue_.emplace_back();
    std::copy_n(header.begin(), bhs_bytes, pdu.head.begin());
    pdu.head_bytes = bhs_bytes;
    if (how.header_digest) {
        const auto digest = encode_digest(crc32c(header));
        std::copy(digest.begin(), digest.end(), pdu.head.begin() + bhs_bytes);
        pdu.head_bytes += digest_bytes;
    }
    pdu.data = data.data();
    pdu.data_bytes = static_cast<std::uint32_t>(data.size());
    const auto padding = padding_of(pdu.data_bytes);
    std::fill_n(pdu.tail.begin(), padding, std::byte{0});
    pdu.tail_bytes = static_cast<std::uint8_t>(padding);
    if (how.data_digest && !data.empty()) {
        const auto digest = encode_digest(crc32c(const_bytes(pdu.tail).first(padding), crc32c(data)));
        std::copy(digest.begin(), digest.end(), pdu.tail.begin() + padding);
        pdu.tail_bytes = static_cast<std::uint8_t>(padding + digest_bytes);
    }
    pdu.owner = std::move(owner);
    bytes_ += pdu.total();
}

output_queue::outcome output_queue::send(int descriptor) {
    while (!empty()) {
        gatherer gather(first_sent_);
        for (std::size_t i = first_; i < queue_.size() && !gather.full(); ++i) {
            const auto& pdu = queue_[i];
            gather.add(pdu.head.data(), pdu.head_bytes);
            if (pdu.data_bytes != 0) gather.add(pdu.data, pdu.data_bytes);
            if (pdu.tail_bytes != 0) gather.add(pdu.tail.data(), pdu.tail_bytes);
        }
        const auto count = gather.send(descriptor);
        if (count < 0) {
            if (errno == EINTR) continue;
            return errno == EAGAIN || errno == EWOULDBLOCK ? outcome::blocked : outcome::failed;
        }
        sent(static_cast<std::size_t>(count));
        if (static_cast<std::size_t>(count) < gather.bytes()) return outcome::blocked;
    }
    return outcome::drained;
}

void output_queue::sent(std::size_t count) {
    bytes_ -= count;
    first_sent_ += count;
    while (first_ < queue_.size() && first_sent_ >= queue_[first_].total()) {
        first_sent_ -= queue_[first_].total();
        queue_[first_].owner.reset();
        ++first_;
    }
    if (empty()) {
        queue_.clear();
        first_ = 0;
    } else if (first_ > 256 && first_ > queue_.size() / 2) {
        queue_.erase(queue_.begin(), queue_.begin() + static_cast<std::ptrdiff_t>(first_));
        first_ = 0;
    }
}

void output_queue::clear() {
    queue_.clear();
    first_ = first_sent_ = bytes_ = 0;
}

}  // namespace obd::iscsi

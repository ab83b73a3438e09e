// What a connection still has to send: PDUs with their payload by reference, and one gathered send for all of them.
// Belongs to one thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/bytes.hpp"
#include "protocol/iscsi/bhs.hpp"
#include "protocol/iscsi/io_buffer.hpp"
#include "protocol/iscsi/pdu_reader.hpp"

namespace obd::iscsi {

class output_queue {
public:
    /// `header` is copied. `data` lies in `owner` or in the owner of a later PDU. Padding and digests are added.
    void push(const framing& how, const_bytes header, const_bytes data, io_buffer owner);

    enum class outcome { drained, blocked, failed };
    /// Sends all that the socket takes, without waiting. `failed` leaves errno.
    outcome send(int descriptor);

    bool empty() const { return first_ == queue_.size(); }
    std::size_t bytes() const { return bytes_; }
    void clear();

private:
    struct queued_pdu {
        std::array<std::byte, bhs_bytes + digest_bytes> head;
        std::array<std::byte, 3 + digest_bytes> tail;
        std::uint8_t head_bytes = 0;
        std::uint8_t tail_bytes = 0;
        std::uint32_t data_bytes = 0;
        const std::byte* data = nullptr;
        io_buffer owner;

        std::size_t total() const { return std::size_t{head_bytes} + data_bytes + tail_bytes; }
    };
    void sent(std::size_t count);

    std::vector<queued_pdu> queue_;
    std::size_t first_ = 0;       // the first that is not sent completely
    std::size_t first_sent_ = 0;  // bytes of it that are
    std::size_t bytes_ = 0;
};

}  // namespace obd::iscsi

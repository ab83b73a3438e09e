// A disk that does to its operations what a script says: hold them, fail them, let them pass to the disk below.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>

#include "tests/support/memory_disk.hpp"

namespace obd::testing {

/// Every operation first waits while the disk is held, then takes the next failure of the script, if any. Nothing is
/// hot. Thread-safe.
class fault_disk final : public memory_disk {
public:
    explicit fault_disk(device_geometry geometry) : memory_disk(geometry) {}

    /// From now on operations wait for release(), or for their cancellation if `heed_cancellation`.
    void hold(bool heed_cancellation = true);
    void release();
    /// The next operation that is not held any more fails so. May be said several times.
    void fail_next(failure with);
    /// Waits until that many operations are held. For the test's own thread.
    void wait_until_held(std::size_t count);

    attempt try_read(byte_offset, mutable_bytes) noexcept override { return attempt::would_block; }
    attempt try_write(byte_offset, const_bytes) noexcept override { return attempt::would_block; }
    asio::awaitable<result<void>> read(byte_offset offset, mutable_bytes out) override;
    asio::awaitable<result<void>> write(byte_offset offset, const_bytes data, durability when) override;
    asio::awaitable<result<void>> discard(byte_offset offset, byte_count count) override;
    asio::awaitable<result<void>> flush() override;

private:
    asio::awaitable<result<void>> pass();

    std::mutex script_;
    std::condition_variable held_changed_;
    bool holding_ = false;
    bool heed_cancellation_ = true;
    std::size_t held_ = 0;
    std::deque<std::shared_ptr<asio::steady_timer>> waiting_;
    std::deque<failure> failures_;
};

}  // namespace obd::testing

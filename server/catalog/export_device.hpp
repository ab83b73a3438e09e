// The disk that a logical unit shows, whether its image is open yet or not.
//
// After a restart the logical units come back at once, with the size and the designators they had, so that initiators
// find them when they reconnect; the images behind them open in the background. Until then commands wait, bounded by
// `patience`, and fail with `unavailable`, which the target turns into a status that initiators retry.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/block_device.hpp"

namespace obd::server {

struct slow_operation {
    std::string_view what;  ///< "read" …
    byte_offset offset;
    byte_count count;
    std::chrono::microseconds took;
};

struct export_device_options {
    std::string name;                    ///< of the export, for messages
    device_geometry geometry;            ///< shown until the image is open
    std::chrono::milliseconds patience;  ///< how long a command waits for the image
    /// Called, on any thread, for reads from the slow path that took at least `slow_after`. May be empty.
    std::function<void(const slow_operation&)> on_slow;
    std::chrono::microseconds slow_after{10'000};
};

/// Thread-safe as block_device is.
class export_device final : public block_device {
public:
    explicit export_device(export_device_options options);
    ~export_device() override;

    /// The image is there: lets waiting commands go on. REQUIRES: called once.
    void open(std::shared_ptr<block_device> image);
    /// Why it is not there yet, for the failures of commands that waited in vain.
    void explain(std::string reason);
    /// Ends waiting commands with `cancelled`: the export goes away.
    void give_up();

    device_geometry geometry() const noexcept override;
    std::optional<device_usage> usage() const noexcept override;
    attempt try_read(byte_offset offset, mutable_bytes out) noexcept override;
    asio::awaitable<result<void>> read(byte_offset offset, mutable_bytes out) override;
    attempt try_write(byte_offset offset, const_bytes data) noexcept override;
    asio::awaitable<result<void>> write(byte_offset offset, const_bytes data, durability when) override;
    asio::awaitable<result<void>> write_atomic(byte_offset offset, const_bytes data, durability when) override;
    asio::awaitable<result<std::optional<miscompare>>> compare_and_write(byte_offset offset, const_bytes expected,
                                                                         const_bytes data, durability when) override;
    asio::awaitable<result<void>> discard(byte_offset offset, byte_count count) override;
    asio::awaitable<result<void>> erase() override;
    asio::awaitable<result<void>> flush() override;
    asio::awaitable<result<std::vector<device_extent>>> extents(byte_offset offset, byte_count count,
                                                                std::size_t limit) override;
    asio::awaitable<result<void>> prefetch(byte_offset offset, byte_count count) override;

private:
    struct waiting_room;

    block_device* current() const noexcept { return current_.load(std::memory_order_acquire); }
    /// The image, once it is there.
    asio::awaitable<result<block_device*>> opened();

    const export_device_options options_;
    std::atomic<block_device*> current_{nullptr};  ///< into `image_`, or null until open()
    std::shared_ptr<block_device> image_;
    std::unique_ptr<waiting_room> waiting_;
};

}  // namespace obd::server

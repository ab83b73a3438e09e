// A disk in memory, complete and quick: what a test wants when the disk is not its subject. Thread-safe.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "base/block_device.hpp"

namespace obd::testing {

class memory_disk : public block_device {
public:
    explicit memory_disk(device_geometry geometry);

    device_geometry geometry() const noexcept override { return geometry_; }
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

    /// The content, for tests that look at it or prepare it while no operation runs.
    mutable_bytes content() { return {memory_.get(), geometry_.size.value}; }

private:
    result<void> check(byte_offset offset, byte_count count) const;
    void put(byte_offset offset, const_bytes data);
    void note(byte_offset offset, byte_count count, bool has_data);

    const device_geometry geometry_;
    std::unique_ptr<std::byte[]> memory_;  // zero pages of the system until written
    std::mutex mutex_;                     // writers, and who must not see half a write
    std::vector<bool> has_data_;           // by discard granularity
};

}  // namespace obd::testing

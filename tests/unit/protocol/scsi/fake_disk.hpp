// A block device that is only asked for its geometry: the device server does no I/O.
#pragma once

#include <stdexcept>

#include "base/block_device.hpp"

namespace obd::test {

class fake_disk final : public block_device {
public:
    explicit fake_disk(device_geometry geometry) : geometry_(geometry) {}

    device_geometry geometry() const noexcept override { return geometry_; }
    void resize(byte_count size) { geometry_.size = size; }
    std::optional<device_usage> usage() const noexcept override { return usage_; }
    void use(device_usage what) { usage_ = what; }

    attempt try_read(byte_offset, mutable_bytes) noexcept override { return attempt::would_block; }
    asio::awaitable<result<void>> read(byte_offset, mutable_bytes) override { throw no_io(); }
    asio::awaitable<result<void>> write(byte_offset, const_bytes, durability) override { throw no_io(); }
    asio::awaitable<result<void>> write_atomic(byte_offset, const_bytes, durability) override { throw no_io(); }
    asio::awaitable<result<std::optional<miscompare>>> compare_and_write(byte_offset, const_bytes, const_bytes,
                                                                         durability) override {
        throw no_io();
    }
    asio::awaitable<result<void>> discard(byte_offset, byte_count) override { throw no_io(); }
    asio::awaitable<result<void>> flush() override { throw no_io(); }
    asio::awaitable<result<std::vector<device_extent>>> extents(byte_offset, byte_count, std::size_t) override {
        throw no_io();
    }
    asio::awaitable<result<void>> prefetch(byte_offset, byte_count) override { throw no_io(); }

private:
    static std::logic_error no_io() { return std::logic_error("the device server did I/O"); }

    device_geometry geometry_;
    std::optional<device_usage> usage_;
};

inline constexpr std::uint64_t disk_blocks = 0x200000;  // 1 GiB

inline device_geometry read_only_disk() {
    return {.size = {disk_blocks * 512}};
}
inline device_geometry thin_disk() {
    return {.size = {disk_blocks * 512},
            .access = access_mode::read_write,
            .discard_granularity_bytes = 4096,
            .max_atomic_write_bytes = 128 << 10,
            .erasable = true};
}
inline device_geometry thick_disk() {
    return {.size = {disk_blocks * 512}, .access = access_mode::read_write};
}

}  // namespace obd::test

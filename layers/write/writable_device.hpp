// A writable layer on top of a read-only stack, as a disk. The implementation of writable_image.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "layers/read_stack.hpp"
#include "layers/write/gate.hpp"
#include "layers/write/group_commit.hpp"
#include "layers/write/range_lock.hpp"
#include "layers/write/upper.hpp"
#include "layers/write/writable_image.hpp"

namespace obd::layers {

class writable_device final : public writable_image, public std::enable_shared_from_this<writable_device> {
public:
    struct layer_stack {
        std::shared_ptr<upper> top;
        std::shared_ptr<const read_stack> lowers;
    };
    writable_device(std::shared_ptr<file_system> files, layer_stack stack, image_services services);
    ~writable_device() override;

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

    std::vector<layer_summary> layers() const override;
    std::array<std::byte, 32> identity() const override;
    asio::awaitable<result<void>> close() override;

    upper_statistics statistics() const override;
    asio::awaitable<result<snapshot_report>> snapshot(snapshot_request request) override;
    asio::awaitable<result<void>> resize(byte_count virtual_size) override;
    void set_quota(byte_count most) noexcept override;

private:
    result<void> check_range(byte_offset offset, std::uint64_t count) const;
    /// The range grown to whole units of the upper layer, within the disk.
    sector_range units_around(sector_range range) const noexcept;
    /// The whole units of the upper layer in the range; when there are none, nothing at its end.
    sector_range units_within(sector_range range) const noexcept;
    /// Whether the upper layer holds data in all of the range.
    bool holds_data(sector_range range) const;

    /// The present stack, to hold on to. A snapshot makes a sealed layer of its upper; that goes on reading the same.
    layer_stack current() const;

    // These want the range locked where the upper's data is not immutable.
    attempt try_read_parts(byte_offset offset, mutable_bytes out) const noexcept;  // and a pass of the gate
    asio::awaitable<result<void>> read_parts(const layer_stack& from, byte_offset offset, mutable_bytes out);
    static asio::awaitable<result<void>> read_holes(const read_stack& from, const std::vector<segment>& parts,
                                                    byte_offset offset, mutable_bytes out);
    // These want a pass of writes_, and the range locked, grown to whole units.
    asio::awaitable<result<void>> put(sector_range range, const_bytes data);
    asio::awaitable<result<void>> put_filled(sector_range range, const_bytes data);
    asio::awaitable<result<void>> put_whole(sector start, const_bytes data);
    asio::awaitable<result<void>> zero_edge(sector_range range);
    /// Writes in place while the disk keeps up.
    attempt timed_try_write(sector start, const_bytes data) noexcept;
    void note_duration(std::int64_t begin_ns) noexcept;

    /// What geometry() tells of the upper layer.
    void take_shape();
    /// Nothing is there: neither the upper layer nor the ones below hold data.
    bool reads_as_zeros(sector_range range) const;
    void flush_in_background();
    /// For what must not be stopped half-way.
    asio::awaitable<result<snapshot_report>> take_snapshot(snapshot_request request);
    result<std::shared_ptr<upper>> open_next_upper(const snapshot_request& request) const;
    /// The stack with the upper sealed, below `next`. Writes wait meanwhile.
    asio::awaitable<result<layer_stack>> seal_and_publish(const snapshot_request& request, std::shared_ptr<upper> next);
    asio::awaitable<result<std::shared_ptr<const read_stack>>> stack_with(const upper& sealed);
    asio::awaitable<result<void>> close_upper();
    asio::awaitable<result<void>> grow(byte_count virtual_size);

    std::shared_ptr<file_system> files_;
    image_services services_;
    layer_stack now_;  ///< exchanged when both gates are closed; read with a pass of either
    std::atomic<std::uint64_t> quota_{0};
    std::atomic<std::uint64_t> size_bytes_;
    std::atomic<std::uint32_t> unit_bytes_{0};
    std::atomic<std::uint32_t> atomic_bytes_{0};
    std::atomic<bool> closed_{false};
    std::atomic<bool> changing_{false};           ///< a snapshot or resize is under way
    std::atomic<bool> flushing_{false};           ///< in the background
    std::atomic<std::int64_t> in_place_from_{0};  ///< steady clock, ns: until then writes go to a worker
    std::atomic<unsigned> slow_in_a_row_{0};      ///< writes in place
    mutable gate reads_;                          ///< passed by what takes no time; so closing it takes none
    gate writes_;
    range_lock ranges_;
    std::shared_ptr<group_commit> flushes_;
};

}  // namespace obd::layers

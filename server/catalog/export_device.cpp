#include "server/catalog/export_device.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <list>

namespace obd::server {
namespace {

constexpr auto tuple_awaitable = asio::as_tuple(asio::use_awaitable);
using clock = std::chrono::steady_clock;

}  // namespace

/// Commands that wait for the image, each with a timer of its own executor. A timer is touched on its executor only.
struct export_device::waiting_room {
    using timer = std::shared_ptr<asio::steady_timer>;

    std::mutex mutex;
    bool over = false;  ///< open() or give_up() was called
    std::string reason;
    std::list<timer> timers;

    void wake_all() {
        const std::lock_guard lock(mutex);
        over = true;
        for (auto& waiter : timers) {
            auto cancel = [waiter] { waiter->cancel(); };
            asio::post(waiter->get_executor(), std::move(cancel));
        }
        timers.clear();
    }
    /// False when there is nothing to wait for.
    bool enter(const timer& waiter) {
        const std::lock_guard lock(mutex);
        if (!over) timers.push_back(waiter);
        return !over;
    }
    void leave(const timer& waiter) {
        const std::lock_guard lock(mutex);
        timers.remove(waiter);
    }
};

export_device::export_device(export_device_options options)
    : options_(std::move(options)), waiting_(std::make_unique<waiting_room>()) {}

export_device::~export_device() = default;

void export_device::open(std::shared_ptr<block_device> image) {
    ASSERT(!image_);
    image_ = std::move(image);
    current_.store(image_.get(), std::memory_order_release);
    waiting_->wake_all();
}

void export_device::explain(std::string reason) {
    const std::lock_guard lock(waiting_->mutex);
    waiting_->reason = std::move(reason);
}

void export_device::give_up() {
    waiting_->wake_all();
}

asio::awaitable<result<block_device*>> export_device::opened() {
    if (auto* device = current()) co_return device;
    const auto executor = co_await asio::this_coro::executor;
    auto timer = std::make_shared<asio::steady_timer>(executor, options_.patience);
    // Between enter() and async_wait() nothing else runs on this executor's strand of control: a wake-up that was
    // posted meanwhile cancels the wait that has begun by then.
    if (waiting_->enter(timer)) {
        [[maybe_unused]] const auto [ignored] = co_await timer->async_wait(tuple_awaitable);
        waiting_->leave(timer);
    }
    if (auto* device = current()) co_return device;
    const std::lock_guard lock(waiting_->mutex);
    const auto code = waiting_->over ? errc::cancelled : errc::unavailable;
    co_return fail(code, "export " + options_.name + ": the image is not open: " +
                             (waiting_->reason.empty() ? "still starting" : waiting_->reason));
}

device_geometry export_device::geometry() const noexcept {
    const auto* device = current();
    return device != nullptr ? device->geometry() : options_.geometry;
}

std::optional<device_usage> export_device::usage() const noexcept {
    const auto* device = current();
    return device != nullptr ? device->usage() : std::nullopt;
}

attempt export_device::try_read(byte_offset offset, mutable_bytes out) noexcept {
    auto* device = current();
    return device != nullptr ? device->try_read(offset, out) : attempt::would_block;
}

attempt export_device::try_write(byte_offset offset, const_bytes data) noexcept {
    auto* device = current();
    return device != nullptr ? device->try_write(offset, data) : attempt::would_block;
}

asio::awaitable<result<void>> export_device::read(byte_offset offset, mutable_bytes out) {
    const auto began = clock::now();
    auto* device = current();
    if (device == nullptr) {
        CO_TRY(device, co_await opened());
    }
    auto outcome = co_await device->read(offset, out);
    const auto took = std::chrono::duration_cast<std::chrono::microseconds>(clock::now() - began);
    if (options_.on_slow && took >= options_.slow_after) options_.on_slow({"read", offset, {out.size()}, took});
    co_return outcome;
}

asio::awaitable<result<void>> export_device::write(byte_offset offset, const_bytes data, durability when) {
    auto* device = current();
    if (device == nullptr) {
        CO_TRY(device, co_await opened());
    }
    co_return co_await device->write(offset, data, when);
}

asio::awaitable<result<void>> export_device::write_atomic(byte_offset offset, const_bytes data, durability when) {
    CO_TRY(block_device* const device, co_await opened());
    co_return co_await device->write_atomic(offset, data, when);
}

asio::awaitable<result<std::optional<miscompare>>> export_device::compare_and_write(byte_offset offset,
                                                                                    const_bytes expected,
                                                                                    const_bytes data, durability when) {
    CO_TRY(block_device* const device, co_await opened());
    co_return co_await device->compare_and_write(offset, expected, data, when);
}

asio::awaitable<result<void>> export_device::discard(byte_offset offset, byte_count count) {
    CO_TRY(block_device* const device, co_await opened());
    co_return co_await device->discard(offset, count);
}

asio::awaitable<result<void>> export_device::erase() {
    CO_TRY(block_device* const device, co_await opened());
    co_return co_await device->erase();
}

asio::awaitable<result<void>> export_device::flush() {
    CO_TRY(block_device* const device, co_await opened());
    co_return co_await device->flush();
}

asio::awaitable<result<std::vector<device_extent>>> export_device::extents(byte_offset offset, byte_count count,
                                                                           std::size_t limit) {
    CO_TRY(block_device* const device, co_await opened());
    co_return co_await device->extents(offset, count, limit);
}

asio::awaitable<result<void>> export_device::prefetch(byte_offset offset, byte_count count) {
    CO_TRY(block_device* const device, co_await opened());
    co_return co_await device->prefetch(offset, count);
}

}  // namespace obd::server

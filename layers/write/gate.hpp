// Lets operations through, and stops them for the moment in which a snapshot exchanges what they work on.
#pragma once

#include <array>
#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "layers/write/suspension.hpp"

namespace obd::layers {

/// Thread-safe. Entering an open gate costs one atomic addition on a cache line of the thread's own.
class gate {
public:
    /// Inside as long as it lives. Moves.
    class pass {
    public:
        pass() = default;
        pass(pass&& other) noexcept : owner_(std::exchange(other.owner_, nullptr)), lane_(other.lane_) {}
        pass& operator=(pass&& other) noexcept {
            leave();
            owner_ = std::exchange(other.owner_, nullptr);
            lane_ = other.lane_;
            return *this;
        }
        ~pass() { leave(); }

    private:
        friend class gate;
        pass(gate* owner, std::size_t lane) : owner_(owner), lane_(lane) {}
        void leave() noexcept {
            if (owner_ != nullptr) std::exchange(owner_, nullptr)->leave(lane_);
        }
        gate* owner_ = nullptr;
        std::size_t lane_ = 0;
    };

    /// Nothing when the gate is closed. Never waits.
    std::optional<pass> try_enter() noexcept;
    /// Waits while it is closed.
    asio::awaitable<pass> enter();
    /// Closes the gate and waits until all are out. REQUIRES: open; one at a time.
    asio::awaitable<void> close();
    void open();

private:
    struct alignas(64) lane {
        std::atomic<std::int64_t> inside{0};
    };

    void leave(std::size_t lane) noexcept;
    bool empty() const noexcept;

    std::array<lane, 16> lanes_;
    std::atomic<bool> closed_{false};
    std::mutex mutex_;
    std::unique_ptr<suspended> closer_;                ///< waits for the last to leave
    std::vector<std::unique_ptr<suspended>> outside_;  ///< wait for the gate to open
};

}  // namespace obd::layers

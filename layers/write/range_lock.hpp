// Locks on ranges of a disk: operations that overlap go one after the other, all others in parallel. No lock is held
// around I/O but that on the range itself.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "layers/merged_index.hpp"
#include "layers/write/suspension.hpp"

namespace obd::layers {

/// Fair: a request waits for all conflicting ones that came before it. Thread-safe.
class range_lock {
public:
    enum class mode { shared, exclusive };

    /// Holds a range until it is destroyed. Moves.
    class guard {
    public:
        guard() = default;
        guard(guard&& other) noexcept : owner_(std::exchange(other.owner_, nullptr)), id_(other.id_) {}
        guard& operator=(guard&& other) noexcept {
            release();
            owner_ = std::exchange(other.owner_, nullptr);
            id_ = other.id_;
            return *this;
        }
        ~guard() { release(); }
        void release() noexcept {
            if (owner_ != nullptr) std::exchange(owner_, nullptr)->unlock(id_);
        }

    private:
        friend class range_lock;
        guard(range_lock* owner, std::uint64_t id) : owner_(owner), id_(id) {}
        range_lock* owner_ = nullptr;
        std::uint64_t id_ = 0;
    };

    range_lock() { held_.reserve(most_held_in_place); }

    /// Never waits or allocates; nothing when the range is not free, or not to be had at once.
    std::optional<guard> try_lock(sector_range range, mode how) noexcept;
    /// The lock outlives the wait.
    asio::awaitable<guard> lock(sector_range range, mode how);

private:
    static constexpr std::size_t most_held_in_place = 1024;  // far more than tasks run at once on one disk

    struct request {
        sector_range range;
        mode how;
        std::uint64_t id;
        bool conflicts(const request& other) const noexcept {
            if (how == mode::shared && other.how == mode::shared) return false;
            return range.start.value < other.range.start.value + other.range.length &&
                   other.range.start.value < range.start.value + range.length;
        }
    };
    struct waiter {
        request what;
        std::unique_ptr<suspended> who;
    };

    bool is_free(const request& what) const noexcept;
    void unlock(std::uint64_t id) noexcept;

    std::mutex mutex_;
    std::uint64_t last_id_ = 0;
    std::vector<request> held_;
    std::deque<waiter> waiting_;  ///< in order of arrival
};

}  // namespace obd::layers

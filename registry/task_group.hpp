// Coroutines that outlive the calls that started them, so that they can be ended and waited for at shutdown.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <exception>
#include <functional>
#include <list>
#include <memory>

#include <boost/asio/cancellation_signal.hpp>

#include "registry/one_shot.hpp"

namespace obd::registry {

/// Runs its tasks on one strand.
class task_group : public std::enable_shared_from_this<task_group> {
public:
    using on_exception = std::function<void(std::exception_ptr)>;

    /// `strand`: an executor that runs one thing at a time.
    task_group(asio::any_io_executor strand, on_exception report)
        : strand_(std::move(strand)), report_(std::move(report)) {}

    /// From any thread. After close() the task still starts, but sees closing() and its cancellation at once.
    void spawn(asio::awaitable<void> task);

    /// On the strand, or before anything is spawned.
    bool closing() const { return closing_; }

    /// Cancels every task and waits for the last. On the strand.
    asio::awaitable<void> close();

private:
    void start(asio::awaitable<void> task);
    void forget(std::list<asio::cancellation_signal>::iterator task);

    asio::any_io_executor strand_;
    on_exception report_;
    std::list<asio::cancellation_signal> running_;
    std::shared_ptr<one_shot> idle_;
    bool closing_ = false;
};

/// Tickets for a bounded number of tasks at a time, in order of arrival. Not thread-safe: one strand.
class ticket_office {
public:
    explicit ticket_office(std::size_t tickets) : free_(tickets) {}

    /// False: cancelled while waiting, no ticket.
    asio::awaitable<bool> acquire();
    void release();

private:
    std::size_t free_;
    std::list<std::shared_ptr<one_shot>> queue_;
};

}  // namespace obd::registry

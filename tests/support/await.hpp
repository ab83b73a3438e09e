// Runs one coroutine to its end on an io_context of its own, for tests that are not about concurrency.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <exception>
#include <optional>
#include <utility>

namespace obd::test {

namespace asio = boost::asio;

/// What the coroutine returned. Throws what it threw.
template <typename T>
T await(asio::awaitable<T> operation) {
    asio::io_context context;
    std::optional<T> value;
    std::exception_ptr thrown;
    asio::co_spawn(context, std::move(operation), [&](std::exception_ptr e, T outcome) {
        thrown = e;
        value.emplace(std::move(outcome));
    });
    context.run();
    if (thrown) std::rethrow_exception(thrown);
    return std::move(*value);
}

}  // namespace obd::test

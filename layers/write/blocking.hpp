// Awaitables for code that may block: tools, and workers that copy a layer.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <exception>
#include <optional>
#include <utility>

namespace obd::layers {

namespace asio = boost::asio;

/// Runs an operation on an event loop of its own until it completes. Never call it on an event loop's thread that
/// others need. What the operation throws is thrown.
template <typename T>
T run_blocking(asio::awaitable<T> operation) {
    asio::io_context loop(1);
    std::optional<T> value;
    std::exception_ptr thrown;
    auto done = [&](std::exception_ptr error, T got) {
        thrown = error;
        if (!error) value.emplace(std::move(got));
    };
    asio::co_spawn(loop, std::move(operation), std::move(done));
    loop.run();
    if (thrown) std::rethrow_exception(thrown);
    return std::move(*value);
}

}  // namespace obd::layers

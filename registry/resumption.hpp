// A suspended coroutine, kept by whoever will let it go on, from whatever thread that happens on.
#pragma once

#include <boost/asio/any_completion_handler.hpp>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/prefer.hpp>
#include <utility>

namespace obd::registry {

namespace asio = boost::asio;

/// Made inside an async_initiate() initiation; resume() is called once, from any thread, and returns at once: the
/// coroutine goes on on its own executor, which counts as busy until then.
template <typename Value>
class resumption {
public:
    template <typename Handler>
    resumption(Handler handler, const asio::any_io_executor& fallback)
        : executor_(asio::prefer(asio::any_io_executor(asio::get_associated_executor(handler, fallback)),
                                 asio::execution::outstanding_work.tracked)),
          handler_(std::move(handler)) {}

    /// Where the caller's cancellation arrives. Take it from here, not from the handler given: the wrapper has put a
    /// state of its own into the caller's slot, which an assign() there would destroy.
    asio::cancellation_slot slot() const noexcept { return asio::get_associated_cancellation_slot(handler_); }

    void resume(Value value) {
        auto go_on = [handler = std::move(handler_), value = std::move(value)]() mutable {
            // Here, on the caller's executor: the slot is the caller's, and the operation is over.
            asio::get_associated_cancellation_slot(handler).clear();
            std::move(handler)(std::move(value));
        };
        auto executor = std::move(executor_);
        asio::post(executor, std::move(go_on));
    }

private:
    asio::any_io_executor executor_;
    asio::any_completion_handler<void(Value)> handler_;
};

}  // namespace obd::registry

// A thread that runs the registry library's event loop, for programs that otherwise block.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <thread>

namespace obd::tools {

/// Whatever lives on its executor goes before it does.
class event_thread {
public:
    event_thread() : thread_([this] { loop_.run(); }) {}
    event_thread(const event_thread&) = delete;
    event_thread& operator=(const event_thread&) = delete;
    ~event_thread() {
        guard_.reset();
        loop_.stop();
        thread_.join();
    }
    boost::asio::any_io_executor executor() { return loop_.get_executor(); }

private:
    boost::asio::io_context loop_{1};
    boost::asio::executor_work_guard<boost::asio::io_context::executor_type> guard_ =
        boost::asio::make_work_guard(loop_);
    std::thread thread_;
};

}  // namespace obd::tools

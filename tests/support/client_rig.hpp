// A registry client with everything it needs, in a temporary directory, on a thread of its own.
#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <filesystem>
#include <fstream>
#include <memory>
#include <random>
#include <sstream>
#include <string>
#include <thread>

#include <spdlog/logger.h>
#include <spdlog/sinks/ostream_sink.h>

#include "base/worker_pool.hpp"
#include "registry/client.hpp"
#include "tests/support/await.hpp"
#include "tests/support/scratch_directory.hpp"

namespace obd::test {

/// Reproducible bytes that do not repeat.
inline std::string random_bytes(std::size_t count, unsigned seed) {
    std::mt19937_64 random(seed);
    std::string out(count, '\0');
    for (char& c : out) c = static_cast<char>(random());
    return out;
}

/// An io_context that runs on its own thread as long as it lives.
class loop_thread {
public:
    loop_thread() : guard_(context_.get_executor()), thread_([this] { context_.run(); }) {}
    ~loop_thread() {
        guard_.reset();
        thread_.join();
    }
    asio::io_context& context() { return context_; }

private:
    asio::io_context context_{1};
    asio::executor_work_guard<asio::io_context::executor_type> guard_;
    std::thread thread_;
};

class client_rig {
public:
    /// Small deadlines, so that faults end soon; no test asserts how soon.
    static registry::client_options quick_options(const std::filesystem::path& dir) {
        registry::client_options options;
        options.cache_dir = dir / "cache";
        options.cache_capacity = {64 << 20};
        options.refill_bytes = 16384;
        options.credential_file = dir / "cred.json";
        options.user_agent = "obd-test/1";
        options.first_retry_delay = std::chrono::milliseconds(1);
        options.tries = 4;
        return options;
    }

    explicit client_rig(registry::client_options options)
        : log_("registry", std::make_shared<spdlog::sinks::ostream_sink_mt>(log_text_)) {
        log_.set_level(spdlog::level::debug);
        client_ = registry::client::create(std::move(options), loop_.context().get_executor(), workers_, log_).value();
    }
    ~client_rig() {
        if (client_) shut_down();
    }

    registry::client& operator*() { return *client_; }
    registry::client* operator->() { return client_.get(); }

    void shut_down() {
        asio::io_context context;
        asio::co_spawn(context, client_->shutdown(), [](const std::exception_ptr&) {});
        context.run();
        client_.reset();
    }

    result<registry::resolved_image> resolve(const std::string& reference, registry::resolve_options options = {}) {
        return await(client_->resolve(reference, std::move(options)));
    }
    result<std::shared_ptr<blob_source>> open(const std::string& repo_blob_url, const std::string& digest,
                                              std::uint64_t size = 0) {
        return await(client_->open(remote_blob{repo_blob_url, digest, {size}}));
    }
    /// The bytes, or the failure's message after "failed: ".
    static std::string read(blob_source& source, std::uint64_t offset, std::size_t count) {
        std::string out(count, '?');
        const auto done = await(source.read({offset}, std::as_writable_bytes(std::span(out.data(), out.size()))));
        return done ? out : "failed: " + done.error().message();
    }
    std::string log_text() const { return log_text_.str(); }

private:
    std::ostringstream log_text_;
    spdlog::logger log_;
    worker_pool workers_{2};
    loop_thread loop_;
    std::unique_ptr<registry::client> client_;
};

}  // namespace obd::test

#include "server/logging/logs.hpp"

#include <spdlog/sinks/ansicolor_sink.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <array>
#include <cstdio>

#include "server/logging/log_file.hpp"

namespace obd::server {

void say_on_stderr(std::string_view text) {
    std::fprintf(stderr, "overlaybd-iscsid: %.*s\n", static_cast<int>(text.size()), text.data());
}

result<std::unique_ptr<logs>> logs::open(const log_config& config) {
    std::unique_ptr<logs> all(new logs);
    spdlog::sink_ptr sink;
    auto file = rotated_file::open(config.file);
    if (file) {
        all->file_ = std::make_shared<log_file_sink>(std::move(*file));
        sink = all->file_;
    } else {
        if (config.file.named) return std::move(file).error();
        say_on_stderr("logging to stderr: " + file.error().message());
        sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
        sink->set_formatter(std::make_unique<line_formatter>());
    }
    constexpr std::array levels{spdlog::level::debug, spdlog::level::info, spdlog::level::warn, spdlog::level::err};
    const auto level = levels.at(static_cast<std::size_t>(config.level));
    const auto make = [&](const char* name) {
        auto logger = std::make_shared<spdlog::logger>(name, sink);
        logger->set_level(level);
        return logger;
    };
    all->iscsi_ = make("iscsi");
    all->layers_ = make("layers");
    all->registry_ = make("registry");
    all->server_ = make("server");
    return all;
}

void logs::say(spdlog::level::level_enum level, std::string_view text) {
    server_->log(level, text);
    if (file_) say_on_stderr(text);
}

void logs::notice(std::string_view text) {
    say(spdlog::level::info, text);
}
void logs::warning(std::string_view text) {
    say(spdlog::level::warn, text);
}
void logs::fatal(std::string_view text) {
    say(spdlog::level::err, text);
}

void logs::reopen() {
    if (file_) file_->reopen();
}

}  // namespace obd::server

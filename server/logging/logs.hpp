// The daemon's loggers: one a room, all into one file, and notices that a person who starts the daemon should see.
#pragma once

#include <spdlog/logger.h>

#include <memory>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "server/config/config.hpp"

namespace obd::server {

class log_file_sink;

class logs {
public:
    /// Opens the file. Where the config does not name it and it cannot be opened, stderr takes its place.
    static result<std::unique_ptr<logs>> open(const log_config& config);

    spdlog::logger& iscsi() { return *iscsi_; }
    spdlog::logger& layers() { return *layers_; }
    spdlog::logger& registry() { return *registry_; }
    spdlog::logger& server() { return *server_; }

    /// Into the log and, as "overlaybd-iscsid: …", to stderr.
    void notice(std::string_view text);
    void warning(std::string_view text);
    void fatal(std::string_view text);

    /// Thread-safe.
    void reopen();

private:
    logs() = default;
    void say(spdlog::level::level_enum level, std::string_view text);

    std::shared_ptr<log_file_sink> file_;  ///< nothing: everything goes to stderr
    std::shared_ptr<spdlog::logger> iscsi_, layers_, registry_, server_;
};

/// For what happens before there is a log.
void say_on_stderr(std::string_view text);

}  // namespace obd::server

// What the image tools have in common: how they start, fail and exit.
#pragma once

#include <spdlog/logger.h>

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <string>

#include "base/result.hpp"
#include "base/worker_pool.hpp"
#include "layers/image.hpp"
#include "layers/layer_pool.hpp"

namespace obd::tools {

/// Exit status of a tool that could not do its work; overlaybd's own tools end with it too. Wrong usage ends with the
/// codes of CLI11 (100 and above).
inline constexpr int exit_failure = 255;

/// Parses the arguments and runs `work`, which returns the exit status or what went wrong (to stderr, with the tool's
/// name before it).
int run_tool(CLI::App& app, int argc, char** argv, const std::function<result<int>()>& work);

/// What opening layers takes, for a program that does one thing and ends.
class tool_services {
public:
    enum class verbosity { quiet, verbose };
    explicit tool_services(verbosity how);

    layers::image_services get() {
        return {.workers = workers_, .pool = pool_, .registry = nullptr, .log = *log_, .uppers = nullptr};
    }
    worker_pool& workers() { return workers_; }
    layers::layer_pool& pool() { return pool_; }
    spdlog::logger& log() { return *log_; }

private:
    worker_pool workers_{2};
    layers::layer_pool pool_{workers_};
    std::shared_ptr<spdlog::logger> log_;  ///< to stderr
};

}  // namespace obd::tools

#include "tools/image/program.hpp"

#include <spdlog/sinks/stdout_sinks.h>

#include <cstdio>
#include <exception>

namespace obd::tools {

int run_tool(CLI::App& app, int argc, char** argv, const std::function<result<int>()>& work) {
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error);
    }
    try {
        const auto status = work();
        if (status) return *status;
        std::fprintf(stderr, "%s: %s\n", app.get_name().c_str(), status.error().message().c_str());
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s: %s\n", app.get_name().c_str(), error.what());
    }
    return exit_failure;
}

tool_services::tool_services(verbosity how)
    : log_(std::make_shared<spdlog::logger>("tool", std::make_shared<spdlog::sinks::stderr_sink_mt>())) {
    log_->set_level(how == verbosity::verbose ? spdlog::level::debug : spdlog::level::warn);
    log_->set_pattern("%l: %v");
}

}  // namespace obd::tools

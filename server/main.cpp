// overlaybd-iscsid: command line, configuration, exit codes (docs/man/overlaybd-iscsid.8).
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <filesystem>
#include <iostream>

#include "server/config/config.hpp"
#include "server/daemon.hpp"
#include "server/logging/logs.hpp"
#include "server/version.hpp"

namespace {

using namespace obd;
using namespace obd::server;

enum exit_code : int { stopped_cleanly = 0, cannot_run = 1, wrong_usage = 2, wrong_config = 3 };

struct command_line {
    std::string config;  ///< empty: the default place, which may be missing
    bool check_only = false;
};

/// Nothing wrong with the config: what to run with, and what to say about it.
result<loaded_config> configuration(const command_line& asked) {
    if (!asked.config.empty()) return load_config(asked.config);
    const std::filesystem::path path(default_config_path);
    if (std::filesystem::exists(path)) return load_config(path);
    loaded_config defaults;
    defaults.warnings.push_back(path.string() + " does not exist: running with defaults");
    return defaults;
}

/// A connection each for thousands of initiators needs more than the usual soft limit of 1024.
void raise_descriptor_limit() {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
}

int serve(const command_line& asked) {
    auto loaded = configuration(asked);
    if (!loaded) {
        say_on_stderr(loaded.error().message());
        return wrong_config;
    }
    if (asked.check_only) {
        for (const auto& warning : loaded->warnings) say_on_stderr(warning);
        return stopped_cleanly;
    }
    auto log = logs::open(loaded->config.log);
    if (!log) {
        say_on_stderr(log.error().message());
        return cannot_run;
    }
    auto& logging = **log;
    logging.notice("version " + std::string(program_version));
    for (const auto& warning : loaded->warnings) logging.warning(warning);
    auto started = daemon::start(loaded->config, logging);
    if (!started) {
        logging.fatal("cannot start: " + started.error().message());
        return cannot_run;
    }
    (*started)->run();
    return stopped_cleanly;
}

}  // namespace

int main(int count, char** words) {
    CLI::App app{
        "overlaybd-iscsid exports overlaybd container images as iSCSI targets.\n"
        "It runs in the foreground, as any user; overlaybdctl attaches and detaches images while it runs.\n"
        "SIGTERM stops it, SIGHUP reopens the log files."};
    command_line asked;
    std::string positional;
    app.add_option("--config,-c", asked.config,
                   "configuration file (default: " + std::string(default_config_path) + ")");
    app.add_option("CONFIG", positional, "the same, as overlaybd-tcmu takes it");
    app.add_flag("--check", asked.check_only, "read the configuration, say what is wrong with it, and exit");
    app.set_version_flag("--version", "overlaybd-iscsid " + std::string(program_version));
    try {
        app.parse(count, words);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? stopped_cleanly : wrong_usage;
    }
    if (!positional.empty() && !asked.config.empty()) {
        say_on_stderr("the configuration file is named twice");
        return wrong_usage;
    }
    if (!positional.empty()) asked.config = positional;

    std::signal(SIGPIPE, SIG_IGN);
    raise_descriptor_limit();
    try {
        return serve(asked);
    } catch (const std::exception& error) {
        say_on_stderr(std::string("fatal: ") + error.what());
        return cannot_run;
    }
}

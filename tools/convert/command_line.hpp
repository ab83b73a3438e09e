// convert, push, pull and copy as subcommands of a program.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <iosfwd>
#include <memory>

#include "tools/convert/commands.hpp"

namespace obd::convert {

/// Lives as long as the app. After parsing, run() does what was chosen.
class image_commands {
public:
    explicit image_commands(CLI::App& app);
    ~image_commands();

    bool chosen() const;
    enum class output { text, json };
    /// REQUIRES: chosen(). Returns the exit status.
    int run(output form, std::ostream& out, std::ostream& err);

private:
    struct state;
    std::unique_ptr<state> state_;
};

}  // namespace obd::convert

// What a person sees while a long command runs: bars on a terminal, plain lines elsewhere.
#pragma once

#include <chrono>
#include <cstdint>
#include <iosfwd>
#include <mutex>
#include <string>
#include <string_view>

namespace obd::convert {

enum class progress_style {
    bars,   ///< one line that changes, for terminals
    lines,  ///< a line when something is finished
    none,
};

/// Bars if the standard error stream is a terminal, else lines.
progress_style style_for_stderr();

/// Thread-safe.
class progress {
public:
    progress(std::ostream& out, progress_style style) : out_(out), style_(style) {}
    ~progress();
    progress(const progress&) = delete;
    progress& operator=(const progress&) = delete;

    /// Something happened that stays on the screen.
    void line(std::string_view text);
    /// How far the present step is. Shown at most some times a second; `all` 0: not known.
    void status(std::string_view what, std::uint64_t done, std::uint64_t all);

private:
    std::ostream& out_;
    const progress_style style_;
    std::mutex mutex_;
    std::chrono::steady_clock::time_point shown_{};
    bool bar_on_screen_ = false;
};

/// "1.5 MiB"
std::string human_bytes(std::uint64_t bytes);

}  // namespace obd::convert

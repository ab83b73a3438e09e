#include "tools/convert/progress.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <ostream>

namespace obd::convert {
namespace {

constexpr auto refresh = std::chrono::milliseconds(100);
constexpr std::string_view erase_line = "\r\x1b[K";
constexpr std::size_t bar_width = 30;

}  // namespace

progress_style style_for_stderr() {
    return ::isatty(STDERR_FILENO) == 1 ? progress_style::bars : progress_style::lines;
}

progress::~progress() {
    if (bar_on_screen_) out_ << erase_line << std::flush;
}

void progress::line(std::string_view text) {
    if (style_ == progress_style::none) return;
    const std::lock_guard lock(mutex_);
    if (bar_on_screen_) out_ << erase_line;
    bar_on_screen_ = false;
    out_ << text << "\n" << std::flush;
}

void progress::status(std::string_view what, std::uint64_t done, std::uint64_t all) {
    if (style_ != progress_style::bars) return;
    const std::lock_guard lock(mutex_);
    const auto now = std::chrono::steady_clock::now();
    if (now - shown_ < refresh) return;
    shown_ = now;
    out_ << erase_line << what << " ";
    if (all != 0) {
        const auto filled = static_cast<std::size_t>(std::min(done, all) * bar_width / all);
        out_ << "[" << std::string(filled, '#') << std::string(bar_width - filled, '.') << "] "
             << std::min(done, all) * 100 / all << "% ";
    }
    out_ << human_bytes(done) << std::flush;
    bar_on_screen_ = true;
}

std::string human_bytes(std::uint64_t bytes) {
    constexpr std::array units{"B", "KiB", "MiB", "GiB", "TiB"};
    auto value = static_cast<double>(bytes);
    std::size_t unit = 0;
    while (value >= 1024 && unit + 1 < units.size()) {
        value /= 1024;
        ++unit;
    }
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
    return text.data();
}

}  // namespace obd::convert

#include "server/logging/log_file.hpp"

#include <fcntl.h>
#include <spdlog/fmt/fmt.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <ctime>

namespace obd::server {
namespace {

std::string_view level_name(spdlog::level::level_enum level) {
    constexpr std::array<std::string_view, 7> names{"DEBUG", "DEBUG", "INFO ", "WARN ", "ERROR", "FATAL", "OFF  "};
    return names[static_cast<std::size_t>(level)];
}

/// The part of a source path that tells files apart within a project: its last component.
std::string_view base_name(std::string_view path) {
    return path.substr(path.rfind('/') + 1);
}

struct opened_log {
    int descriptor;
    std::uint64_t size;
};

result<opened_log> open_for_append(const std::filesystem::path& path) {
    const int descriptor = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
    if (descriptor < 0) return fail_errno("log file " + path.string());
    struct stat status {};
    const auto size = ::fstat(descriptor, &status) == 0 ? static_cast<std::uint64_t>(status.st_size) : 0;
    return opened_log{descriptor, size};
}

}  // namespace

void append_line_head(spdlog::memory_buf_t& line, std::chrono::system_clock::time_point when, std::string_view level,
                      std::size_t thread_id) {
    const auto since_epoch = when.time_since_epoch();
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(since_epoch);
    const auto microseconds = std::chrono::duration_cast<std::chrono::microseconds>(since_epoch - seconds);
    const std::time_t calendar = seconds.count();
    std::tm local{};
    ::localtime_r(&calendar, &local);
    fmt::format_to(std::back_inserter(line), "{:04}/{:02}/{:02} {:02}:{:02}:{:02}.{:06}|{}|th={:016X}|",
                   local.tm_year + 1900, local.tm_mon + 1, local.tm_mday, local.tm_hour, local.tm_min, local.tm_sec,
                   microseconds.count(), level, thread_id);
}

void line_formatter::format(const spdlog::details::log_msg& record, spdlog::memory_buf_t& line) {
    append_line_head(line, record.time, level_name(record.level), record.thread_id);
    if (record.source.empty()) {
        fmt::format_to(std::back_inserter(line),
                       "{}:0|-:", fmt::string_view(record.logger_name.data(), record.logger_name.size()));
    } else {
        fmt::format_to(std::back_inserter(line), "{}:{}|{}:", base_name(record.source.filename), record.source.line,
                       record.source.funcname);
    }
    // One record is one line, whatever a peer or a registry put into a message.
    for (const char c : record.payload) line.push_back(c == '\n' || c == '\r' ? ' ' : c);
    line.push_back('\n');
}

result<rotated_file> rotated_file::open(log_file_config config) {
    std::error_code ignored;
    if (config.path.has_parent_path()) std::filesystem::create_directories(config.path.parent_path(), ignored);
    TRY(const auto opened, open_for_append(config.path));
    return rotated_file(std::move(config), opened.descriptor, opened.size);
}

rotated_file::rotated_file(log_file_config config, int descriptor, std::uint64_t size)
    : config_(std::move(config)), descriptor_(descriptor), size_(size) {}

rotated_file::rotated_file(rotated_file&& other) noexcept
    : config_(std::move(other.config_)), descriptor_(std::exchange(other.descriptor_, -1)), size_(other.size_) {}

rotated_file::~rotated_file() {
    if (descriptor_ >= 0) ::close(descriptor_);
}

void rotated_file::append(std::string_view line) {
    if (size_ != 0 && size_ + line.size() > config_.max_bytes) rotate();
    const auto written = ::write(descriptor_, line.data(), line.size());
    if (written > 0) size_ += static_cast<std::uint64_t>(written);
}

void rotated_file::rotate() {
    const auto numbered = [this](int n) { return config_.path.native() + (n == 0 ? "" : "." + std::to_string(n)); };
    if (config_.rotations == 0) {
        if (::ftruncate(descriptor_, 0) == 0) size_ = 0;
        return;
    }
    for (int n = config_.rotations; n > 0; --n) std::rename(numbered(n - 1).c_str(), numbered(n).c_str());
    reopen();
}

void rotated_file::reopen() {
    auto opened = open_for_append(config_.path);
    if (!opened) return;  // better the old file than none
    ::close(descriptor_);
    descriptor_ = opened->descriptor;
    size_ = opened->size;
}

log_file_sink::log_file_sink(rotated_file file)
    : base_sink(std::make_unique<line_formatter>()), file_(std::move(file)) {}

void log_file_sink::reopen() {
    const std::lock_guard lock(mutex_);
    file_.reopen();
}

void log_file_sink::sink_it_(const spdlog::details::log_msg& record) {
    spdlog::memory_buf_t line;
    formatter_->format(record, line);
    file_.append({line.data(), line.size()});
}

}  // namespace obd::server

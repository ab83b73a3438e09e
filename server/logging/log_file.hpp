// A log file in the form overlaybd's users parse: one line a record, rotated by size to path.1, path.2 …
#pragma once

#include <spdlog/formatter.h>
#include <spdlog/sinks/base_sink.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "base/result.hpp"
#include "server/config/config.hpp"

namespace obd::server {

/// `YYYY/MM/DD hh:mm:ss.uuuuuu|LEVEL|th=<hex>|file:line|func:message`, LEVEL padded to five letters. Where a record has
/// no source position, the logger's name stands for the file.
class line_formatter final : public spdlog::formatter {
public:
    void format(const spdlog::details::log_msg& record, spdlog::memory_buf_t& line) override;
    std::unique_ptr<spdlog::formatter> clone() const override { return std::make_unique<line_formatter>(); }
};

/// Appends "YYYY/MM/DD hh:mm:ss.uuuuuu|LEVEL|th=<hex>|".
void append_line_head(spdlog::memory_buf_t& line, std::chrono::system_clock::time_point when, std::string_view level,
                      std::size_t thread_id);

/// Appends to a file. Not thread-safe. Errors while writing are swallowed: there is nowhere to log them.
class rotated_file {
public:
    static result<rotated_file> open(log_file_config config);
    rotated_file(rotated_file&& other) noexcept;
    rotated_file& operator=(rotated_file&&) = delete;
    ~rotated_file();

    void append(std::string_view line);
    /// For SIGHUP: writes to a new file of the same name from now on, if someone moved the old one away.
    void reopen();

private:
    rotated_file(log_file_config config, int descriptor, std::uint64_t size);
    void rotate();

    log_file_config config_;
    int descriptor_;
    std::uint64_t size_;
};

class log_file_sink final : public spdlog::sinks::base_sink<std::mutex> {
public:
    explicit log_file_sink(rotated_file file);
    /// Thread-safe.
    void reopen();

protected:
    void sink_it_(const spdlog::details::log_msg& record) override;
    void flush_() override {}  // every line is written at once

private:
    rotated_file file_;
};

}  // namespace obd::server

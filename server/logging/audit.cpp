#include "server/logging/audit.hpp"

#include <spdlog/details/os.h>

namespace obd::server {

result<std::unique_ptr<audit_log>> audit_log::open(log_file_config config) {
    TRY(auto file, rotated_file::open(std::move(config)));
    auto log = std::make_unique<audit_log>();
    log->file_.emplace(std::move(file));
    return log;
}

void audit_log::write(std::string_view what, std::initializer_list<audit_field> fields) {
    if (!file_) return;
    spdlog::memory_buf_t line;
    append_line_head(line, std::chrono::system_clock::now(), "AUDIT", spdlog::details::os::thread_id());
    line.append(what.data(), what.data() + what.size());
    for (const auto& field : fields) {
        line.push_back('[');
        line.append(field.key.data(), field.key.data() + field.key.size());
        line.push_back('=');
        // Values come from initiators and users: no control characters, nothing that looks like another field.
        for (const char c : field.value)
            line.push_back(static_cast<unsigned char>(c) < 0x20 || c == '[' || c == ']' ? '?' : c);
        line.push_back(']');
    }
    line.push_back('\n');
    const std::lock_guard lock(mutex_);
    file_->append({line.data(), line.size()});
}

void audit_log::reopen() {
    const std::lock_guard lock(mutex_);
    if (file_) file_->reopen();
}

}  // namespace obd::server

// The audit log: who attached, detached and used what, and which reads were slow. One line an event, in the reference's
// form: `…|AUDIT|th=…|<what>[key=value][key=value]`.
#pragma once

#include <initializer_list>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "server/logging/log_file.hpp"

namespace obd::server {

struct audit_field {
    std::string_view key;
    std::string value;
};

/// Thread-safe.
class audit_log {
public:
    /// Writes nowhere: auditing is off.
    audit_log() = default;
    static result<std::unique_ptr<audit_log>> open(log_file_config config);

    bool enabled() const noexcept { return file_.has_value(); }
    void write(std::string_view what, std::initializer_list<audit_field> fields);
    void reopen();

private:
    std::mutex mutex_;
    std::optional<rotated_file> file_;
};

}  // namespace obd::server

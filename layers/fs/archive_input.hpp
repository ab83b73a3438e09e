// Feeds libarchive from a byte_stream and brings the stream's own failures back out.
#pragma once

#include <archive.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "layers/fs/byte_stream.hpp"

namespace obd::fs {

class archive_input {
public:
    explicit archive_input(byte_stream& from) : from_(from), handle_(archive_read_new()), buffer_(128 << 10) {}
    ~archive_input() { archive_read_free(handle_); }
    archive_input(const archive_input&) = delete;
    archive_input& operator=(const archive_input&) = delete;

    struct archive* handle() {
        return handle_;
    }

    /// After the filters and formats have been chosen.
    result<void> open() {
        if (archive_read_open(handle_, this, nullptr, read, nullptr) != ARCHIVE_OK) return failed("reading the layer");
        return {};
    }

    /// What the last call to libarchive failed with.
    failure failed(std::string_view doing) {
        if (stream_failure_) return *stream_failure_;
        const char* text = archive_error_string(handle_);
        return fail(errc::corrupt, std::string(doing) + ": " + (text != nullptr ? text : "unknown error"));
    }

private:
    static la_ssize_t read(struct archive* handle, void* context, const void** bytes) {
        auto& self = *static_cast<archive_input*>(context);
        auto count = self.from_.read(self.buffer_);
        if (!count) {
            self.stream_failure_ = std::move(count).error();
            archive_set_error(handle, ARCHIVE_FATAL, "the input failed");
            return -1;
        }
        *bytes = self.buffer_.data();
        return static_cast<la_ssize_t>(*count);
    }

    byte_stream& from_;
    struct archive* handle_;
    std::vector<std::byte> buffer_;
    std::optional<failure> stream_failure_;
};

}  // namespace obd::fs

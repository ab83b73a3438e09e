#include "layers/write/sink.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utility>

#include "layers/write/host_file.hpp"

namespace obd::layers {

result<void> byte_sink::overwrite(byte_offset, const_bytes) {
    return fail(errc::unsupported, "this output is a stream, what was written cannot be replaced");
}

result<file_sink> file_sink::create(const std::filesystem::path& path, existing what) {
    std::error_code ignored;
    if (what == existing::keep && std::filesystem::exists(std::filesystem::symlink_status(path, ignored))) {
        return fail(errc::already_exists, path.string());
    }
    auto temporary = path;
    temporary += ".incomplete-" + std::to_string(::getpid());
    const int fd = ::open(temporary.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0) return fail_errno(temporary.string());
    return file_sink(fd, path, std::move(temporary));
}

file_sink::file_sink(int fd, std::filesystem::path path, std::filesystem::path temporary)
    : fd_(fd), path_(std::move(path)), temporary_(std::move(temporary)) {}

file_sink::file_sink(file_sink&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      path_(std::move(other.path_)),
      temporary_(std::move(other.temporary_)),
      size_(other.size_) {}

file_sink::~file_sink() {
    if (fd_ < 0) return;
    ::close(fd_);
    ::unlink(temporary_.c_str());
}

result<void> file_sink::write(const_bytes bytes) {
    TRYV(overwrite({size_}, bytes));
    size_ += bytes.size();
    return {};
}

result<void> file_sink::overwrite(byte_offset position, const_bytes bytes) {
    const auto written = write_fully(fd_, position, bytes);
    if (!written) return in_context(written.error(), temporary_.string());
    return {};
}

result<void> file_sink::finish() {
    if (::fsync(fd_) != 0) return fail_errno(temporary_.string() + ": sync");
    if (::rename(temporary_.c_str(), path_.c_str()) != 0) return fail_errno(path_.string() + ": rename");
    ::close(std::exchange(fd_, -1));
    return sync_directory_of(path_);
}

}  // namespace obd::layers

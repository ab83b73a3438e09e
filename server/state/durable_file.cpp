#include "server/state/durable_file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cstdio>
#include <utility>

namespace obd::server {
namespace {

/// Closes what it holds.
class descriptor {
public:
    explicit descriptor(int fd) : fd_(fd) {}
    descriptor(const descriptor&) = delete;
    descriptor& operator=(const descriptor&) = delete;
    ~descriptor() {
        if (fd_ >= 0) ::close(fd_);
    }
    int get() const { return fd_; }

private:
    int fd_;
};

result<void> write_and_sync(const std::filesystem::path& path, std::string_view text) {
    const descriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (file.get() < 0) return fail_errno(path.string());
    while (!text.empty()) {
        const auto written = ::write(file.get(), text.data(), text.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return fail_errno(path.string());
        text.remove_prefix(static_cast<std::size_t>(written));
    }
    if (::fsync(file.get()) != 0) return fail_errno(path.string());
    return {};
}

result<void> sync_folder(const std::filesystem::path& folder) {
    const descriptor handle(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (handle.get() < 0 || ::fsync(handle.get()) != 0) return fail_errno(folder.string());
    return {};
}

std::filesystem::path with_suffix(const std::filesystem::path& path, std::string_view suffix) {
    auto name = path;
    name += suffix;
    return name;
}

}  // namespace

result<void> replace_file(const std::filesystem::path& path, std::string_view text) {
    const auto fresh = with_suffix(path, ".tmp");
    const auto previous = with_suffix(path, ".previous");
    TRYV(write_and_sync(fresh, text));
    // A second link, so that `path` itself is never missing. Best effort: not every file system has hard links.
    ::unlink(previous.c_str());
    [[maybe_unused]] const int linked = ::link(path.c_str(), previous.c_str());
    if (std::rename(fresh.c_str(), path.c_str()) != 0) return fail_errno(path.string());
    return sync_folder(path.parent_path());
}

result<void> remove_file(const std::filesystem::path& path) {
    for (const auto& name : {path, with_suffix(path, ".previous")}) {
        if (::unlink(name.c_str()) != 0 && errno != ENOENT) return fail_errno(name.string());
    }
    return sync_folder(path.parent_path());
}

result<folder_lock> folder_lock::take(const std::filesystem::path& folder) {
    std::error_code bad;
    std::filesystem::create_directories(folder, bad);
    if (bad) return fail_errno("folder " + folder.string(), bad.value());
    const auto path = folder / "lock";
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return fail_errno(path.string());
    folder_lock lock(fd);
    if (::flock(fd, LOCK_EX | LOCK_NB) == 0) return lock;
    if (errno == EWOULDBLOCK) return fail(errc::busy, "folder " + folder.string() + " is used by another daemon");
    return fail_errno(path.string());
}

folder_lock::folder_lock(folder_lock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}

folder_lock::~folder_lock() {
    if (descriptor_ >= 0) ::close(descriptor_);
}

}  // namespace obd::server

#include "layers/local_blob.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

namespace obd::layers {
namespace {

iovec vector_of(mutable_bytes bytes) {
    return {.iov_base = bytes.data(), .iov_len = bytes.size()};
}

result<void> read_fully(int fd, byte_offset offset, mutable_bytes out, std::string_view name) {
    while (!out.empty()) {
        const ssize_t got = ::pread(fd, out.data(), out.size(), static_cast<off_t>(offset.value));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return fail_errno(std::string(name) + ": read at " + std::to_string(offset.value));
        if (got == 0) return fail(errc::io_error, std::string(name) + ": the file shrank while it was open");
        offset.value += static_cast<std::uint64_t>(got);
        out = out.subspan(static_cast<std::size_t>(got));
    }
    return {};
}

}  // namespace

result<std::shared_ptr<local_blob>> local_blob::open(const std::filesystem::path& path, worker_pool& workers) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return fail_errno("open " + path.string());
    struct stat status {};
    if (::fstat(fd, &status) != 0) {
        const int error = errno;
        ::close(fd);
        return fail_errno("stat " + path.string(), error);
    }
    if (!S_ISREG(status.st_mode)) {
        ::close(fd);
        return fail(errc::invalid_argument, path.string() + ": not a regular file");
    }
    const file_identity identity{.device = status.st_dev,
                                 .inode = status.st_ino,
                                 .size_bytes = static_cast<std::uint64_t>(status.st_size),
                                 .modified_ns = status.st_mtim.tv_sec * 1'000'000'000 + status.st_mtim.tv_nsec};
    return std::shared_ptr<local_blob>(new local_blob(fd, path.string(), identity, workers));
}

local_blob::local_blob(int fd, std::string name, const file_identity& identity, worker_pool& workers)
    : fd_(fd), name_(std::move(name)), identity_(identity), workers_(workers), in_place_(probe()) {}

local_blob::~local_blob() {
    ::close(fd_);
}

// Not every file system knows RWF_NOWAIT. Where it does not, tmpfs needs no disk and may be read in place all the same.
local_blob::in_place local_blob::probe() const noexcept {
    std::byte one{};
    const iovec into = vector_of({&one, 1});
    if (::preadv2(fd_, &into, 1, 0, RWF_NOWAIT) >= 0 || errno == EAGAIN) return in_place::nowait;
    struct statfs info {};
    if (::fstatfs(fd_, &info) == 0 && (info.f_type == TMPFS_MAGIC || info.f_type == RAMFS_MAGIC))
        return in_place::plain;
    return in_place::never;
}

attempt local_blob::try_read(byte_offset offset, mutable_bytes out) noexcept {
    if (in_place_ == in_place::never || !within(offset, {out.size()}, size())) return attempt::would_block;
    const int flags = in_place_ == in_place::nowait ? RWF_NOWAIT : 0;
    while (!out.empty()) {
        const iovec into = vector_of(out);
        const ssize_t got = ::preadv2(fd_, &into, 1, static_cast<off_t>(offset.value), flags);
        if (got <= 0) return attempt::would_block;
        offset.value += static_cast<std::uint64_t>(got);
        out = out.subspan(static_cast<std::size_t>(got));
    }
    return attempt::complete;
}

asio::awaitable<result<void>> local_blob::read(byte_offset offset, mutable_bytes out) {
    if (!within(offset, {out.size()}, size())) {
        co_return fail(errc::out_of_range, name_ + ": read of " + std::to_string(out.size()) + " bytes at " +
                                               std::to_string(offset.value) + " in a file of " +
                                               std::to_string(size().value));
    }
    auto work = [this, offset, out] { return read_fully(fd_, offset, out, name_); };
    co_return co_await workers_.run(std::move(work));
}

void local_blob::prefetch(byte_offset offset, byte_count count) noexcept {
    if (offset.value >= size().value) return;
    const std::uint64_t bytes = std::min(count.value, size().value - offset.value);
    ::posix_fadvise(fd_, static_cast<off_t>(offset.value), static_cast<off_t>(bytes), POSIX_FADV_WILLNEED);
}

}  // namespace obd::layers

#include "layers/write/host_file.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace obd::layers {
namespace {

constexpr std::uint64_t least_block_bytes = 4096;        // what every usual file system allocates at least
constexpr std::uint64_t greatest_block_bytes = 1 << 20;  // ZFS records; more would make small writes absurdly dear

off_t as_off(std::uint64_t value) {
    return static_cast<off_t>(value);
}

class host_file final : public file {
public:
    host_file(int fd, std::string name) : fd_(fd), name_(std::move(name)) {
        struct stat info {};
        if (::fstat(fd_, &info) == 0 && is_power_of_two(static_cast<std::uint64_t>(info.st_blksize))) {
            block_bytes_ =
                std::clamp(static_cast<std::uint64_t>(info.st_blksize), least_block_bytes, greatest_block_bytes);
        }
        struct statfs where {};
        // Memory file systems have no RWF_NOWAIT on many kernels, and no need of it.
        in_memory_ = ::fstatfs(fd_, &where) == 0 && (where.f_type == TMPFS_MAGIC || where.f_type == RAMFS_MAGIC);
    }
    ~host_file() override {
        if (mapped_.data() != nullptr) ::munmap(mapped_.data(), mapped_.size());
        ::close(fd_);
    }

    const std::string& name() const noexcept override { return name_; }
    std::uint64_t block_bytes() const noexcept override { return block_bytes_; }

    attempt try_read(byte_offset offset, mutable_bytes out) noexcept override {
        const iovec vector{out.data(), out.size()};
        const auto got = ::preadv2(fd_, &vector, 1, as_off(offset.value), in_memory_ ? 0 : RWF_NOWAIT);
        return got == static_cast<ssize_t>(out.size()) ? attempt::complete : attempt::would_block;
    }

    result<void> read(byte_offset offset, mutable_bytes out) override {
        while (!out.empty()) {
            const auto got = ::pread(fd_, out.data(), out.size(), as_off(offset.value));
            if (got < 0 && errno == EINTR) continue;
            if (got < 0) return fail_errno(at(offset, "read"));
            if (got == 0) break;
            out = out.subspan(static_cast<std::size_t>(got));
            offset.value += static_cast<std::uint64_t>(got);
        }
        std::fill(out.begin(), out.end(), std::byte{0});
        return {};
    }

    result<void> write(byte_offset offset, const_bytes bytes) override {
        const auto written = write_fully(fd_, offset, bytes);
        if (!written) return in_context(written.error(), at(offset, "write"));
        return {};
    }

    result<void> sync() override {
        if (::fdatasync(fd_) != 0) return fail_errno(name_ + ": sync");
        return {};
    }

    result<byte_count> size() override {
        struct stat info {};
        if (::fstat(fd_, &info) != 0) return fail_errno(name_ + ": stat");
        return byte_count{static_cast<std::uint64_t>(info.st_size)};
    }
    result<byte_count> allocated() override {
        struct stat info {};
        if (::fstat(fd_, &info) != 0) return fail_errno(name_ + ": stat");
        return byte_count{static_cast<std::uint64_t>(info.st_blocks) * 512};
    }

    result<void> resize(byte_count size) override {
        if (::ftruncate(fd_, as_off(size.value)) != 0) return fail_errno(name_ + ": truncate");
        return {};
    }

    result<void> punch_hole(byte_offset offset, byte_count count) override {
        if (count.value == 0) return {};
        const int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
        if (::fallocate(fd_, mode, as_off(offset.value), as_off(count.value)) != 0) {
            return fail_errno(at(offset, "punch hole"));
        }
        return {};
    }

    result<std::optional<stretch>> next_data(byte_offset from) override {
        const auto begin = ::lseek(fd_, as_off(from.value), SEEK_DATA);
        if (begin < 0 && errno == ENXIO) return std::optional<stretch>{};
        if (begin < 0) return fail_errno(at(from, "seek data"));
        const auto end = ::lseek(fd_, begin, SEEK_HOLE);
        if (end < 0) return fail_errno(at(from, "seek hole"));
        return std::optional(
            stretch{.begin = {static_cast<std::uint64_t>(begin)}, .end = {static_cast<std::uint64_t>(end)}});
    }

    void unlock() noexcept override { ::flock(fd_, LOCK_UN); }

    result<mutable_bytes> map(byte_count count) override {
        ASSERT(mapped_.data() == nullptr);
        const int error = ::posix_fallocate(fd_, 0, as_off(count.value));
        if (error != 0) return fail_errno(name_ + ": allocate", error);
        void* memory = ::mmap(nullptr, count.value, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
        if (memory == MAP_FAILED) return fail_errno(name_ + ": map");
        mapped_ = {static_cast<std::byte*>(memory), count.value};
        return mapped_;
    }

private:
    std::string at(byte_offset offset, const char* what) const {
        return name_ + ": " + what + " at byte " + std::to_string(offset.value);
    }

    int fd_;
    std::string name_;
    std::uint64_t block_bytes_ = least_block_bytes;
    bool in_memory_ = false;
    mutable_bytes mapped_;
};

int flags_of(open_mode mode) {
    switch (mode) {
        case open_mode::read_only:
            return O_RDONLY | O_CLOEXEC;
        case open_mode::existing:
            return O_RDWR | O_CLOEXEC;
        case open_mode::create:
            return O_RDWR | O_CLOEXEC | O_CREAT | O_EXCL;
        case open_mode::either:
            return O_RDWR | O_CLOEXEC | O_CREAT;
    }
    return O_RDWR;
}

}  // namespace

result<std::shared_ptr<file>> host_file_system::open(const std::filesystem::path& path, open_mode mode) {
    const int fd = ::open(path.c_str(), flags_of(mode), 0644);
    if (fd < 0) return fail_errno(path.string());
    auto opened = std::make_shared<host_file>(fd, path.string());
    if (::flock(fd, (mode == open_mode::read_only ? LOCK_SH : LOCK_EX) | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK) return fail(errc::busy, path.string() + ": another program has it open");
        return fail_errno(path.string() + ": lock");
    }
    return std::shared_ptr<file>(std::move(opened));
}

result<bool> host_file_system::exists(const std::filesystem::path& path) {
    std::error_code error;
    const bool there = std::filesystem::exists(path, error);
    if (error) return fail_errno(path.string(), error.value());
    return there;
}

result<void> host_file_system::remove(const std::filesystem::path& path) {
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) return fail_errno(path.string() + ": remove");
    return {};
}

result<void> host_file_system::rename(const std::filesystem::path& from, const std::filesystem::path& to) {
    if (::rename(from.c_str(), to.c_str()) != 0) return fail_errno(from.string() + ": rename to " + to.string());
    return {};
}

result<void> host_file_system::sync_directory_of(const std::filesystem::path& path) {
    return layers::sync_directory_of(path);
}

result<void> write_fully(int fd, byte_offset offset, const_bytes bytes) {
    while (!bytes.empty()) {
        const auto put = ::pwrite(fd, bytes.data(), bytes.size(), as_off(offset.value));
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return fail_errno("");
        bytes = bytes.subspan(static_cast<std::size_t>(put));
        offset.value += static_cast<std::uint64_t>(put);
    }
    return {};
}

result<void> sync_directory_of(const std::filesystem::path& path) {
    auto directory = path.parent_path();
    if (directory.empty()) directory = ".";
    const int fd = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return fail_errno(directory.string());
    const int failed = ::fsync(fd);
    const int error = errno;
    ::close(fd);
    // Some file systems have no way to sync a directory, and need none.
    if (failed != 0 && error != EINVAL) return fail_errno(directory.string() + ": sync", error);
    return {};
}

}  // namespace obd::layers

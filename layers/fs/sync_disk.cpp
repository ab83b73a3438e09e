#include "layers/fs/sync_disk.hpp"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/co_spawn.hpp>
#include <exception>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace obd::fs {

result<void> sync_disk::check_range(byte_offset offset, std::uint64_t count) const {
    if (within(offset, {count}, size())) return {};
    return fail(errc::out_of_range, "bytes " + std::to_string(offset.value) + "+" + std::to_string(count) +
                                        " of a disk of " + std::to_string(size().value));
}

namespace {

class memory_disk final : public sync_disk {
public:
    explicit memory_disk(byte_count size) : size_(size) {}

    byte_count size() const noexcept override { return size_; }

    result<void> read(byte_offset offset, mutable_bytes out) override {
        TRYV(check_range(offset, out.size()));
        for_chunks(
            offset, out.size(), [&](std::uint64_t index, std::size_t start, std::size_t done, std::size_t count) {
                const auto part = out.subspan(done, count);
                const auto found = chunks_.find(index);
                if (found == chunks_.end())
                    std::ranges::fill(part, std::byte{0});
                else
                    std::copy_n(found->second->begin() + static_cast<std::ptrdiff_t>(start), count, part.begin());
            });
        return {};
    }

    result<void> write(byte_offset offset, const_bytes data) override {
        TRYV(check_range(offset, data.size()));
        for_chunks(offset, data.size(),
                   [&](std::uint64_t index, std::size_t start, std::size_t done, std::size_t count) {
                       auto& chunk = chunks_[index];
                       if (!chunk) chunk = std::make_unique<chunk_bytes>();
                       std::copy_n(data.begin() + static_cast<std::ptrdiff_t>(done), count,
                                   chunk->begin() + static_cast<std::ptrdiff_t>(start));
                   });
        return {};
    }

    result<void> discard(byte_offset offset, byte_count count) override {
        TRYV(check_range(offset, count.value));
        for_chunks(offset, count.value, [&](std::uint64_t index, std::size_t start, std::size_t, std::size_t length) {
            const auto found = chunks_.find(index);
            if (found == chunks_.end()) return;
            if (length == chunk_size)
                chunks_.erase(found);
            else
                std::fill_n(found->second->begin() + static_cast<std::ptrdiff_t>(start), length, std::byte{0});
        });
        return {};
    }

    result<void> flush() override { return {}; }

private:
    static constexpr std::size_t chunk_size = 65536;
    using chunk_bytes = std::array<std::byte, chunk_size>;

    template <typename Function>
    static void for_chunks(byte_offset offset, std::uint64_t count, Function function) {
        for (std::uint64_t done = 0; done < count;) {
            const auto at = offset.value + done;
            const auto start = at % chunk_size;
            const auto length = std::min<std::uint64_t>(chunk_size - start, count - done);
            function(at / chunk_size, start, done, length);
            done += length;
        }
    }

    byte_count size_;
    std::unordered_map<std::uint64_t, std::unique_ptr<chunk_bytes>> chunks_;
};

class file_disk final : public sync_disk {
public:
    file_disk(int descriptor, std::string name) : descriptor_(descriptor), name_(std::move(name)) {}
    ~file_disk() override { ::close(descriptor_); }

    /// Learns the size and takes the lock. REQUIRES: called once, before anything else.
    result<void> prepare() {
        struct stat status {};
        if (::fstat(descriptor_, &status) != 0) return fail_errno(name_);
        if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode))
            return fail(errc::invalid_argument, name_ + ": is neither a file nor a block device");
        if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0)
            return fail(errc::busy, name_ + ": is being written by another program");
        auto bytes = static_cast<std::uint64_t>(status.st_size);
        if (S_ISBLK(status.st_mode) && ::ioctl(descriptor_, BLKGETSIZE64, &bytes) != 0) return fail_errno(name_);
        size_ = {align_down(bytes, sector_bytes)};
        return {};
    }

    byte_count size() const noexcept override { return size_; }

    result<void> read(byte_offset offset, mutable_bytes out) override {
        TRYV(check_range(offset, out.size()));
        for (std::size_t done = 0; done < out.size();) {
            const auto count =
                ::pread(descriptor_, out.data() + done, out.size() - done, static_cast<off_t>(offset.value + done));
            if (count < 0 && errno == EINTR) continue;
            if (count < 0) return fail_errno(name_);
            if (count == 0) return fail(errc::io_error, name_ + ": became shorter while it was in use");
            done += static_cast<std::size_t>(count);
        }
        return {};
    }

    result<void> write(byte_offset offset, const_bytes data) override {
        TRYV(check_range(offset, data.size()));
        for (std::size_t done = 0; done < data.size();) {
            const auto count =
                ::pwrite(descriptor_, data.data() + done, data.size() - done, static_cast<off_t>(offset.value + done));
            if (count < 0 && errno == EINTR) continue;
            if (count < 0) return fail_errno(name_);
            done += static_cast<std::size_t>(count);
        }
        return {};
    }

    result<void> discard(byte_offset offset, byte_count count) override {
        TRYV(check_range(offset, count.value));
        if (count.value == 0) return {};
        if (::fallocate(descriptor_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset.value),
                        static_cast<off_t>(count.value)) == 0)
            return {};
        if (errno != EOPNOTSUPP) return fail_errno(name_);
        const std::vector<std::byte> zeros(std::min<std::uint64_t>(count.value, 1 << 20));
        for (std::uint64_t done = 0; done < count.value;) {
            const auto length = std::min<std::uint64_t>(zeros.size(), count.value - done);
            TRYV(write({offset.value + done}, const_bytes(zeros).first(length)));
            done += length;
        }
        return {};
    }

    result<void> flush() override {
        if (::fdatasync(descriptor_) != 0) return fail_errno(name_);
        return {};
    }

private:
    int descriptor_;
    std::string name_;
    byte_count size_;
};

class device_disk final : public sync_disk {
public:
    explicit device_disk(block_device& device) : device_(device) {}

    byte_count size() const noexcept override { return device_.geometry().size; }

    result<void> read(byte_offset offset, mutable_bytes out) override {
        TRYV(check_range(offset, out.size()));
        if (device_.try_read(offset, out) == attempt::complete) return {};
        return run(device_.read(offset, out));
    }

    result<void> write(byte_offset offset, const_bytes data) override {
        TRYV(check_range(offset, data.size()));
        if (device_.try_write(offset, data) == attempt::complete) return {};
        return run(device_.write(offset, data, durability::write_back));
    }

    result<void> discard(byte_offset offset, byte_count count) override {
        TRYV(check_range(offset, count.value));
        return run(device_.discard(offset, count));
    }

    result<void> flush() override { return run(device_.flush()); }

private:
    result<void> run(asio::awaitable<result<void>> operation) {
        std::optional<result<void>> outcome;
        loop_.restart();
        asio::co_spawn(loop_, std::move(operation), [&outcome](std::exception_ptr error, result<void> value) {
            if (error)
                outcome = result<void>(fail(errc::io_error, "the operation ended with an exception"));
            else
                outcome = std::move(value);
        });
        loop_.run();
        ASSERT(outcome.has_value());
        return *std::move(outcome);
    }

    block_device& device_;
    asio::io_context loop_{1};
};

}  // namespace

std::unique_ptr<sync_disk> make_memory_disk(byte_count size) {
    return std::make_unique<memory_disk>(size);
}

result<std::unique_ptr<sync_disk>> open_file_disk(const std::filesystem::path& path) {
    const int descriptor = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
    if (descriptor < 0) return fail_errno(path.string());
    auto disk = std::make_unique<file_disk>(descriptor, path.string());
    TRYV(disk->prepare());
    return std::unique_ptr<sync_disk>(std::move(disk));
}

std::unique_ptr<sync_disk> make_device_disk(block_device& device) {
    return std::make_unique<device_disk>(device);
}

}  // namespace obd::fs

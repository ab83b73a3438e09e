#include "layers/fs/byte_stream.hpp"

#include <archive.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "layers/fs/archive_input.hpp"

namespace obd::fs {
namespace {

class file_stream final : public byte_stream {
public:
    file_stream(int descriptor, std::string name) : descriptor_(descriptor), name_(std::move(name)) {}
    ~file_stream() override {
        if (descriptor_ != STDIN_FILENO) ::close(descriptor_);
    }

    result<std::size_t> read(mutable_bytes out) override {
        // Blocks until a FIFO has bytes or its last writer is gone.
        for (;;) {
            const auto count = ::read(descriptor_, out.data(), out.size());
            if (count >= 0) return static_cast<std::size_t>(count);
            if (errno != EINTR) return fail_errno(name_);
        }
    }

private:
    int descriptor_;
    std::string name_;
};

class memory_stream final : public byte_stream {
public:
    explicit memory_stream(const_bytes rest) : rest_(rest) {}

    result<std::size_t> read(mutable_bytes out) override {
        const auto count = std::min(out.size(), rest_.size());
        std::copy_n(rest_.begin(), count, out.begin());
        rest_ = rest_.subspan(count);
        return count;
    }

private:
    const_bytes rest_;
};

/// libarchive's filters under its "raw" format, which is one nameless file.
class decompressor final : public byte_stream {
public:
    explicit decompressor(byte_stream& from) : input_(from) {}

    result<std::size_t> read(mutable_bytes out) override {
        if (!opened_) {
            TRYV(open());
        }
        if (ended_ || out.empty()) return std::size_t{0};
        const auto count = archive_read_data(input_.handle(), out.data(), out.size());
        if (count < 0) return input_.failed("decompressing");
        ended_ = count == 0;
        return static_cast<std::size_t>(count);
    }

private:
    result<void> open() {
        auto* handle = input_.handle();
        archive_read_support_filter_gzip(handle);
        archive_read_support_filter_zstd(handle);
        archive_read_support_format_raw(handle);
        archive_read_support_format_empty(handle);
        TRYV(input_.open());
        archive_entry* entry = nullptr;
        const auto code = archive_read_next_header(handle, &entry);
        if (code == ARCHIVE_EOF)
            ended_ = true;
        else if (code != ARCHIVE_OK)
            return input_.failed("decompressing");
        opened_ = true;
        return {};
    }

    archive_input input_;
    bool opened_ = false;
    bool ended_ = false;
};

class ahead_stream final : public byte_stream {
public:
    explicit ahead_stream(byte_stream& from) : thread_([this, &from] { fetch(from); }) {}

    ~ahead_stream() override {
        {
            const std::lock_guard lock(mutex_);
            stopped_ = true;
        }
        changed_.notify_all();
        thread_.join();
    }

    result<std::size_t> read(mutable_bytes out) override {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return !ready_.empty() || end_.has_value(); });
        if (ready_.empty()) {
            if (!*end_) return end_->error();
            return std::size_t{0};
        }
        auto& front = ready_.front();
        const auto count = std::min(out.size(), front.size() - taken_);
        std::memcpy(out.data(), front.data() + taken_, count);
        taken_ += count;
        if (taken_ == front.size()) {
            ready_.pop_front();
            taken_ = 0;
            changed_.notify_all();
        }
        return count;
    }

private:
    static constexpr std::size_t chunk_bytes = 256 << 10;
    static constexpr std::size_t most_chunks = 16;

    void fetch(byte_stream& from) {
        for (;;) {
            std::vector<std::byte> chunk(chunk_bytes);
            const auto count = from.read(chunk);
            std::unique_lock lock(mutex_);
            if (!count || *count == 0) {
                end_ = count ? result<void>() : result<void>(count.error());
                changed_.notify_all();
                return;
            }
            chunk.resize(*count);
            ready_.push_back(std::move(chunk));
            changed_.notify_all();
            changed_.wait(lock, [this] { return ready_.size() < most_chunks || stopped_; });
            if (stopped_) return;
        }
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<std::vector<std::byte>> ready_;
    std::size_t taken_ = 0;  ///< of the front one
    std::optional<result<void>> end_;
    bool stopped_ = false;
    std::thread thread_;
};

}  // namespace

result<std::unique_ptr<byte_stream>> open_stream(const std::filesystem::path& path) {
    if (path == "-") return std::unique_ptr<byte_stream>(std::make_unique<file_stream>(STDIN_FILENO, "standard input"));
    const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) return fail_errno(path.string());
    return std::unique_ptr<byte_stream>(std::make_unique<file_stream>(descriptor, path.string()));
}

std::unique_ptr<byte_stream> stream_of(const_bytes bytes) {
    return std::make_unique<memory_stream>(bytes);
}
std::unique_ptr<byte_stream> decompressed(byte_stream& from) {
    return std::make_unique<decompressor>(from);
}
std::unique_ptr<byte_stream> read_ahead(byte_stream& from) {
    return std::make_unique<ahead_stream>(from);
}

result<std::size_t> digest_stream::read(mutable_bytes out) {
    TRY(const auto count, from_.read(out));
    hash_.update(out.first(count));
    size_ += count;
    return count;
}

result<void> drain(byte_stream& from) {
    std::vector<std::byte> buffer(64 << 10);
    for (;;) {
        TRY(const auto count, from.read(buffer));
        if (count == 0) return {};
    }
}

}  // namespace obd::fs

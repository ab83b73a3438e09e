// A file as a blob_source.
#pragma once

#include <compare>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "base/blob_source.hpp"
#include "base/worker_pool.hpp"

namespace obd::layers {

/// Two files with equal identity have equal content, as far as stat(2) can tell.
struct file_identity {
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    std::uint64_t size_bytes = 0;
    std::int64_t modified_ns = 0;
    auto operator<=>(const file_identity&) const = default;
};

/// The file must not change while it is open; its size is taken once. try_read serves what is in the page cache
/// (preadv2 with RWF_NOWAIT), read goes to a worker.
class local_blob final : public blob_source {
public:
    /// Blocks (open, fstat): call it on a worker. Regular files only.
    static result<std::shared_ptr<local_blob>> open(const std::filesystem::path& path, worker_pool& workers);
    ~local_blob() override;

    local_blob(const local_blob&) = delete;
    local_blob& operator=(const local_blob&) = delete;

    const file_identity& identity() const noexcept { return identity_; }

    std::string_view name() const noexcept override { return name_; }
    byte_count size() const noexcept override { return {identity_.size_bytes}; }
    attempt try_read(byte_offset offset, mutable_bytes out) noexcept override;
    asio::awaitable<result<void>> read(byte_offset offset, mutable_bytes out) override;
    bool discard_cached(byte_offset, byte_count) noexcept override { return false; }
    void prefetch(byte_offset offset, byte_count count) noexcept override;

private:
    /// How a read that must not wait is asked for; depends on the file system.
    enum class in_place { nowait, plain, never };

    local_blob(int fd, std::string name, const file_identity& identity, worker_pool& workers);
    in_place probe() const noexcept;

    int fd_;
    std::string name_;
    file_identity identity_;
    worker_pool& workers_;
    in_place in_place_;
};

}  // namespace obd::layers

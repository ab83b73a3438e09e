// A blob in memory that misbehaves as it is told.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "base/blob_source.hpp"

namespace obd::test {

/// Thread-safe, as a blob_source is. The settings are made before it is shared.
class fault_blob final : public blob_source {
public:
    enum class place {
        near,  ///< try_read serves it
        far,   ///< only read does, after a trip through the executor
    };

    explicit fault_blob(std::vector<std::byte> content, place where = place::near, std::string name = "blob");

    /// Reads that touch this byte fail with `code`, the next `times` times.
    void fail_at(std::uint64_t offset, errc code, int times = 1 << 30);
    /// Reads of this byte give a wrong value until discard_cached() of it has been called `discards` times.
    void spoil_at(std::uint64_t offset, int discards);
    /// Whether discard_cached() says that there is another copy.
    void set_refetchable(bool value) { refetchable_ = value; }

    int reads() const { return reads_; }
    int reads_in_place() const { return reads_in_place_; }
    int discards() const { return discards_; }
    int prefetches() const { return prefetches_; }

    std::string_view name() const noexcept override { return name_; }
    byte_count size() const noexcept override { return {content_.size()}; }
    attempt try_read(byte_offset offset, mutable_bytes out) noexcept override;
    asio::awaitable<result<void>> read(byte_offset offset, mutable_bytes out) override;
    bool discard_cached(byte_offset offset, byte_count count) noexcept override;
    void prefetch(byte_offset offset, byte_count count) noexcept override;

private:
    struct fault {
        std::uint64_t offset;
        errc code;  ///< ok: the byte is wrong, not the read
        int left;
    };
    result<void> serve(byte_offset offset, mutable_bytes out);

    std::vector<std::byte> content_;
    place where_;
    std::string name_;
    bool refetchable_ = true;
    std::mutex mutex_;
    std::vector<fault> faults_;
    std::atomic<int> reads_{0};
    std::atomic<int> reads_in_place_{0};
    std::atomic<int> discards_{0};
    std::atomic<int> prefetches_{0};
};

}  // namespace obd::test

// Payload memory: page-aligned buffers that return to the pool they came from. A pool and its buffers belong to one
// thread.
#pragma once

#include <array>
#include <cstddef>
#include <utility>
#include <vector>

#include "base/bytes.hpp"

namespace obd::iscsi {

class buffer_pool;

/// Owns `size()` bytes. Empty after a move and by default.
class io_buffer {
public:
    io_buffer() = default;
    io_buffer(io_buffer&& other) noexcept { swap(other); }
    io_buffer& operator=(io_buffer&& other) noexcept {
        io_buffer(std::move(other)).swap(*this);
        return *this;
    }
    ~io_buffer();

    explicit operator bool() const { return data_ != nullptr; }
    std::byte* data() { return data_; }
    std::size_t size() const { return size_; }
    mutable_bytes bytes() { return {data_, size_}; }
    const_bytes bytes() const { return {data_, size_}; }
    void reset() { io_buffer().swap(*this); }

private:
    friend class buffer_pool;
    io_buffer(buffer_pool* pool, std::byte* data, std::size_t size, std::size_t size_class)
        : pool_(pool), data_(data), size_(size), class_(size_class) {}
    void swap(io_buffer& other) noexcept {
        std::swap(pool_, other.pool_);
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        std::swap(class_, other.class_);
    }

    buffer_pool* pool_ = nullptr;
    std::byte* data_ = nullptr;
    std::size_t size_ = 0;
    std::size_t class_ = 0;
};

/// Powers of two from 4 KiB to 16 MiB; last in, first out, so that what is handed out is still in the CPU's cache.
/// REQUIRES: outlives its buffers.
class buffer_pool {
public:
    /// Keeps at most `keep_bytes` of unused memory; the rest goes back to the system.
    explicit buffer_pool(std::size_t keep_bytes) : keep_bytes_(keep_bytes) {}
    ~buffer_pool();
    buffer_pool(const buffer_pool&) = delete;
    buffer_pool& operator=(const buffer_pool&) = delete;

    /// The content is undefined. REQUIRES: 0 < bytes <= largest. Throws std::bad_alloc.
    io_buffer get(std::size_t bytes);
    std::size_t bytes_in_use() const { return in_use_; }

    static constexpr std::size_t smallest = 4096;
    static constexpr std::size_t largest = std::size_t{16} << 20;

private:
    friend class io_buffer;
    void put(std::byte* data, std::size_t size_class) noexcept;

    static constexpr std::size_t classes = 13;
    std::array<std::vector<std::byte*>, classes> free_;
    std::size_t keep_bytes_;
    std::size_t kept_ = 0;
    std::size_t in_use_ = 0;
};

inline io_buffer::~io_buffer() {
    if (data_ != nullptr) pool_->put(data_, class_);
}

}  // namespace obd::iscsi

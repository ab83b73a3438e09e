#include "protocol/iscsi/io_buffer.hpp"

#include <bit>
#include <cstdlib>
#include <new>

#include "base/result.hpp"

namespace obd::iscsi {
namespace {

std::size_t class_of(std::size_t bytes) {
    if (bytes <= buffer_pool::smallest) return 0;
    return static_cast<std::size_t>(std::bit_width((bytes - 1) / buffer_pool::smallest));
}

constexpr std::size_t class_bytes(std::size_t size_class) {
    return buffer_pool::smallest << size_class;
}

}  // namespace

buffer_pool::~buffer_pool() {
    ASSERT(in_use_ == 0);
    for (auto& list : free_) {
        for (std::byte* data : list) std::free(data);
    }
}

io_buffer buffer_pool::get(std::size_t bytes) {
    ASSERT(bytes > 0 && bytes <= largest);
    const std::size_t size_class = class_of(bytes);
    const std::size_t whole = class_bytes(size_class);
    auto& list = free_[size_class];
    std::byte* data = nullptr;
    if (!list.empty()) {
        data = list.back();
        list.pop_back();
        kept_ -= whole;
    } else {
        data = static_cast<std::byte*>(std::aligned_alloc(4096, whole));
        if (data == nullptr) throw std::bad_alloc();
    }
    in_use_ += whole;
    return io_buffer(this, data, bytes, size_class);
}

void buffer_pool::put(std::byte* data, std::size_t size_class) noexcept {
    const std::size_t whole = class_bytes(size_class);
    in_use_ -= whole;
    if (kept_ + whole > keep_bytes_) {
        std::free(data);
        return;
    }
    kept_ += whole;
    free_[size_class].push_back(data);
}

}  // namespace obd::iscsi

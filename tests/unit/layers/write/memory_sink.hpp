// Output in memory.
#pragma once

#include <algorithm>
#include <vector>

#include "layers/write/sink.hpp"

namespace obd::test {

class memory_sink final : public layers::byte_sink {
public:
    result<void> write(const_bytes more) override {
        bytes.insert(bytes.end(), more.begin(), more.end());
        return {};
    }
    result<void> overwrite(byte_offset position, const_bytes with) override {
        ASSERT(position.value + with.size() <= bytes.size());
        std::copy(with.begin(), with.end(), bytes.begin() + static_cast<std::ptrdiff_t>(position.value));
        return {};
    }
    std::vector<std::byte> bytes;
};

}  // namespace obd::test

// Input bytes as a blob, for fuzzers of code that reads from one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "tests/support/await.hpp"
#include "tests/support/fault_blob.hpp"

namespace obd::test {

inline std::shared_ptr<fault_blob> fuzz_blob(const std::uint8_t* data, std::size_t size) {
    const auto bytes = std::as_bytes(std::span(data, size));
    auto blob = std::make_shared<fault_blob>(std::vector<std::byte>(bytes.begin(), bytes.end()));
    blob->set_refetchable(false);
    return blob;
}

}  // namespace obd::test

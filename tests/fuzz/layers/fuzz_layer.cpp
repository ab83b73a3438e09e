// A whole layer: unwrapped, opened, made a stack of two, and read.
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "layers/opened_layer.hpp"
#include "layers/read_stack.hpp"
#include "tests/fuzz/layers/fuzz_blob.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace obd;
    static worker_pool workers(1);
    layers::layer_identity who{.name = "fuzz", .digest = {}};
    const auto opened = test::await(layers::open_layer(std::move(who), test::fuzz_blob(data, size), workers));
    if (!opened) return 0;
    const auto stack = layers::read_stack::build({*opened, *opened});
    if (!stack) __builtin_trap();
    std::vector<std::byte> out(256 << 10);
    static_cast<void>(test::await((*stack)->read({0}, out)));
    for (const auto& entry : (*opened)->lsmt->mappings()) {
        const auto part = mutable_bytes(out).first(512);
        if ((*stack)->try_read(to_bytes(entry.start()), part) == attempt::would_block) {
            static_cast<void>(test::await((*stack)->read(to_bytes(entry.start()), part)));
        }
        if (entry.start().value > 4096) break;
    }
    static_cast<void>((*stack)->extents({0}, {1 << 20}, 64));
    return 0;
}

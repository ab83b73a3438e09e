// LSMT header, trailer and index: what opens has a sorted index within its file.
#include <cstddef>
#include <cstdint>

#include "layers/lsmt/reader.hpp"
#include "layers/merged_index.hpp"
#include "tests/fuzz/layers/fuzz_blob.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace obd;
    const auto opened = test::await(layers::lsmt::layer::open(test::fuzz_blob(data, size)));
    if (!opened) return 0;
    const auto mappings = (*opened)->mappings();
    sector last{0};
    for (const auto& entry : mappings) {
        if (entry.start() < last || entry.length() == 0) __builtin_trap();
        if (to_bytes(entry.moffset()).value + (entry.zeroed() ? 0 : entry.length() * sector_bytes) > size)
            __builtin_trap();
        last = entry.end();
    }
    const std::span<const layers::lsmt::packed_mapping> stack[] = {mappings, mappings};
    const auto merged = layers::merged_index::build(stack);
    if (!merged || merged->entries().size() != mappings.size()) __builtin_trap();
    return 0;
}

// The tar wrapper's headers.
#include <cstddef>
#include <cstdint>

#include "layers/tar/wrapper.hpp"
#include "tests/fuzz/layers/fuzz_blob.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace obd;
    const auto blob = test::fuzz_blob(data, size);
    const auto found = test::await(layers::tar::find_payload(*blob));
    if (found && *found && !within((*found)->offset, (*found)->size, blob->size())) __builtin_trap();
    static_cast<void>(layers::tar::size_in_pax(std::as_bytes(std::span(data, size))));
    return 0;
}

// config.v1.json.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "layers/image_config.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    static_cast<void>(obd::layers::parse_image_config(text, "/base", "fuzz"));
    return 0;
}

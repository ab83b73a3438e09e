#include "tests/support/layer_fixtures.hpp"

#include <fstream>
#include <iterator>
#include <stdexcept>

#include "tests/support/await.hpp"

namespace obd::test {

std::vector<std::byte> read_file(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw std::runtime_error("read " + path.string());
    const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    const auto bytes = as_bytes(text);
    return {bytes.begin(), bytes.end()};
}

result<void> read_device(block_device& device, byte_offset offset, mutable_bytes out) {
    if (device.try_read(offset, out) == attempt::complete) return {};
    return await(device.read(offset, out));
}

result<std::vector<std::byte>> read_all(block_device& device) {
    constexpr std::size_t piece = 1 << 20;
    std::vector<std::byte> all(device.geometry().size.value);
    for (std::size_t done = 0; done < all.size(); done += piece) {
        const auto out = mutable_bytes(all).subspan(done, std::min(piece, all.size() - done));
        TRYV(read_device(device, {done}, out));
    }
    return all;
}

std::string first_difference(const_bytes expected, const_bytes seen) {
    if (expected.size() != seen.size()) {
        return "sizes " + std::to_string(expected.size()) + " and " + std::to_string(seen.size());
    }
    for (std::size_t i = 0; i < expected.size(); ++i) {
        if (expected[i] != seen[i]) return "byte " + std::to_string(i);
    }
    return "";
}

}  // namespace obd::test

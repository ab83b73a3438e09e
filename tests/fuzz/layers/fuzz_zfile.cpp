// ZFile header, trailer, jump table and blocks: whatever opens must be readable or fail, at its ends and all of it.
// Digests are made right first, so that the fuzzer gets behind them.
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "base/crc32c.hpp"
#include "layers/zfile/format.hpp"
#include "layers/zfile/reader.hpp"
#include "tests/fuzz/layers/fuzz_blob.hpp"

namespace {

constexpr std::size_t block = obd::layers::zfile::header_space_bytes;

void repair_digest(std::span<std::uint8_t> space) {
    std::fill_n(space.begin() + 28, 4, std::uint8_t{0});
    const std::uint32_t crc = obd::crc32c_raw(std::as_bytes(space), 0);
    for (std::size_t i = 0; i < 4; ++i) space[28 + i] = static_cast<std::uint8_t>(crc >> (8 * i));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace obd;
    static worker_pool workers(1);
    std::vector<std::uint8_t> file(data, data + size);
    if (size >= 2 * block) {
        repair_digest(std::span(file).first(block));
        repair_digest(std::span(file).last(block));
    }
    const auto opened = test::await(layers::zfile::reader::open(test::fuzz_blob(file.data(), size), workers));
    if (!opened) return 0;
    auto& content = **opened;
    // A jump table of n entries can claim at most 64 KiB each.
    const std::uint64_t all = std::min<std::uint64_t>(content.size().value, 1 << 20);
    std::vector<std::byte> out(all);
    static_cast<void>(test::await(content.read({0}, out)));
    for (const std::uint64_t wanted : {1u, 511u, 4097u}) {
        const auto part = mutable_bytes(out).first(std::min(wanted, all));
        static_cast<void>(content.try_read({content.size().value - part.size()}, part));
        static_cast<void>(test::await(content.read({(content.size().value - part.size()) / 2}, part)));
    }
    return 0;
}

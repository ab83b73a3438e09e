// Arbitrary content and options through the ZFile writer, in arbitrary pieces, come back the same; and so does a
// committed layer in its tar wrapper.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "layers/opened_layer.hpp"
#include "layers/write/commit.hpp"
#include "tests/fuzz/layers/fuzz_blob.hpp"
#include "tests/unit/layers/write/memory_sink.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace obd;
    if (size < 4) return 0;
    static worker_pool workers(1);
    layers::layer_wrapping wrapping;
    wrapping.tar = (data[0] & 1) != 0;
    if ((data[0] & 2) != 0) wrapping.index_at = layers::zfile_index_at::trailer;
    layers::zfile_options options;
    options.algo = (data[0] & 4) != 0 ? layers::zfile::algorithm::zstd : layers::zfile::algorithm::lz4;
    options.block_bytes = 512u << (data[1] % 12);  // also sizes that are refused
    options.threads = 1 + data[2] % 3;
    wrapping.zfile = options;
    std::vector<std::byte> content;
    for (unsigned i = 0; i <= data[3] % 8u; ++i) {
        const auto piece = std::as_bytes(std::span(data + 4, size - 4));
        content.insert(content.end(), piece.begin(), piece.end());
    }
    test::memory_sink sink;
    const auto write = [&](layers::byte_sink& to) -> result<void> {
        const std::size_t step = 1 + data[1] * 37u;
        for (std::size_t at = 0; at < content.size(); at += step) {
            TRYV(to.write(const_bytes(content).subspan(at, std::min(step, content.size() - at))));
        }
        return {};
    };
    if (!layers::write_wrapped(wrapping, sink, write)) {
        if (layers::check(options)) std::abort();
        return 0;
    }
    const auto* raw = reinterpret_cast<const std::uint8_t*>(sink.bytes.data());
    const auto bare = test::await(layers::unwrap(test::fuzz_blob(raw, sink.bytes.size()), workers));
    if (!bare || bare->content->size().value != content.size()) std::abort();
    std::vector<std::byte> back(content.size());
    if (!back.empty() && !test::await(bare->content->read({0}, back))) std::abort();
    if (back != content) std::abort();
    return 0;
}

// TurboOCI's gzip index, both ways. First byte even: the rest is a gzip file; what gets an index reads the same at
// random as from its beginning. Odd: the rest is an index, of a file that it may or may not fit.
#include <zlib.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "base/crc32c.hpp"
#include "layers/gzip/source.hpp"
#include "layers/write/gzip_index_writer.hpp"
#include "tests/fuzz/layers/fuzz_blob.hpp"
#include "tests/unit/layers/write/memory_sink.hpp"

namespace {

using namespace obd;

worker_pool& workers() {
    static worker_pool pool(1);
    return pool;
}

void read_all(blob_source& from, std::vector<std::byte>* whole) {
    const auto size = std::min<std::uint64_t>(from.size().value, 1 << 20);
    std::vector<std::byte> all(size);
    if (!test::await(from.read({0}, all))) {
        if (whole != nullptr) std::abort();
        return;
    }
    for (const std::uint64_t at : {size / 3, size / 2, size - std::min<std::uint64_t>(size, 700)}) {
        std::vector<std::byte> part(std::min<std::uint64_t>(size - at, 700));
        const bool right = test::await(from.read({at}, part)).has_value() &&
                           std::equal(part.begin(), part.end(), all.begin() + static_cast<std::ptrdiff_t>(at));
        if (!right && whole != nullptr) std::abort();
    }
    if (whole != nullptr) *whole = std::move(all);
}

void index_of_input(const std::uint8_t* data, std::size_t size, std::uint64_t span) {
    test::memory_sink sink;
    const auto writer = layers::gzip_index_writer::begin(sink, span).value();
    const auto bytes = std::as_bytes(std::span(data, size));
    const auto half = size / 2;
    if (!writer->packed(bytes.first(half)) || !writer->packed(bytes.subspan(half))) return;
    const auto totals = writer->finish();
    if (!totals) return;
    const auto* raw = reinterpret_cast<const std::uint8_t*>(sink.bytes.data());
    const auto opened = test::await(
        layers::gzip::source::open(test::fuzz_blob(data, size), test::fuzz_blob(raw, sink.bytes.size()), workers()));
    if (!opened || (*opened)->size() != totals->plain_size) std::abort();
    std::vector<std::byte> whole;
    read_all(**opened, &whole);
}

void arbitrary_index(const std::uint8_t* data, std::size_t size) {
    namespace gzip = layers::gzip;
    std::vector<std::uint8_t> file(data, data + size);
    constexpr std::size_t gzip_bytes = 4096;
    if (size >= sizeof(gzip::index_header)) {  // the fuzzer gets behind the checksum and the sizes
        auto header = load<gzip::index_header>(std::as_bytes(std::span(file)), 0);
        header.index_size = size;
        header.gzip_size = gzip_bytes;
        header.crc = crc32c_raw(bytes_of(header).first(offsetof(gzip::index_header, crc)), 0);
        store(std::as_writable_bytes(std::span(file)), header);
    }
    const std::vector<std::uint8_t> packed(gzip_bytes, 0x4b);
    const auto opened = test::await(gzip::source::open(test::fuzz_blob(packed.data(), packed.size()),
                                                       test::fuzz_blob(file.data(), file.size()), workers()));
    if (opened) read_all(**opened, nullptr);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    if ((data[0] & 1) != 0)
        arbitrary_index(data + 1, size - 1);
    else
        index_of_input(data + 1, size - 1, data[0] * 16u + 1);
    return 0;
}

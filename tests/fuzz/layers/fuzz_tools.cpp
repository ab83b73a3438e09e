// Parsers of the image tools. First byte: 0 overlaybd-inspect on an arbitrary file, 1 tar meta of an arbitrary tar,
// 2 a tar made of an arbitrary tar meta, 3 a partition table.
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "layers/fs/byte_stream.hpp"
#include "tests/unit/layers/write/memory_sink.hpp"
#include "tools/image/inspect.hpp"
#include "tools/image/partitions.hpp"
#include "tools/image/tar_meta.hpp"

namespace {

using namespace obd;

void inspect(const_bytes bytes) {
    static worker_pool workers(1);
    const int file = ::memfd_create("input", MFD_CLOEXEC);
    if (file < 0) std::abort();
    if (::write(file, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) std::abort();
    const auto found =
        tools::inspect("/proc/self/fd/" + std::to_string(file), {.entries = true, .verify = true}, workers);
    if (found) {
        static_cast<void>(tools::as_text(*found));
        static_cast<void>(tools::as_json(*found));
    }
    ::close(file);
}

/// What was exported can be made a tar of again, with every file's contents where they were.
void export_meta(const_bytes bytes) {
    const auto tar = fs::stream_of(bytes);
    test::memory_sink meta;
    if (!tools::export_tar_meta(*tar, meta)) return;
    const auto again = fs::stream_of(meta.bytes);
    tools::tar_meta_places places;
    tools::tar_meta_reader whole(*again, places);
    if (!fs::drain(whole)) std::abort();
}

void import_meta(const_bytes bytes) {
    const auto meta = fs::stream_of(bytes);
    tools::tar_meta_places places;
    tools::tar_meta_reader whole(*meta, places);
    std::vector<std::byte> buffer(65536);
    for (int steps = 0; steps < 256; ++steps) {  // it may claim any amount of zeros
        const auto count = whole.read(buffer);
        if (!count || *count == 0) return;
    }
}

void partitions(const_bytes bytes) {
    const auto read = [&](byte_offset at, mutable_bytes out) -> result<void> {
        if (!within(at, {out.size()}, {bytes.size()})) return fail(errc::out_of_range, "");
        std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(at.value), out.size(), out.begin());
        return {};
    };
    const auto found = tools::find_partitions({bytes.size()}, read);
    if (!found) return;
    for (const auto& part : *found)
        if (!within(part.begin, part.size, {bytes.size()})) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const auto rest = std::as_bytes(std::span(data + 1, size - 1));
    constexpr void (*parsers[])(const_bytes) = {inspect, export_meta, import_meta, partitions};
    parsers[data[0] % 4](rest);
    return 0;
}

#include "tools/image/fsck.hpp"

#include <memory>

#include "layers/write/host_file.hpp"

namespace obd::tools {
namespace {

constexpr std::size_t read_bytes = 1 << 20;

/// Every sector that the index refers to can be read.
result<std::uint64_t> read_all(const layers::upper& layer) {
    std::vector<std::byte> buffer(read_bytes);
    std::uint64_t live = 0;
    for (const auto& entry : layer.index().dump()) {
        if (entry.zeroed()) continue;
        auto at = to_bytes(entry.moffset());
        for (auto left = std::uint64_t{entry.length()} * sector_bytes; left > 0;) {
            const auto part = std::min<std::uint64_t>(left, read_bytes);
            TRYV(layer.data().read(at, mutable_bytes(buffer).first(part)));
            at.value += part;
            left -= part;
            live += part;
        }
    }
    return live;
}

}  // namespace

result<fsck_report> fsck(const layers::upper_paths& paths, fsck_mode mode) {
    using access = layers::upper_opening::access;
    TRY(const auto layer,
        layers::open_upper({.files = std::make_shared<layers::host_file_system>(),
                            .paths = paths,
                            .inherited_size = {0},
                            .mode = mode == fsck_mode::repair ? access::read_write : access::read_only}));
    fsck_report report;
    report.identity = layer->identity();
    report.usage = layer->usage();
    report.mappings = layer->index().size();
    report.problems = layer->repairs().notes;
    TRY(report.live_bytes, read_all(*layer));
    if (mode == fsck_mode::repair) {
        TRYV(layer->close());
    }
    return report;
}

}  // namespace obd::tools

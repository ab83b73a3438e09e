// Writes a ZFile from a stream of bytes. docs/formats/zfile.md.
#pragma once

#include <memory>
#include <vector>

#include "layers/write/ordered_compressor.hpp"
#include "layers/write/sink.hpp"

namespace obd::layers {

/// Where a reader finds the index.
enum class zfile_index_at {
    trailer,             ///< works on streams; overlaybd-zfile and overlaybd-merge write it
    header_and_trailer,  ///< the header is written again at the end; overlaybd-commit -z writes it
};

struct zfile_totals {
    byte_count plain;
    byte_count stored;  ///< the whole file
    std::uint64_t blocks = 0;
    /// Blocks whose stored form is longer than 64 KiB: overlaybd itself cannot read them (64 KiB blocks of
    /// incompressible data only).
    std::uint64_t oversized_blocks = 0;
};

/// A sink for the plain bytes. Not thread-safe; compresses on options.threads threads.
class zfile_writer final : public byte_sink {
public:
    /// Writes the header. `to` outlives the writer and stands at the beginning of the ZFile.
    static result<std::unique_ptr<zfile_writer>> begin(byte_sink& to, const zfile_options& options,
                                                       zfile_index_at where);

    result<void> write(const_bytes bytes) override;
    /// Writes what is left, the index and the trailer. Once, last.
    result<zfile_totals> finish();

private:
    zfile_writer(byte_sink& to, const zfile_options& options, zfile_index_at where);
    result<void> push_batch();
    result<void> write_oldest();
    std::unique_ptr<block_batch> fresh_batch();

    byte_sink& to_;
    zfile_options options_;
    zfile_index_at where_;
    ordered_compressor compressor_;
    std::unique_ptr<block_batch> filling_;
    std::unique_ptr<block_batch> spare_;
    std::vector<std::uint32_t> lengths_;
    zfile_totals totals_;
};

}  // namespace obd::layers

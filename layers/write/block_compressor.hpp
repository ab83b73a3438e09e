// One ZFile block at a time: compression and its checksum. docs/formats/zfile.md.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "layers/zfile/format.hpp"

namespace obd::layers {

struct zfile_options {
    zfile::algorithm algo = zfile::algorithm::lz4;
    std::uint32_t block_bytes = 4096;  ///< a power of two, 4096..65536
    bool checksums = true;             ///< a CRC follows each block
    unsigned threads = 1;              ///< that compress; the caller's own when 1 or 0. The output is the same.
};

/// invalid_argument, naming the field.
result<void> check(const zfile_options& options);

/// The output depends on the input and the options only, never on what was compressed before. Not thread-safe.
class block_compressor {
public:
    explicit block_compressor(const zfile_options& options);
    ~block_compressor();
    block_compressor(const block_compressor&) = delete;
    block_compressor& operator=(const block_compressor&) = delete;

    /// Appends the stored form of a block to `out`; returns its length, the CRC included. REQUIRES: 0 <
    /// plain.size() <= block_bytes.
    std::uint32_t append(const_bytes plain, std::vector<std::byte>& out);

private:
    struct state;
    std::unique_ptr<state> state_;
};

}  // namespace obd::layers

// Unpacks one layer of an OCI image into an ext4 volume that holds the layers below it. OCI Image Format Specification,
// "Image Layer Filesystem Changeset".
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/result.hpp"
#include "layers/fs/byte_stream.hpp"
#include "layers/fs/ext4_volume.hpp"

namespace obd::fs {

struct apply_options {
    /// Not empty: the digest of the uncompressed tar (its diff ID); another one fails with corrupt.
    std::string expected_digest;
    /// Told the bytes of uncompressed tar unpacked so far, now and then. May be empty.
    std::function<void(std::uint64_t)> progress;
    /// Not empty: contents of files are not written (but for sparse members); this is told where on the disk they
    /// belong and where in the uncompressed tar they are. The last block of a file that is no whole block of tar is
    /// told up to the tar's own padding; the rest of it was discarded before.
    struct content_place {
        byte_offset on_disk;
        byte_offset in_tar;
        byte_count count;  ///< a multiple of 512
    };
    std::function<result<void>(const content_place&)> map_contents;
};

struct apply_report {
    std::uint64_t members = 0;  ///< of the tar, whiteouts too
    std::uint64_t whiteouts = 0;
    std::uint64_t content_bytes = 0;  ///< of files
    std::string digest;               ///< of the uncompressed tar, all of it
};

/// `layer` is a tar, plain or compressed with gzip or Zstandard. Read to its end. The result is on the disk when it
/// returns. The failure names the member; the volume is of no use then.
result<apply_report> apply_layer(ext4_volume& volume, byte_stream& layer, const apply_options& options);

}  // namespace obd::fs

// The members of a tar archive: ustar, pax, GNU and old forms, with long names, sparse files, devices and attributes.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "layers/fs/byte_stream.hpp"
#include "layers/fs/ext4_volume.hpp"

namespace obd::fs {

struct tar_entry {
    std::string path;       ///< as it stands there: may be absolute, hold "..", end with a slash
    std::string hard_link;  ///< not empty: one more name for this path, and nothing below matters
    new_node node;
    byte_count size;  ///< of a file
    /// Where its contents begin in the stream, in one piece and all of it; nothing for a sparse member.
    std::optional<byte_offset> contents_at;
    extended_attributes xattrs;
};

/// Uncompressed input: wrap it in decompressed(). One thread at a time.
class tar_stream {
public:
    /// `from` outlives the stream.
    explicit tar_stream(byte_stream& from);
    ~tar_stream();

    /// The next member, or nothing at the end. Fails with corrupt for what is no tar or is cut off, and as `from` does.
    result<std::optional<tar_entry>> next();

    /// The stretches of the present member that are not holes, in order.
    result<void> read_contents(const std::function<result<void>(byte_offset, const_bytes)>& take);

private:
    struct state;
    std::unique_ptr<state> state_;
};

}  // namespace obd::fs

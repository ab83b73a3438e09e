// The tar archive that an overlaybd layer often comes in: one member, the layer. docs/formats/tar-wrapper.md.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <optional>
#include <string>

#include "base/blob_source.hpp"
#include "base/bytes.hpp"
#include "base/result.hpp"
#include "base/units.hpp"

namespace obd::layers::tar {

inline constexpr std::size_t block_bytes = 512;

/// One header block, decoded.
struct header {
    enum class kind {
        file,
        pax,         ///< extended header ('x'): records for the member that follows
        pax_global,  ///< ('g')
        unfinished,  ///< magic "xxtar": the writer has not come to its end
        other,
    };
    kind type = kind::other;
    std::uint64_t size = 0;  ///< of what follows the header, in bytes
    std::string name;
};

/// Nothing when the block is no tar header: another magic (GNU's included) or a wrong checksum. Fails with
/// errc::corrupt when it is one and its size field can't be read. REQUIRES: block.size() == block_bytes.
result<std::optional<header>> decode_header(const_bytes block);

/// The value of "size" among pax records, or nothing. errc::corrupt when the records are malformed.
result<std::optional<std::uint64_t>> size_in_pax(const_bytes records);

struct payload {
    byte_offset offset;
    byte_count size;
};

/// Where the layer lies in the tar, or nothing when the blob is no tar. Fails with errc::corrupt when it is a tar that
/// was not finished or is cut off, and with unsupported when its first member is no regular file.
asio::awaitable<result<std::optional<payload>>> find_payload(blob_source& blob);

}  // namespace obd::layers::tar

// Decoding of LSMT headers, trailers and indexes: bytes in, checked values out. No I/O. docs/formats/lsmt.md.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "base/units.hpp"
#include "layers/lsmt/mapping.hpp"

namespace obd::layers::lsmt {

/// The fields of a header or trailer that mean something.
struct header_fields {
    std::uint32_t flags = 0;
    std::uint64_t index_offset = 0;   ///< bytes
    std::uint64_t index_entries = 0;  ///< padding ones included
    byte_count virtual_size;
    std::string uuid;         ///< as written, usually upper case; empty when the file has none
    std::string parent_uuid;  ///< as uuid
    std::string user_tag;     ///< commit message

    bool has(std::uint32_t bit) const { return (flags & bit) != 0; }
};

/// True when the bytes begin with the two LSMT magics.
bool has_magic(const_bytes bytes) noexcept;

/// Any header or trailer: checks the magics only. errc::corrupt otherwise, or when there are less than
/// header_struct_bytes.
result<header_fields> decode_header(const_bytes bytes);
/// The first block of a read-only layer: a data file's header, sealed in place or not.
result<header_fields> decode_layer_header(const_bytes bytes);

/// Where a trailer lies: at the very end of its file.
struct trailer_position {
    byte_count file_size;
};
/// The last block of a read-only layer. Checks the flags and that the index lies between the header and the trailer.
result<header_fields> decode_layer_trailer(const_bytes bytes, trailer_position where);

/// The index of a read-only layer, without padding and with the tags cleared. Fails with errc::corrupt, naming the
/// entry, when an entry is empty, out of order, overlaps its neighbour or points outside [first_data_sector, data_end).
/// REQUIRES: raw.size() is a multiple of sizeof(index_entry).
result<std::vector<packed_mapping>> decode_index(const_bytes raw, sector data_end);

/// Where the two sources of a TurboOCI layer lie in the one that its mappings point into (layers/joined_source.hpp).
struct turbo_layout {
    sector data_end;      ///< of the layer file's own data
    sector target_start;  ///< where the target begins in the joined source
    sector target_end;
};
/// The index of a TurboOCI layer: tag 0 maps the layer file, tag 1 the target, after the smallest tag present has been
/// taken off all of them. The result points into the joined source and has no tags. Fails as decode_index() does.
result<std::vector<packed_mapping>> decode_turbo_index(const_bytes raw, turbo_layout layout);

}  // namespace obd::layers::lsmt

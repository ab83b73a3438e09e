// Headers, trailers and indexes of LSMT layers as bytes. No I/O. docs/formats/lsmt.md.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "base/units.hpp"
#include "layers/lsmt/format.hpp"
#include "layers/lsmt/mapping.hpp"

namespace obd::layers::lsmt {

/// What a header says; the rest is fixed.
struct header_content {
    std::uint32_t flags = 0;
    std::uint64_t index_offset = 0;  ///< bytes
    std::uint64_t index_entries = 0;
    byte_count virtual_size;
    std::string uuid;         ///< empty: none
    std::string parent_uuid;  ///< empty: none
    std::string user_tag;     ///< at most 256 bytes
};

/// invalid_argument, naming the field: a UUID that is none, a tag that is too long, a size that is no multiple of 512.
result<void> check(const header_content& content);

using header_space = std::array<std::byte, header_space_bytes>;

/// REQUIRES: check(content).
header_space encode_header(const header_content& content);

/// Joins neighbours that continue each other in the disk and in the file, as overlaybd does: while the joined length
/// stays below max_mapping_sectors.
void append_joined(std::vector<packed_mapping>& index, const mapping& next);

/// The entries as bytes, filled up with padding entries to a multiple of `multiple` entries.
std::vector<std::byte> encode_index(std::span<const packed_mapping> index, std::size_t multiple);

}  // namespace obd::layers::lsmt

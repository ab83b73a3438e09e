// Writes a committed layer: header, dense data, index, trailer. docs/formats/lsmt.md, "Committed layer".
#pragma once

#include <vector>

#include "layers/write/lsmt_encode.hpp"
#include "layers/write/sink.hpp"

namespace obd::layers {

struct layer_description {
    byte_count virtual_size;
    std::string uuid;         ///< empty: none
    std::string parent_uuid;  ///< empty: none
    std::string user_tag;     ///< commit message, at most 256 bytes
    /// turbo: file contents are mapped to the original tar (target()); the index is not padded. docs/formats/lsmt.md
    enum class layer_form { ordinary, turbo } form = layer_form::ordinary;
};

struct layer_totals {
    byte_count data;
    byte_count size;  ///< of the whole layer
    std::uint64_t mappings = 0;
};

/// Used in this order: begin, then data and zeroed in ascending disk order, then finish. Not thread-safe. Blocks.
class lsmt_writer {
public:
    /// Writes the header. `to` outlives the writer and stands at the beginning of the layer.
    static result<lsmt_writer> begin(byte_sink& to, const layer_description& description);

    /// What the disk holds from `start` on. REQUIRES: bytes.size() is a multiple of 512; start is not before the end of
    /// what was given before.
    result<void> data(sector start, const_bytes bytes);
    /// The range reads as zeros and hides what lies below.
    result<void> zeroed(sector start, std::uint64_t sectors);

    /// The range is the original tar's bytes from `target` on. REQUIRES: layer_form::turbo.
    result<void> target(sector start, sector target, std::uint64_t sectors);

    /// A turbo layer without any metadata of its own is refused (invalid_argument): readers could not tell the two
    /// kinds of mapping apart.
    result<layer_totals> finish();

private:
    using layer_form = layer_description::layer_form;
    lsmt_writer(byte_sink& to, lsmt::header_content header, layer_form form)
        : to_(&to), header_(std::move(header)), form_(form) {}
    result<void> append(const lsmt::mapping& next);

    byte_sink* to_;
    lsmt::header_content header_;
    layer_form form_;
    bool has_own_ = false;  ///< a mapping that is not to the target
    sector next_data_ = lsmt::first_data_sector;
    sector reached_{};
    std::vector<lsmt::packed_mapping> index_;
};

}  // namespace obd::layers

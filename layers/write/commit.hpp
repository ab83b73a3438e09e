// Turns layers into one committed layer: commit of a writable or sealed one, merge of a whole stack.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "layers/lsmt/mapping.hpp"
#include "layers/opened_layer.hpp"
#include "layers/read_stack.hpp"
#include "layers/write/lsmt_writer.hpp"
#include "layers/write/sink.hpp"
#include "layers/write/upper.hpp"
#include "layers/write/zfile_writer.hpp"

namespace obd::layers {

/// What is committed: a sorted, disjoint set of mappings, and the bytes of those that are data. Calls block. It must
/// not change while it is read.
class commit_source {
public:
    virtual ~commit_source() = default;
    virtual std::span<const lsmt::packed_mapping> mappings() const = 0;
    /// The bytes of a part of one data mapping. REQUIRES: out.size() == part.length * 512.
    virtual result<void> read(const lsmt::mapping& part, mutable_bytes out) = 0;
};

/// A writable layer's own writes, without what lies below.
std::unique_ptr<commit_source> source_of(std::shared_ptr<upper> layer);
/// One read-only layer, sealed or committed.
std::unique_ptr<commit_source> source_of(std::shared_ptr<const opened_layer> layer);
/// A stack of read-only layers as one, with a writable layer on top if `top` is not null.
std::unique_ptr<commit_source> source_of(std::shared_ptr<const read_stack> lowers, std::shared_ptr<upper> top);

/// How the layer is wrapped, outermost last.
struct layer_wrapping {
    std::optional<zfile_options> zfile;
    zfile_index_at index_at = zfile_index_at::header_and_trailer;
    bool tar = false;  ///< needs a sink that can be overwritten
};

struct commit_totals {
    layer_totals layer;
    zfile_totals zfile;  ///< zeros when there is none
};

/// Called now and then with the sectors done and to do.
using commit_progress = std::function<void(std::uint64_t done, std::uint64_t all)>;

/// Writes the source as one committed layer. The same source gives the same bytes, whatever the number of threads.
result<commit_totals> commit_layer(commit_source& from, const layer_description& description,
                                   const layer_wrapping& wrapping, byte_sink& to, const commit_progress& progress = {});

/// Wraps any bytes as a layer is wrapped; `write_content` gets the innermost sink.
result<zfile_totals> write_wrapped(const layer_wrapping& wrapping, byte_sink& to,
                                   const std::function<result<void>(byte_sink&)>& write_content);

}  // namespace obd::layers

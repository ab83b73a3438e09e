// The writable half of a TurboOCI layer, as overlaybd's tools pass it from one to the next: a sparse file with the file
// system metadata, at the place that it has on the disk, and a journal whose entries map the disk to that file or to
// the original tar. docs/formats/lsmt.md, "TurboOCI". For making layers: nothing survives a crash half-way.
#pragma once

#include <map>
#include <memory>

#include "layers/lsmt/mapping.hpp"
#include "layers/write/commit.hpp"
#include "layers/write/upper.hpp"
#include "layers/write/writable_image.hpp"

namespace obd::layers {

/// An empty one. Neither file may exist. `kind` plays no part.
result<void> create_turbo_upper(const create_upper_options& options);

/// One thread at a time. Calls block.
class turbo_upper {
public:
    enum class access { read_only, read_write };
    /// `inherited_size`: for a layer whose own virtual size is 0.
    static result<std::unique_ptr<turbo_upper>> open(const upper_paths& paths, access mode, byte_count inherited_size);

    const upper_identity& identity() const { return identity_; }
    file& data() const { return *data_; }

    /// What the layer holds of a range, in order: its mappings, clipped.
    std::vector<lsmt::mapping> lookup(sector_range range) const;
    /// All of it, sorted and disjoint.
    std::vector<lsmt::packed_mapping> dump() const;

    result<void> write(sector start, const_bytes bytes);
    /// The range reads as zeros and hides what lies below.
    void zero(sector_range range);
    /// The range is the tar's bytes from `target` on.
    void map_target(sector_range range, sector target);
    /// Writes what is new in the journal; everything is durable then.
    result<void> flush();

private:
    turbo_upper() = default;
    result<void> load_journal();
    void insert(const lsmt::mapping& m);
    void put(lsmt::mapping m);

    std::shared_ptr<file> data_;
    std::shared_ptr<file> journal_;
    upper_identity identity_;
    std::map<std::uint64_t, lsmt::mapping> mappings_;  ///< by start; disjoint
    std::vector<lsmt::packed_mapping> unwritten_;
    byte_offset journal_end_;
};

/// Of the whole layer as one committed TurboOCI layer. The description's form is set here.
result<commit_totals> commit_turbo(turbo_upper& from, layer_description description, const layer_wrapping& wrapping,
                                   byte_sink& to);

}  // namespace obd::layers

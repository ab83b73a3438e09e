// The headers of a writable layer's two files: made, read, changed. docs/formats/lsmt.md, "Writable layers".
#pragma once

#include <memory>

#include "layers/write/file_io.hpp"
#include "layers/write/upper.hpp"

namespace obd::layers {

/// create_upper on any file system.
result<void> create_upper_in(file_system& files, const create_upper_options& options);

/// A writable layer's files with their headers read. `index` is null for sparse layers.
struct upper_files {
    std::shared_ptr<file> data;
    std::shared_ptr<file> index;
    upper_identity identity;
};

/// Opens the files and reads the headers. A virtual size of 0 becomes the inherited one, in the files too when they
/// are opened for writing.
result<upper_files> open_upper_files(const upper_opening& how);

/// Writes the headers anew, durably.
result<void> rewrite_headers(const upper_files& files);

/// Appends index and trailer to a data file whose content ends at `end`, durably.
struct sealing {
    file& data;
    const upper_identity& identity;
    byte_offset end;
};
result<void> write_seal(const sealing& what, std::span<const lsmt::packed_mapping> index);

}  // namespace obd::layers

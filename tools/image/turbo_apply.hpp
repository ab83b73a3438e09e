// A layer of an OCI image as a TurboOCI layer: only the file system's metadata is made, contents stay in the tar.
#pragma once

#include <memory>
#include <string>

#include "layers/fs/oci_apply.hpp"
#include "layers/fs/sync_disk.hpp"
#include "layers/image_config.hpp"
#include "layers/read_stack.hpp"
#include "layers/write/turbo_upper.hpp"
#include "tools/image/program.hpp"

namespace obd::tools {

/// The disk that a turbo_upper makes with the layers below it. What is mapped to the tar cannot be read (unsupported):
/// nobody who writes a file system reads file contents. `lowers` may be null; both outlive the disk.
std::unique_ptr<fs::sync_disk> make_turbo_disk(layers::turbo_upper& top, const layers::read_stack* lowers);

struct turbo_request {
    layers::image_config image;  ///< its upper is the TurboOCI layer that is written to
    std::string where;           ///< the config's name, for messages
    std::string input;           ///< the layer's tar, or gzip of it; see `meta`
    bool mkfs = false;
    bool from_meta = false;      ///< the input is what write_tar_meta() made, not the tar
    std::string gzip_index;      ///< written when the input is gzip
    std::string service_config;  ///< for lowers in a registry
    std::string checksum;        ///< of the uncompressed tar; empty: not checked
};

/// Blocks.
result<fs::apply_report> turbo_apply(const turbo_request& request, tool_services& services);

/// overlaybd's "tar meta": the tar's headers without contents, each file's with the place of its contents. Blocks.
result<void> write_tar_meta(const std::string& input, const std::string& gzip_index, const std::string& output);

}  // namespace obd::tools

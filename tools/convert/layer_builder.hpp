// One layer of an OCI image becomes one overlaybd layer: unpacked onto the disk of the layers below, and what that
// changed written as LSMT in ZFile in a tar.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "base/result.hpp"
#include "layers/fs/byte_stream.hpp"
#include "layers/fs/ext4_mkfs.hpp"
#include "layers/image.hpp"
#include "layers/write/block_compressor.hpp"
#include "registry/descriptor.hpp"

namespace obd::convert {

struct build_options {
    byte_count virtual_size{std::uint64_t{64} << 30};  ///< of a first layer's disk
    fs::journal with_journal = fs::journal::none;
    layers::zfile_options zfile;
    std::filesystem::path work_directory;

    /// What the bytes of a layer depend on besides its input: layers built with another profile are other layers.
    std::string profile() const;
};

struct layer_request {
    layers::image_config below;  ///< bottom first; none: the layer begins with an empty file system
    fs::byte_stream& tar;        ///< plain or compressed
    std::string diff_id;         ///< checked
    std::string chain_id;
    std::string parent_chain_id;   ///< empty for the first
    std::filesystem::path output;  ///< must not exist
};

struct built_layer {
    std::string digest;
    byte_count size;
    std::uint64_t content_bytes = 0;  ///< of the files in it
    std::uint64_t changed_bytes = 0;  ///< of the disk
    std::uint64_t members = 0;
};

/// Blocks. `services` are used while it runs. The failure names the member or the layer below.
result<built_layer> build_layer(const layer_request& request, const build_options& options,
                                layers::image_services services);

/// As overlaybd's converter makes UUIDs of layers: the first 32 digits of the chain ID.
std::string uuid_of_chain(const std::string& chain_id);

}  // namespace obd::convert

// From an OCI image to an overlaybd image, as overlaybd's own converter does it: one overlaybd layer for each layer, a
// config whose diff IDs are the layers' digests, annotations by which containerd's snapshotter knows them.
#pragma once

#include <filesystem>
#include <string>

#include "base/result.hpp"
#include "base/worker_pool.hpp"
#include "tools/convert/image_store.hpp"
#include "tools/convert/layer_builder.hpp"
#include "tools/convert/layer_ledger.hpp"
#include "tools/convert/progress.hpp"

namespace obd::convert {

enum class media_types { oci, docker };
enum class referrer { no, yes };

struct conversion_options {
    build_options build;
    media_types types = media_types::oci;
    /// yes: the result names the source as its subject, so that a registry lists it as one of its referrers.
    referrer refer = referrer::no;
    std::string platform;  ///< "linux/amd64[/v8]": that image of an index only, without an index; empty: all
};

/// What a conversion works with; all of it outlives it.
struct conversion_services {
    image_reader& from;
    image_writer& to;
    const layer_ledger& ledger;
    worker_pool& workers;
    spdlog::logger& log;
    progress& shown;
};

struct conversion_report {
    std::string digest;  ///< of the manifest or index that the destination's name stands for now
    std::uint64_t images = 0;
    std::uint64_t layers_built = 0;
    std::uint64_t layers_reused = 0;
    std::uint64_t bytes_written = 0;  ///< of layers that were built
};

/// Blocks. The failure names the image, the layer and the member.
result<conversion_report> convert_image(const conversion_services& services, const conversion_options& options);

/// Copies a finished image, index and all, as it is. Returns the digest.
result<std::string> copy_image(image_reader& from, image_writer& to, progress& shown);

/// OCI Image Format Specification, "Layer ChainID".
std::string chain_id_of(const std::string& parent_chain_id, const std::string& diff_id);

}  // namespace obd::convert

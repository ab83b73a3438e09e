// config.v1.json: which layers make an image, in the form that overlaybd's users and containerd's snapshotter write.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace obd::layers {

/// One read-only layer. The first existing one of `file`, dir/overlaybd.commit, dir/.commit, dir/overlaybd.sealed is
/// opened; else the blob `digest` from the registry.
struct lower_config {
    std::string file{};
    std::string dir{};
    std::string digest{};
    std::uint64_t size_bytes = 0;  ///< of the blob; 0: unknown
    std::string target_file{};     ///< TurboOCI
    std::string target_digest{};   ///< TurboOCI
    std::string gzip_index{};      ///< TurboOCI
};

struct upper_config {
    std::string index{};
    std::string data{};
    std::string target{};      ///< TurboOCI
    std::string gzip_index{};  ///< TurboOCI
    /// Both files named: the image is writable.
    bool writable() const { return !index.empty() && !data.empty(); }
};

/// Overrides the service's "download" object as a whole.
struct download_config {
    bool enable = false;
    int delay_s = 300;
    int delay_extra_s = 30;
    int max_mib_per_s = 100;
    int tries = 5;
    std::uint32_t block_bytes = 262144;
};

struct image_config {
    std::string repo_blob_url;
    std::vector<lower_config> lowers;  ///< bottom first
    upper_config upper;
    std::string result_file;
    std::optional<download_config> download;
    bool acceleration_layer = false;
    std::string record_trace_path;
    /// Members that are not known, for a warning.
    std::vector<std::string> unknown_members;
};

/// Relative paths in it are taken from `base_dir`. `where` begins error messages.
result<image_config> parse_image_config(std::string_view text, const std::filesystem::path& base_dir,
                                        std::string_view where);
result<image_config> load_image_config(const std::filesystem::path& path);

}  // namespace obd::layers

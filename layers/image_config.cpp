#include "layers/image_config.hpp"

#include <limits>
#include <utility>

#include "base/json/fields.hpp"
#include "base/limits.hpp"

namespace obd::layers {
namespace {

constexpr std::int64_t no_upper_bound = std::numeric_limits<std::int64_t>::max();

/// Members whose value is a path, taken from the config's own folder when it is relative.
class path_reader {
public:
    path_reader(const json::object& from, const std::filesystem::path& base_dir) : from_(from), base_dir_(base_dir) {}
    result<std::string> operator()(std::string_view name) const {
        TRY(auto text, from_.string(name, ""));
        if (text.empty()) return text;
        return (base_dir_ / text).lexically_normal().string();
    }

private:
    const json::object& from_;
    const std::filesystem::path& base_dir_;
};

void collect_unknown(const json::object& from, const std::string& prefix, std::vector<std::string>& into) {
    for (auto& name : from.unknown_members()) into.push_back(prefix + name);
}

result<lower_config> parse_lower(const json::object& from, const std::filesystem::path& base_dir) {
    const path_reader path(from, base_dir);
    lower_config lower;
    TRY(lower.file, path("file"));
    TRY(lower.dir, path("dir"));
    TRY(lower.digest, from.string("digest", ""));
    TRY(const auto size, from.integer("size", 0, {0, no_upper_bound}));
    lower.size_bytes = static_cast<std::uint64_t>(size);
    TRY(lower.target_file, path("targetFile"));
    TRY(lower.target_digest, from.string("targetDigest", ""));
    TRY(lower.gzip_index, path("gzipIndex"));
    return lower;
}

result<upper_config> parse_upper(const json::object& from, const std::filesystem::path& base_dir) {
    const path_reader path(from, base_dir);
    upper_config upper;
    TRY(upper.index, path("index"));
    TRY(upper.data, path("data"));
    TRY(upper.target, path("target"));
    TRY(upper.gzip_index, path("gzipIndex"));
    // containerd's snapshotter writes it; the files' own headers are what counts.
    TRYV(from.integer("vsize", 0, {0, no_upper_bound}));
    return upper;
}

result<std::optional<download_config>> parse_download(const json::object& root, std::vector<std::string>& unknown) {
    if (!root.has("download")) return std::optional<download_config>{};
    TRY(const auto from, root.child("download"));
    download_config download;
    const auto integer = [&from](std::string_view name, int& field) -> result<void> {
        TRY(const auto value,
            from.integer(name, field, {std::numeric_limits<int>::min(), std::numeric_limits<int>::max()}));
        field = static_cast<int>(value);
        return {};
    };
    TRY(download.enable, from.boolean("enable", download.enable));
    TRYV(integer("delay", download.delay_s));
    TRYV(integer("delayExtra", download.delay_extra_s));
    TRYV(integer("maxMBps", download.max_mib_per_s));
    TRYV(integer("tryCnt", download.tries));
    TRY(const auto block,
        from.integer("blockSize", download.block_bytes, {1, std::numeric_limits<std::uint32_t>::max()}));
    download.block_bytes = static_cast<std::uint32_t>(block);
    collect_unknown(from, "download.", unknown);
    return std::optional(download);
}

result<image_config> parse_root(const json::object& root, const std::filesystem::path& base_dir) {
    const path_reader path(root, base_dir);
    image_config config;
    TRY(config.repo_blob_url, root.string("repoBlobUrl", ""));
    TRY(const auto lowers, root.objects("lowers"));
    if (lowers.size() > limits::layers_per_image + 1) {  // one may be the acceleration layer
        return fail(errc::limit_exceeded, root.where() + ": lowers: " + std::to_string(lowers.size()) +
                                              " layers, the limit is " + std::to_string(limits::layers_per_image));
    }
    for (std::size_t i = 0; i < lowers.size(); ++i) {
        TRY(auto lower, parse_lower(lowers[i], base_dir));
        config.lowers.push_back(std::move(lower));
        collect_unknown(lowers[i], "lowers[" + std::to_string(i) + "].", config.unknown_members);
    }
    TRY(const auto upper, root.child("upper"));
    TRY(config.upper, parse_upper(upper, base_dir));
    collect_unknown(upper, "upper.", config.unknown_members);
    TRY(config.result_file, path("resultFile"));
    TRY(config.download, parse_download(root, config.unknown_members));
    TRY(config.acceleration_layer, root.boolean("accelerationLayer", false));
    TRY(config.record_trace_path, path("recordTracePath"));
    collect_unknown(root, "", config.unknown_members);
    return config;
}

}  // namespace

result<image_config> parse_image_config(std::string_view text, const std::filesystem::path& base_dir,
                                        std::string_view where) {
    TRY(const auto document, json::parse(text, where));
    if (!document.IsObject()) return fail(errc::invalid_argument, std::string(where) + ": not a JSON object");
    return parse_root(json::object(document, std::string(where)), base_dir);
}

result<image_config> load_image_config(const std::filesystem::path& path) {
    TRY(const auto document, json::parse_file(path));
    if (!document.IsObject()) return fail(errc::invalid_argument, path.string() + ": not a JSON object");
    return parse_root(json::object(document, path.string()), path.parent_path());
}

}  // namespace obd::layers

#include "server/catalog/upper_folder.hpp"

#include <algorithm>

#include "server/state/durable_file.hpp"
#include "server/state/json_writer.hpp"

namespace obd::server {
namespace {

void optional_member(json_writer& out, std::string_view name, const std::string& text) {
    if (!text.empty()) out.member(name, text);
}

std::string what_names(const layers::lower_config& lower) {
    if (!lower.digest.empty()) return lower.digest;
    return lower.file.empty() ? lower.dir : lower.file;
}

result<void> make_layer(const layers::upper_paths& paths, upper_kind kind) {
    if (std::filesystem::exists(paths.data) && std::filesystem::exists(paths.index)) return {};
    layers::create_upper_options options;
    options.paths = paths;
    options.kind = kind == upper_kind::sparse ? layers::upper_kind::sparse : layers::upper_kind::append_only;
    return layers::create_upper(options);
}

layers::upper_paths fresh_upper_paths(const std::filesystem::path& folder) {
    const auto plain = layers::upper_paths_in(folder);
    for (int n = 0;; ++n) {
        auto paths = plain;
        if (n > 0) paths.data += "." + std::to_string(n);
        if (n > 0) paths.index += "." + std::to_string(n);
        if (!std::filesystem::exists(paths.data) && !std::filesystem::exists(paths.index)) return paths;
    }
}

result<void> record_snapshot(const std::filesystem::path& config, const layers::snapshot_layers& made) {
    TRY(auto stack, layers::load_image_config(config));
    auto& sealed = stack.lowers.emplace_back();
    sealed.file = made.sealed.native();
    stack.upper.data = made.upper.data.native();
    stack.upper.index = made.upper.index.native();
    return replace_file(config, encode_image_config(stack));
}

}  // namespace

bool stands_on(const layers::image_config& stack, const layers::image_config& base) {
    const auto same = [](const auto& a, const auto& b) { return what_names(a) == what_names(b); };
    return stack.lowers.size() >= base.lowers.size() &&
           std::equal(base.lowers.begin(), base.lowers.end(), stack.lowers.begin(), same);
}

layers::snapshot_request snapshot_into(const std::filesystem::path& folder, const std::filesystem::path& config,
                                       layers::upper_kind kind) {
    layers::snapshot_request request;
    request.upper = fresh_upper_paths(folder);
    request.kind = kind;
    request.publish = [config](const layers::snapshot_layers& made) { return record_snapshot(config, made); };
    return request;
}

std::filesystem::path upper_config_path(const std::filesystem::path& folder) {
    return folder / "config.v1.json";
}

std::string encode_image_config(const layers::image_config& config) {
    json_writer out;
    out.begin_object();
    optional_member(out, "repoBlobUrl", config.repo_blob_url);
    out.key("lowers").begin_array();
    for (const auto& lower : config.lowers) {
        out.begin_object();
        optional_member(out, "file", lower.file);
        optional_member(out, "dir", lower.dir);
        optional_member(out, "digest", lower.digest);
        if (lower.size_bytes != 0) out.member("size", lower.size_bytes);
        optional_member(out, "targetFile", lower.target_file);
        optional_member(out, "targetDigest", lower.target_digest);
        optional_member(out, "gzipIndex", lower.gzip_index);
        out.end_object();
    }
    out.end_array().key("upper").begin_object();
    optional_member(out, "index", config.upper.index);
    optional_member(out, "data", config.upper.data);
    out.end_object();
    optional_member(out, "resultFile", config.result_file);
    if (config.acceleration_layer) out.member("accelerationLayer", true);
    return out.end_object().text();
}

result<std::filesystem::path> prepare_upper(const std::filesystem::path& folder, upper_kind kind,
                                            const layers::image_config& base) {
    if (base.upper.writable()) {
        return fail(errc::invalid_argument, "the image has a writable layer already; attach it without --writable");
    }
    std::error_code bad;
    std::filesystem::create_directories(folder, bad);
    if (bad) return fail_errno("folder " + folder.string(), bad.value());

    const auto path = upper_config_path(folder);
    if (std::filesystem::exists(path)) {
        TRY(const auto existing, layers::load_image_config(path));
        if (existing.upper.writable() && stands_on(existing, base)) return path;
        return fail(
            errc::already_exists,
            "folder " + folder.string() + " holds the writable layer of another image; choose another with --upper");
    }
    const auto paths = layers::upper_paths_in(folder);
    TRYV(make_layer(paths, kind));
    auto stack = base;
    stack.upper.data = paths.data.native();
    stack.upper.index = paths.index.native();
    TRYV(replace_file(path, encode_image_config(stack)));
    return path;
}

}  // namespace obd::server

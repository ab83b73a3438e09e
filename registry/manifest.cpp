#include "registry/manifest.hpp"

#include <sys/utsname.h>

#include <algorithm>
#include <charconv>

#include "base/digest.hpp"
#include "base/json/fields.hpp"
#include "base/limits.hpp"
#include "registry/reference.hpp"

namespace obd::registry {
namespace {

constexpr std::size_t index_entries_limit = 1024;
constexpr std::int64_t largest_blob = std::int64_t{1} << 50;

std::string_view without_parameters(std::string_view content_type) {
    auto type = content_type.substr(0, content_type.find(';'));
    while (type.ends_with(' ')) type.remove_suffix(1);
    return type;
}

result<std::map<std::string, std::string>> read_annotations(const json::object& owner) {
    TRY(const auto object, owner.child("annotations"));
    std::map<std::string, std::string> out;
    for (const auto& [name, value] : object.members()) {
        if (!value->IsString()) return fail(errc::corrupt, object.where() + ": \"" + name + "\" is not a string");
        out.emplace(name, std::string(value->GetString(), value->GetStringLength()));
    }
    return out;
}

result<descriptor> read_descriptor(const json::object& from) {
    descriptor out;
    TRY(out.media_type, from.string("mediaType", ""));
    TRY(out.digest, from.string("digest", ""));
    TRY(const auto size, from.integer("size", -1, {-1, largest_blob}));
    TRY(out.annotations, read_annotations(from));
    if (!is_sha256_digest(out.digest))
        return fail(errc::unsupported, from.where() + ": digest \"" + out.digest + "\" is not sha256");
    if (size < 0) return fail(errc::corrupt, from.where() + ": no size");
    out.size = {static_cast<std::uint64_t>(size)};
    return out;
}

/// Build attestations travel as entries of an index, with a platform that nothing runs on.
bool is_attestation(const index_entry& entry) {
    if (entry.manifest.annotations.contains("vnd.docker.reference.type")) return true;
    return entry.runs_on.os == "unknown" || entry.runs_on.architecture == "unknown";
}

bool is_image_type(std::string_view type) {
    return type.empty() || type == media::oci_manifest || type == media::docker_manifest;
}

result<image_index> read_index(const json::object& root) {
    image_index out;
    TRY(const auto manifests, root.objects("manifests"));
    if (manifests.size() > index_entries_limit)
        return fail(errc::limit_exceeded, root.where() + ": too many manifests");
    for (const auto& object : manifests) {
        index_entry entry;
        TRY(entry.manifest, read_descriptor(object));
        TRY(const auto runs_on, object.child("platform"));
        TRY(entry.runs_on.os, runs_on.string("os", ""));
        TRY(entry.runs_on.architecture, runs_on.string("architecture", ""));
        TRY(entry.runs_on.variant, runs_on.string("variant", ""));
        if (!is_image_type(entry.manifest.media_type) || is_attestation(entry)) continue;
        out.entries.push_back(std::move(entry));
    }
    return out;
}

result<image_manifest> read_image(const json::object& root) {
    image_manifest out;
    TRY(const auto config, root.child("config"));
    TRY(out.config, read_descriptor(config));
    TRY(out.annotations, read_annotations(root));
    TRY(const auto layers, root.objects("layers"));
    if (layers.size() > limits::layers_per_image + 1)
        return fail(errc::limit_exceeded, root.where() + ": too many layers");
    for (const auto& object : layers) {
        TRY(auto layer, read_descriptor(object));
        out.layers.push_back(std::move(layer));
    }
    return out;
}

/// A shape that the response or the document itself may claim; empty claims nothing.
enum class shape { index, image };
std::optional<shape> shape_of_type(std::string_view type) {
    if (type == media::oci_index || type == media::docker_index) return shape::index;
    if (type == media::oci_manifest || type == media::docker_manifest) return shape::image;
    return std::nullopt;
}

bool says_nothing(std::string_view type) {
    return type.empty() || type == "application/json" || type == "application/octet-stream" || type == "text/plain";
}

result<shape> decide_shape(const json::object& root, std::string_view content_type, std::string_view own_type) {
    const bool has_index = root.has("manifests");
    const bool has_image = root.has("layers") || root.has("config");
    if (has_index && has_image) return fail(errc::corrupt, root.where() + ": both an index and an image");
    if (!has_index && !has_image) return fail(errc::corrupt, root.where() + ": neither \"manifests\" nor \"layers\"");
    const auto shown = has_index ? shape::index : shape::image;
    for (const auto type : {content_type, own_type}) {
        if (says_nothing(type)) continue;
        const auto claimed = shape_of_type(type);
        if (!claimed) return fail(errc::unsupported, root.where() + ": manifest type " + std::string(type));
        // A document that reads differently by its type and by its shape is an attack (CVE-2021-41190).
        if (*claimed != shown) return fail(errc::corrupt, root.where() + ": its content is not a " + std::string(type));
    }
    return shown;
}

constexpr std::string_view prefix = "containerd.io/snapshot/overlaybd/";

std::string annotation(const descriptor& layer, std::string_view name) {
    const auto found = layer.annotations.find(std::string(prefix) + std::string(name));
    return found == layer.annotations.end() ? std::string() : found->second;
}

bool is_turbo(const descriptor& layer) {
    return std::any_of(layer.annotations.begin(), layer.annotations.end(), [](const auto& pair) {
        return pair.first.find("turbo-oci/target-digest") != std::string::npos;
    });
}

/// The blob that the annotations name; its annotations stay with it.
result<descriptor> overlaybd_blob(const descriptor& layer, const std::string& where) {
    const auto digest = annotation(layer, "blob-digest");
    const auto size = annotation(layer, "blob-size");
    auto blob = layer;
    if (!is_sha256_digest(digest))
        return fail(errc::corrupt, where + ": annotation blob-digest \"" + digest + "\" is no digest");
    blob.digest = digest;
    if (!size.empty()) {
        std::uint64_t bytes = 0;
        const auto [end, error] = std::from_chars(size.data(), size.data() + size.size(), bytes);
        const bool number = error == std::errc() && end == size.data() + size.size();
        if (!number) return fail(errc::corrupt, where + ": annotation blob-size \"" + size + "\" is no number");
        blob.size = {bytes};
    } else if (digest != layer.digest) {
        blob.size = {0};  // another blob than the layer's own: its size is not known
    }
    return blob;
}

}  // namespace

std::string accepted_manifest_types() {
    std::string out;
    for (const auto type : {media::oci_index, media::docker_index, media::oci_manifest, media::docker_manifest}) {
        out.append(out.empty() ? "" : ", ").append(type);
    }
    return out;
}

std::string platform::text() const {
    return os + "/" + architecture + (variant.empty() ? "" : "/" + variant);
}

result<platform> parse_platform(std::string_view text) {
    platform out;
    const auto first = text.find('/');
    const auto second = first == std::string_view::npos ? first : text.find('/', first + 1);
    out.os = text.substr(0, first);
    if (first != std::string_view::npos) out.architecture = text.substr(first + 1, second - first - 1);
    if (second != std::string_view::npos) out.variant = text.substr(second + 1);
    const bool good = !out.os.empty() && !out.architecture.empty() && out.variant.find('/') == std::string::npos;
    if (!good)
        return fail(errc::invalid_argument,
                    "platform \"" + std::string(text) + "\": expected os/architecture[/variant]");
    return out;
}

platform this_machine() {
    utsname name{};
    ::uname(&name);
    const std::string_view machine = name.machine;
    struct row {
        std::string_view kernel, oci;
    };
    constexpr row rows[] = {
        {"x86_64", "amd64"}, {"aarch64", "arm64"}, {"ppc64le", "ppc64le"}, {"riscv64", "riscv64"}, {"s390x", "s390x"}};
    const auto* const known =
        std::find_if(std::begin(rows), std::end(rows), [&](const row& r) { return r.kernel == machine; });
    return {"linux", std::string(known == std::end(rows) ? machine : known->oci), ""};
}

result<std::variant<image_index, image_manifest>> parse_manifest(std::string_view bytes, std::string_view content_type,
                                                                 std::string_view where) {
    if (bytes.size() > limits::manifest_bytes) return fail(errc::limit_exceeded, std::string(where) + ": too long");
    auto parsed = json::parse(bytes, where);
    if (!parsed) return fail(errc::corrupt, std::move(parsed).error().context);
    const json::object root(*parsed, std::string(where));
    const auto type = without_parameters(content_type);
    TRY(const auto own_type, root.string("mediaType", ""));
    TRY(const auto version, root.integer("schemaVersion", 0, {INT64_MIN, INT64_MAX}));
    if (version == 1 || type.starts_with("application/vnd.docker.distribution.manifest.v1")) {
        return fail(errc::unsupported,
                    std::string(where) + ": Docker schema 1 manifests are obsolete; push the image anew");
    }
    if (version != 2) return fail(errc::corrupt, std::string(where) + ": schemaVersion is not 2");
    TRY(const auto form, decide_shape(root, type, own_type));
    if (form == shape::index) {
        TRY(auto index, read_index(root));
        return std::variant<image_index, image_manifest>(std::move(index));
    }
    TRY(auto image, read_image(root));
    return std::variant<image_index, image_manifest>(std::move(image));
}

result<descriptor> choose_platform(const image_index& index, const platform& wanted, std::string_view where) {
    const index_entry* best = nullptr;
    int best_rank = -1;
    std::string there;
    for (const auto& entry : index.entries) {
        there.append(there.empty() ? "" : ", ").append(entry.runs_on.text());
        const auto& has = entry.runs_on;
        if (has.os != wanted.os || has.architecture != wanted.architecture) continue;
        const int rank = has.variant == wanted.variant ? 2 : has.variant.empty() ? 1 : 0;
        // A wanted variant is a requirement; without one, any will do.
        if (rank == 0 && !wanted.variant.empty()) continue;
        if (rank <= best_rank) continue;
        best = &entry;
        best_rank = rank;
    }
    if (best != nullptr) return best->manifest;
    return fail(errc::not_found, std::string(where) + ": no image for " + wanted.text() + "; there is " +
                                     (there.empty() ? "none" : there));
}

result<overlaybd_layers> overlaybd_layers_of(const image_manifest& manifest, std::string_view where) {
    overlaybd_layers out;
    if (manifest.layers.empty()) return fail(errc::corrupt, std::string(where) + ": no layers");
    for (std::size_t at = 0; at < manifest.layers.size(); ++at) {
        const auto& layer = manifest.layers[at];
        const auto here = std::string(where) + ": layer " + std::to_string(at) + " (" + layer.digest + ")";
        if (is_turbo(layer)) return fail(errc::unsupported, here + ": TurboOCI layers are not supported yet");
        if (annotation(layer, "blob-digest").empty()) {
            return fail(errc::unsupported,
                        here + ": not an overlaybd layer; convert the image first (overlaybdctl convert)");
        }
        TRY(auto blob, overlaybd_blob(layer, here));
        const bool last = at + 1 == manifest.layers.size();
        if (last && annotation(layer, "acceleration-layer") == "yes") {
            out.acceleration = std::move(blob);
            continue;
        }
        if (const auto fs = annotation(layer, "fs-type"); !fs.empty()) out.file_system = fs;
        out.layers.push_back(std::move(blob));
    }
    if (out.layers.empty()) return fail(errc::corrupt, std::string(where) + ": no layers but the acceleration layer");
    return out;
}

}  // namespace obd::registry

#include "tools/convert/conversion.hpp"

#include <spdlog/logger.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <future>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "base/digest.hpp"
#include "base/json/fields.hpp"
#include "layers/layer_pool.hpp"
#include "layers/local_blob.hpp"
#include "tools/convert/json_text.hpp"
#include "tools/image/scratch_directory.hpp"

namespace obd::convert {
namespace {

constexpr std::string_view artifact_type = "application/vnd.containerd.overlaybd.native.v1+json";
constexpr std::string_view annotation_prefix = "containerd.io/snapshot/overlaybd/";
constexpr std::string_view layer_version = "0.1.0";
constexpr std::size_t most_images_at_once = 4;  // each has a file system in work

bool is_attestation(const rapidjson::Value& entry) {
    const auto* annotations = member(entry, "annotations");
    return annotations != nullptr && !string_member(*annotations, "vnd.docker.reference.type").empty();
}

std::string platform_of(const rapidjson::Value& entry) {
    const auto* platform = member(entry, "platform");
    if (platform == nullptr) return {};
    auto text = string_member(*platform, "os") + "/" + string_member(*platform, "architecture");
    if (const auto variant = string_member(*platform, "variant"); !variant.empty()) text += "/" + variant;
    return text;
}

std::string short_digest(const std::string& digest) {
    return digest.substr(0, sizeof("sha256:") - 1 + 12);
}

/// An image while it is converted.
struct source_image {
    descriptor described;
    rapidjson::Document manifest;
    rapidjson::Document config;
    std::vector<descriptor> layers;
    std::vector<std::string> diff_ids;
    std::string label;  ///< for people: platform or digest
};

/// Which layers are being built, by chain ID, and which this run has built: images of an index share their first
/// layers, and none is built twice.
class layers_at_work {
public:
    /// Held while a layer is looked for, built and pushed; whoever wants the same one waits.
    class claim {
    public:
        claim(layers_at_work& all, std::string chain_id) : all_(&all), chain_id_(std::move(chain_id)) {}
        claim(claim&& other) noexcept
            : all_(std::exchange(other.all_, nullptr)), chain_id_(std::move(other.chain_id_)) {}
        claim& operator=(claim&&) = delete;
        ~claim() {
            if (all_ != nullptr) all_->release(chain_id_);
        }

    private:
        layers_at_work* all_;
        std::string chain_id_;
    };

    claim take(const std::string& chain_id) {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return !taken_.contains(chain_id); });
        taken_.insert(chain_id);
        return {*this, chain_id};
    }
    void note(const std::string& chain_id, const descriptor& layer) {
        const std::lock_guard lock(mutex_);
        finished_[chain_id] = layer;
    }
    std::optional<descriptor> find(const std::string& chain_id) {
        const std::lock_guard lock(mutex_);
        const auto found = finished_.find(chain_id);
        return found == finished_.end() ? std::nullopt : std::optional(found->second);
    }

private:
    void release(const std::string& chain_id) {
        const std::lock_guard lock(mutex_);
        taken_.erase(chain_id);
        changed_.notify_all();
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    std::set<std::string> taken_;
    std::map<std::string, descriptor> finished_;
};

/// "layer 2/5 (sha256:0123456789ab)"
std::string label_of(const source_image& image, std::size_t number) {
    return "layer " + std::to_string(number + 1) + "/" + std::to_string(image.layers.size()) + " (" +
           short_digest(image.layers[number].digest) + ")";
}

class converter {
public:
    converter(const conversion_services& with, const conversion_options& options)
        : with_(with), options_(options), pool_(with.workers) {}

    result<conversion_report> run() {
        TRY(const auto root, with_.from.root());
        const descriptor described{root.media_type, root.digest, {root.bytes.size()}, {}};
        TRY(auto parsed, json::parse(root.bytes, with_.from.name()));
        if (member(parsed, "manifests") != nullptr) {
            TRY(report_.digest, convert_index(described, parsed));
        } else {
            TRY(const auto made, convert_one(described, root, "", image_writer::naming::named));
            report_.digest = made.digest;
        }
        return report_;
    }

private:
    result<std::string> convert_index(const descriptor& described, rapidjson::Document& index);
    /// An image of an index.
    struct index_job {
        const rapidjson::Value* entry;
        descriptor source;
        std::string platform;
        descriptor made;
    };
    result<void> convert_images(std::vector<index_job>& jobs);
    result<descriptor> convert_one(const descriptor& described, const document& source, const std::string& platform,
                                   image_writer::naming how);
    result<source_image> load(const descriptor& described, const document& source, const std::string& platform);
    result<std::vector<descriptor>> convert_layers(const source_image& image);
    result<std::optional<descriptor>> find_built(const std::string& chain_id);
    result<descriptor> build(const source_image& image, std::size_t number, layer_request request);
    result<void> upload(const descriptor& layer, const std::filesystem::path& file, const std::string& chain_id);
    descriptor describe_layer(const std::string& digest, byte_count size) const;
    result<descriptor> put_config(source_image& image, const std::vector<descriptor>& layers);
    result<descriptor> put_manifest(source_image& image, const descriptor& config,
                                    const std::vector<descriptor>& layers, image_writer::naming how);
    bool is_oci() const { return options_.types == media_types::oci; }

    const conversion_services& with_;
    const conversion_options& options_;
    layers::layer_pool pool_;
    template <typename Change>
    void count(Change change) {
        const std::lock_guard lock(counting_);
        change();
    }

    layers_at_work at_work_;
    std::mutex counting_;
    conversion_report report_;
};

result<std::string> converter::convert_index(const descriptor& described, rapidjson::Document& index) {
    auto& allocator = index.GetAllocator();
    rapidjson::Value converted(rapidjson::kArrayType);
    const auto& entries = index["manifests"];
    if (!entries.IsArray()) return fail(errc::corrupt, with_.from.name() + ": an index whose manifests are no array");
    std::vector<index_job> jobs;
    for (const auto& entry : entries.GetArray()) {
        TRY(const auto found, descriptor_of(entry, with_.from.name()));
        const auto platform = platform_of(entry);
        if (is_attestation(entry)) {
            // It names the image that it is about by a digest that the converted one does not have.
            with_.shown.line("leaving out the attestation " + short_digest(found.digest));
            continue;
        }
        if (!options_.platform.empty() && platform != options_.platform) continue;
        if (!options_.platform.empty()) {
            TRY(const auto source, with_.from.manifest(found));
            TRY(const auto made, convert_one(found, source, platform, image_writer::naming::named));
            return made.digest;
        }
        jobs.push_back({&entry, found, platform, {}});
    }
    TRYV(convert_images(jobs));
    for (const auto& [entry, found, platform, made] : jobs) {
        rapidjson::Value next(*entry, allocator);
        set_member(next, "mediaType", text_value(made.media_type, allocator), allocator);
        set_member(next, "digest", text_value(made.digest, allocator), allocator);
        set_member(next, "size", rapidjson::Value(made.size.value), allocator);
        converted.PushBack(next, allocator);
    }
    if (!options_.platform.empty())
        return fail(errc::not_found, with_.from.name() + ": no image for " + options_.platform);
    if (converted.Empty()) return fail(errc::not_found, with_.from.name() + ": an index without images");
    const auto type = is_oci() ? media::oci_index : media::docker_index;
    set_member(index, "mediaType", text_value(type, allocator), allocator);
    set_member(index, "manifests", std::move(converted), allocator);
    if (options_.refer == referrer::yes) {
        set_member(index, "artifactType", text_value(artifact_type, allocator), allocator);
        set_member(index, "subject", descriptor_value(described, allocator), allocator);
    }
    document made{to_text(index), std::string(type), {}};
    made.digest = sha256_digest(as_bytes(made.bytes));
    TRYV(with_.to.put_manifest(made, image_writer::naming::named));
    return made.digest;
}

/// Several at a time: unpacking an image's layers, which build upon one another, keeps one CPU busy.
result<void> converter::convert_images(std::vector<index_job>& jobs) {
    std::atomic<std::size_t> next{0};
    std::atomic<bool> failed{false};
    const auto lane = [&]() -> result<void> {
        for (auto number = next++; number < jobs.size() && !failed; number = next++) {
            auto& job = jobs[number];
            const auto work = [&]() -> result<descriptor> {
                TRY(const auto source, with_.from.manifest(job.source));
                return convert_one(job.source, source, job.platform, image_writer::naming::by_digest);
            };
            auto made = work();
            failed = failed || !made;
            if (!made) return std::move(made).error();
            job.made = *std::move(made);
        }
        return {};
    };
    std::vector<std::future<result<void>>> lanes;
    const auto count = std::min<std::size_t>(jobs.size(), std::max(1u, std::thread::hardware_concurrency()));
    for (std::size_t i = 0; i < std::min(count, most_images_at_once); ++i)
        lanes.push_back(std::async(std::launch::async, lane));
    result<void> all;
    for (auto& running : lanes) {
        auto ended = running.get();
        if (all && !ended) all = std::move(ended);
    }
    return all;
}

result<source_image> converter::load(const descriptor& described, const document& source, const std::string& platform) {
    source_image image;
    image.described = described;
    image.label = platform.empty() ? short_digest(described.digest) : platform;
    const auto where = with_.from.name() + ": image " + image.label;
    TRY(image.manifest, json::parse(source.bytes, where));
    const auto* config = member(image.manifest, "config");
    const auto* layers = member(image.manifest, "layers");
    if (config == nullptr || layers == nullptr || !layers->IsArray())
        return fail(errc::unsupported, where + ": no image manifest of OCI or Docker schema 2");
    for (const auto& layer : layers->GetArray()) {
        TRY(auto found, descriptor_of(layer, where));
        for (const auto& [key, value] : found.annotations)
            if (key.starts_with(annotation_prefix))
                return fail(errc::invalid_argument, where + ": is an overlaybd image already");
        image.layers.push_back(std::move(found));
    }
    TRY(const auto config_descriptor, descriptor_of(*config, where));
    TRY(const auto text, read_small(with_.from, config_descriptor));
    TRY(image.config, json::parse(text, where + ": config"));
    const auto* root_fs = member(image.config, "rootfs");
    const auto* ids = root_fs == nullptr ? nullptr : member(*root_fs, "diff_ids");
    if (ids == nullptr || !ids->IsArray() || ids->Size() != image.layers.size() || ids->Empty())
        return fail(errc::unsupported, where + ": its config does not name a diff ID for each layer");
    for (const auto& id : ids->GetArray()) {
        if (!id.IsString() || !is_sha256_digest(id.GetString()))
            return fail(errc::unsupported, where + ": a diff ID that is no sha256 digest");
        image.diff_ids.emplace_back(id.GetString());
    }
    return image;
}

descriptor converter::describe_layer(const std::string& digest, byte_count size) const {
    const std::string prefix(annotation_prefix);
    return {std::string(is_oci() ? media::oci_layer : media::docker_layer),
            digest,
            size,
            {{prefix + "version", std::string(layer_version)},
             {prefix + "blob-digest", digest},
             {prefix + "blob-size", std::to_string(size.value)},
             {prefix + "blob-fs-type", "ext4"}}};
}

/// A layer that the ledger knows and the destination has, or takes from another repository.
result<std::optional<descriptor>> converter::find_built(const std::string& chain_id) {
    if (auto here = at_work_.find(chain_id)) return here;
    const auto profile = options_.build.profile();
    const auto place = with_.to.place();
    auto known = with_.ledger.find(chain_id, profile, place);
    if (!known) {
        with_.log.warn("the list of converted layers cannot be read: {}", known.error().message());
        return std::optional<descriptor>();
    }
    for (const auto& entry : *known) {
        TRY(bool there, with_.to.has_blob(entry.digest));
        if (!there && entry.place != place) {
            TRY(there, with_.to.mount_blob(entry.digest, entry.place));
        }
        if (!there) continue;
        if (entry.place != place)
            static_cast<void>(with_.ledger.add({chain_id, profile, place, entry.digest, entry.size}));
        return std::optional(describe_layer(entry.digest, entry.size));
    }
    return std::optional<descriptor>();
}

result<descriptor> converter::build(const source_image& image, std::size_t number, layer_request request) {
    layers::image_services services{
        .workers = with_.workers, .pool = pool_, .registry = with_.to.blobs(), .log = with_.log};
    const auto built = build_layer(request, options_.build, services);
    if (!built) return in_context(built.error(), label_of(image, number));
    count([&] {
        ++report_.layers_built;
        report_.bytes_written += built->size.value;
    });
    with_.shown.line(image.label + ": " + label_of(image, number) + ": " +
                     human_bytes(image.layers[number].size.value) + " of tar, " + std::to_string(built->members) +
                     " members -> " + human_bytes(built->size.value) + " " + short_digest(built->digest));
    return describe_layer(built->digest, built->size);
}

result<void> converter::upload(const descriptor& layer, const std::filesystem::path& file,
                               const std::string& chain_id) {
    TRY(auto source, layers::local_blob::open(file, with_.workers));
    TRYV(with_.to.put_blob(layer, std::move(source), {}));
    auto noted = with_.ledger.add({chain_id, options_.build.profile(), with_.to.place(), layer.digest, layer.size});
    if (!noted) with_.log.warn("the list of converted layers cannot be written: {}", noted.error().message());
    at_work_.note(chain_id, layer);
    return {};
}

/// Passes bytes on and shows how far they are.
class shown_stream final : public fs::byte_stream {
public:
    shown_stream(fs::byte_stream& from, progress& shown, std::string what, byte_count all)
        : from_(from), shown_(shown), what_(std::move(what)), all_(all) {}
    result<std::size_t> read(mutable_bytes out) override {
        TRY(const auto count, from_.read(out));
        done_ += count;
        shown_.status(what_, done_, all_.value);
        return count;
    }

private:
    fs::byte_stream& from_;
    progress& shown_;
    std::string what_;
    byte_count all_;
    std::uint64_t done_ = 0;
};

result<std::vector<descriptor>> converter::convert_layers(const source_image& image) {
    TRY(const auto scratch, tools::scratch_directory::create(options_.build.work_directory));
    std::vector<descriptor> converted;
    layers::image_config below;
    below.repo_blob_url = with_.to.repo_blob_url();
    // A finished layer is pushed while the next one is built; its futures wait for that when they go out of scope.
    std::vector<std::future<result<void>>> uploads;
    std::string chain_id;
    for (std::size_t number = 0; number < image.layers.size(); ++number) {
        const auto parent = std::exchange(chain_id, chain_id_of(chain_id, image.diff_ids[number]));
        auto claim = at_work_.take(chain_id);
        TRY(auto reused, find_built(chain_id));
        if (reused) {
            count([this] { ++report_.layers_reused; });
            with_.shown.line(image.label + ": " + label_of(image, number) + ": converted before, " +
                             short_digest(reused->digest));
            below.lowers.push_back(with_.to.as_lower(*reused));
            converted.push_back(*std::move(reused));
            continue;
        }
        auto blob = with_.from.blob(image.layers[number]);
        if (!blob) return in_context(std::move(blob).error(), label_of(image, number));
        const auto checked = verified(*std::move(blob), image.layers[number]);
        shown_stream tar(*checked, with_.shown, image.label + ": layer " + std::to_string(number + 1),
                         image.layers[number].size);
        const auto file = scratch.path() / (std::to_string(number) + ".obd");
        TRY(auto layer, build(image, number, {below, tar, image.diff_ids[number], chain_id, parent, file}));
        // The tar's end may come before the blob's: what follows counts for the digest.
        if (auto rest = fs::drain(tar); !rest) return in_context(std::move(rest).error(), label_of(image, number));
        layers::lower_config lower;
        lower.file = file.string();
        below.lowers.push_back(std::move(lower));
        auto push = [this, layer, file, chain_id, held = std::optional(std::move(claim))]() mutable {
            auto outcome = upload(layer, file, chain_id);
            held.reset();  // the future keeps this function longer
            return outcome;
        };
        uploads.push_back(std::async(std::launch::async, std::move(push)));
        converted.push_back(std::move(layer));
    }
    for (auto& pending : uploads) {
        TRYV(pending.get());
    }
    return converted;
}

result<descriptor> converter::put_config(source_image& image, const std::vector<descriptor>& layers) {
    auto& allocator = image.config.GetAllocator();
    rapidjson::Value ids(rapidjson::kArrayType);
    for (const auto& layer : layers) ids.PushBack(text_value(layer.digest, allocator), allocator);
    set_member(image.config["rootfs"], "diff_ids", std::move(ids), allocator);
    const auto text = to_text(image.config);
    descriptor config{std::string(is_oci() ? media::oci_config : media::docker_config),
                      sha256_digest(as_bytes(text)),
                      {text.size()},
                      {}};
    TRYV(with_.to.put_bytes(config, text));
    return config;
}

result<descriptor> converter::put_manifest(source_image& image, const descriptor& config,
                                           const std::vector<descriptor>& layers, image_writer::naming how) {
    auto& manifest = image.manifest;
    auto& allocator = manifest.GetAllocator();
    const std::string type(is_oci() ? media::oci_manifest : media::docker_manifest);
    set_member(manifest, "mediaType", text_value(type, allocator), allocator);
    set_member(manifest, "config", descriptor_value(config, allocator), allocator);
    rapidjson::Value list(rapidjson::kArrayType);
    for (const auto& layer : layers) list.PushBack(descriptor_value(layer, allocator), allocator);
    set_member(manifest, "layers", std::move(list), allocator);
    if (options_.refer == referrer::yes) {
        set_member(manifest, "artifactType", text_value(artifact_type, allocator), allocator);
        set_member(manifest, "subject", descriptor_value(image.described, allocator), allocator);
    }
    document made{to_text(manifest), type, {}};
    made.digest = sha256_digest(as_bytes(made.bytes));
    TRYV(with_.to.put_manifest(made, how));
    return descriptor{type, made.digest, {made.bytes.size()}, {}};
}

result<descriptor> converter::convert_one(const descriptor& described, const document& source,
                                          const std::string& platform, image_writer::naming how) {
    TRY(auto image, load(described, source, platform));
    auto layers = convert_layers(image);
    if (!layers) return in_context(std::move(layers).error(), with_.from.name() + ": image " + image.label);
    TRY(const auto config, put_config(image, *layers));
    TRY(auto made, put_manifest(image, config, *layers, how));
    count([this] { ++report_.images; });
    with_.shown.line(image.label + ": " + made.digest);
    return made;
}

}  // namespace

std::string chain_id_of(const std::string& parent_chain_id, const std::string& diff_id) {
    if (parent_chain_id.empty()) return diff_id;
    return sha256_digest(as_bytes(parent_chain_id + " " + diff_id));
}

result<conversion_report> convert_image(const conversion_services& services, const conversion_options& options) {
    return converter(services, options).run();
}

}  // namespace obd::convert

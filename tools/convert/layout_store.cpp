#include "tools/convert/layout_store.hpp"

#include <fstream>
#include <mutex>
#include <system_error>
#include <utility>

#include "base/digest.hpp"
#include "base/json/fields.hpp"
#include "layers/local_blob.hpp"
#include "layers/write/sink.hpp"
#include "tools/convert/json_text.hpp"

namespace obd::convert {
namespace {

constexpr std::string_view name_annotation = "org.opencontainers.image.ref.name";

std::filesystem::path blob_path(const std::filesystem::path& directory, const std::string& digest) {
    return directory / "blobs" / "sha256" / digest.substr(sizeof("sha256:") - 1);
}

result<std::string> read_file(const std::filesystem::path& path) {
    std::ifstream in(path, std::ios::binary);
    if (!in) return fail(errc::not_found, path.string());
    std::string bytes((std::istreambuf_iterator<char>(in)), {});
    if (in.bad()) return fail(errc::io_error, path.string());
    return bytes;
}

result<void> write_file(const std::filesystem::path& path, std::string_view bytes) {
    TRY(auto file, layers::file_sink::create(path, layers::file_sink::existing::replace));
    TRYV(file.write(as_bytes(bytes)));
    return file.finish();
}

class layout_reader final : public image_reader {
public:
    layout_reader(std::filesystem::path directory, std::string wanted, worker_pool& workers)
        : workers_(workers),
          directory_(std::move(directory)),
          wanted_(std::move(wanted)),
          name_("oci:" + directory_.string() + (wanted_.empty() ? "" : ":" + wanted_)) {}

    const std::string& name() const override { return name_; }

    result<document> root() override {
        const auto path = directory_ / "index.json";
        TRY(const auto index, json::parse_file(path));
        const auto* entries = member(index, "manifests");
        if (entries == nullptr || !entries->IsArray()) return fail(errc::corrupt, path.string() + ": no manifests");
        const rapidjson::Value* chosen = nullptr;
        for (const auto& entry : entries->GetArray()) {
            const auto* annotations = member(entry, "annotations");
            const auto named = annotations == nullptr ? std::string() : string_member(*annotations, name_annotation);
            if (!wanted_.empty() && named != wanted_) continue;
            if (chosen != nullptr)
                return fail(errc::invalid_argument, name_ + ": holds several images, say which: oci:DIR:NAME");
            chosen = &entry;
        }
        if (chosen == nullptr) return fail(errc::not_found, name_ + ": no such image");
        TRY(const auto found, descriptor_of(*chosen, path.string()));
        return manifest(found);
    }

    result<document> manifest(const descriptor& of) override {
        TRY(auto bytes, read_file(blob_path(directory_, of.digest)));
        if (sha256_digest(as_bytes(bytes)) != of.digest)
            return fail(errc::corrupt, blob_path(directory_, of.digest).string() + ": does not have its digest");
        return document{std::move(bytes), of.media_type, of.digest};
    }

    result<std::unique_ptr<fs::byte_stream>> blob(const descriptor& of) override {
        return fs::open_stream(blob_path(directory_, of.digest));
    }

    result<std::shared_ptr<blob_source>> source(const descriptor& of) override {
        TRY(auto opened, layers::local_blob::open(blob_path(directory_, of.digest), workers_));
        if (opened->size() != of.size) return fail(errc::corrupt, "blob " + of.digest + " does not have its size");
        return std::shared_ptr<blob_source>(std::move(opened));
    }

private:
    worker_pool& workers_;
    std::filesystem::path directory_;
    std::string wanted_;
    std::string name_;
};

class layout_writer final : public image_writer {
public:
    layout_writer(std::filesystem::path directory, std::string name)
        : directory_(std::move(directory)),
          tag_(name.empty() ? "latest" : std::move(name)),
          name_("oci:" + directory_.string() + ":" + tag_) {}

    result<void> prepare() {
        std::error_code error;
        std::filesystem::create_directories(directory_ / "blobs" / "sha256", error);
        if (error) return fail_errno(directory_.string(), error.value());
        if (std::filesystem::exists(directory_ / "oci-layout", error)) return {};
        return write_file(directory_ / "oci-layout", R"({"imageLayoutVersion":"1.0.0"})");
    }

    const std::string& name() const override { return name_; }
    std::string place() const override { return std::filesystem::absolute(directory_).lexically_normal().string(); }

    result<bool> has_blob(const std::string& digest) override {
        std::error_code ignored;
        return std::filesystem::exists(blob_path(directory_, digest), ignored);
    }
    result<bool> mount_blob(const std::string&, const std::string&) override { return false; }

    result<void> put_blob(const descriptor& what, std::shared_ptr<blob_source> from,
                          const upload_progress& progress) override {
        TRY(const bool present, has_blob(what.digest));
        if (present) return {};
        TRY(auto file,
            layers::file_sink::create(blob_path(directory_, what.digest), layers::file_sink::existing::replace));
        const auto checked = verified(stream_over(std::move(from)), what);
        std::vector<std::byte> buffer(1 << 20);
        for (std::uint64_t sent = 0;;) {
            TRY(const auto count, checked->read(buffer));
            if (count == 0) break;
            TRYV(file.write(const_bytes(buffer).first(count)));
            sent += count;
            if (progress) progress(sent);
        }
        return file.finish();
    }

    result<void> put_bytes(const descriptor& what, const std::string& bytes) override {
        return write_file(blob_path(directory_, what.digest), bytes);
    }

    result<void> put_manifest(const document& what, naming how) override {
        TRYV(write_file(blob_path(directory_, what.digest), what.bytes));
        if (how == naming::by_digest) return {};
        const std::lock_guard lock(mutex_);
        return add_to_index(
            {what.media_type, what.digest, {what.bytes.size()}, {{std::string(name_annotation), tag_}}});
    }

    layers::lower_config as_lower(const descriptor& blob) const override {
        layers::lower_config lower;
        lower.file = blob_path(directory_, blob.digest).string();
        lower.digest = blob.digest;
        lower.size_bytes = blob.size.value;
        return lower;
    }

private:
    /// In place of the entry that has the name now.
    result<void> add_to_index(const descriptor& named) {
        const auto path = directory_ / "index.json";
        rapidjson::Document index(rapidjson::kObjectType);
        std::error_code ignored;
        if (std::filesystem::exists(path, ignored)) {
            TRY(index, json::parse_file(path));
        }
        auto& allocator = index.GetAllocator();
        rapidjson::Value entries(rapidjson::kArrayType);
        if (const auto* old = member(index, "manifests"); old != nullptr && old->IsArray()) {
            for (const auto& entry : old->GetArray()) {
                const auto* annotations = member(entry, "annotations");
                if (annotations != nullptr && string_member(*annotations, name_annotation) == tag_) continue;
                entries.PushBack(rapidjson::Value(entry, allocator), allocator);
            }
        }
        entries.PushBack(descriptor_value(named, allocator), allocator);
        set_member(index, "schemaVersion", rapidjson::Value(2), allocator);
        set_member(index, "mediaType", text_value(media::oci_index, allocator), allocator);
        set_member(index, "manifests", std::move(entries), allocator);
        return write_file(path, to_text(index));
    }

    std::filesystem::path directory_;
    std::string tag_;
    std::string name_;
    std::mutex mutex_;
};

}  // namespace

result<std::unique_ptr<image_reader>> open_layout_reader(const std::filesystem::path& directory,
                                                         const std::string& name, const store_services& services) {
    std::error_code ignored;
    if (!std::filesystem::exists(directory / "oci-layout", ignored))
        return fail(errc::not_found, directory.string() + ": is no OCI layout (no file oci-layout)");
    return std::unique_ptr<image_reader>(std::make_unique<layout_reader>(directory, name, services.workers));
}

result<std::unique_ptr<image_writer>> open_layout_writer(const std::filesystem::path& directory,
                                                         const std::string& name) {
    auto writer = std::make_unique<layout_writer>(directory, name);
    TRYV(writer->prepare());
    return std::unique_ptr<image_writer>(std::move(writer));
}

}  // namespace obd::convert

#include "tools/convert/docker_archive.hpp"

#include <archive.h>
#include <archive_entry.h>

#include <utility>
#include <vector>

#include "base/digest.hpp"
#include "base/json/fields.hpp"
#include "base/limits.hpp"
#include "tools/convert/json_text.hpp"

namespace obd::convert {
namespace {

/// One member of a tar file. Finding it reads the headers before it only: libarchive seeks over the rest.
class member_stream final : public fs::byte_stream {
public:
    explicit member_stream(std::filesystem::path file) : file_(std::move(file)), handle_(archive_read_new()) {}
    ~member_stream() override { archive_read_free(handle_); }
    member_stream(const member_stream&) = delete;
    member_stream& operator=(const member_stream&) = delete;

    result<void> open(const std::string& wanted) {
        archive_read_support_format_tar(handle_);
        archive_read_support_filter_all(handle_);
        if (archive_read_open_filename(handle_, file_.c_str(), 1 << 18) != ARCHIVE_OK) return failed();
        auto path = wanted;
        // Newer archives name their layers by symbolic links to blobs.
        for (int links = 0; links < 2; ++links) {
            archive_entry* entry = nullptr;
            for (;;) {
                const auto code = archive_read_next_header(handle_, &entry);
                if (code == ARCHIVE_EOF) return fail(errc::not_found, file_.string() + ": has no member " + path);
                if (code != ARCHIVE_OK && code != ARCHIVE_WARN) return failed();
                const char* name = archive_entry_pathname(entry);
                if (name != nullptr && path == name) break;
            }
            if (archive_entry_filetype(entry) == AE_IFREG) return {};
            const char* target = archive_entry_symlink(entry);
            if (target == nullptr) break;
            path = (std::filesystem::path(path).parent_path() / target).lexically_normal().string();
            archive_read_free(std::exchange(handle_, archive_read_new()));
            archive_read_support_format_tar(handle_);
            archive_read_support_filter_all(handle_);
            if (archive_read_open_filename(handle_, file_.c_str(), 1 << 18) != ARCHIVE_OK) return failed();
        }
        return fail(errc::corrupt, file_.string() + ": " + wanted + " is no file");
    }

    result<std::size_t> read(mutable_bytes out) override {
        const auto count = archive_read_data(handle_, out.data(), out.size());
        if (count < 0) return failed();
        return static_cast<std::size_t>(count);
    }

private:
    failure failed() const {
        const char* text = archive_error_string(handle_);
        return fail(errc::corrupt, file_.string() + ": " + (text != nullptr ? text : "cannot be read"));
    }

    std::filesystem::path file_;
    struct archive* handle_;
};

class docker_archive final : public image_reader {
public:
    explicit docker_archive(std::filesystem::path file)
        : file_(std::move(file)), name_("docker-archive:" + file_.string()) {}

    const std::string& name() const override { return name_; }
    result<document> root() override { return root_; }
    result<document> manifest(const descriptor& of) override {
        if (of.digest == root_.digest) return root_;
        return fail(errc::not_found, name_ + ": no manifest " + of.digest);
    }

    result<std::unique_ptr<fs::byte_stream>> blob(const descriptor& of) override {
        const auto found = members_.find(of.digest);
        if (found == members_.end()) return fail(errc::not_found, name_ + ": no blob " + of.digest);
        return open_member(found->second);
    }

    result<std::shared_ptr<blob_source>> source(const descriptor&) override {
        return fail(errc::unsupported, name_ + ": can be converted, but not be copied as it is");
    }

    result<void> load(const std::string& wanted) {
        TRY(const auto text, read_all("manifest.json"));
        TRY(const auto images, json::parse(text, name_ + ": manifest.json"));
        TRY(const auto* image, choose(images, wanted));
        const auto config_path = string_member(*image, "Config");
        TRY(const auto config, read_all(config_path));
        descriptor config_descriptor{
            std::string(media::docker_config), sha256_digest(as_bytes(config)), {config.size()}, {}};
        members_[config_descriptor.digest] = config_path;
        rapidjson::Document made(rapidjson::kObjectType);
        auto& allocator = made.GetAllocator();
        made.AddMember("schemaVersion", 2, allocator);
        made.AddMember("mediaType", text_value(media::docker_manifest, allocator), allocator);
        made.AddMember("config", descriptor_value(config_descriptor, allocator), allocator);
        rapidjson::Value layers(rapidjson::kArrayType);
        const auto* paths = member(*image, "Layers");
        if (paths == nullptr || !paths->IsArray())
            return fail(errc::corrupt, name_ + ": manifest.json names no layers");
        for (const auto& path : paths->GetArray()) {
            if (!path.IsString()) return fail(errc::corrupt, name_ + ": manifest.json names a layer that is no string");
            TRY(const auto layer, describe(path.GetString()));
            layers.PushBack(descriptor_value(layer, allocator), allocator);
        }
        made.AddMember("layers", layers, allocator);
        root_.bytes = to_text(made);
        root_.media_type = media::docker_manifest;
        root_.digest = sha256_digest(as_bytes(root_.bytes));
        return {};
    }

private:
    result<std::unique_ptr<fs::byte_stream>> open_member(const std::string& path) {
        auto stream = std::make_unique<member_stream>(file_);
        TRYV(stream->open(path));
        return std::unique_ptr<fs::byte_stream>(std::move(stream));
    }

    result<std::string> read_all(const std::string& path) {
        TRY(const auto stream, open_member(path));
        std::string bytes;
        std::vector<std::byte> buffer(64 << 10);
        for (;;) {
            TRY(const auto count, stream->read(buffer));
            if (count == 0) return bytes;
            bytes += as_text(const_bytes(buffer).first(count));
            if (bytes.size() > limits::manifest_bytes)
                return fail(errc::limit_exceeded, name_ + ": " + path + " is too long");
        }
    }

    /// Reads the layer once, for its digest: the archive does not say it.
    result<descriptor> describe(const std::string& path) {
        TRY(const auto stream, open_member(path));
        fs::digest_stream counted(*stream);
        TRYV(fs::drain(counted));
        descriptor layer;
        layer.media_type = media::docker_layer;
        layer.size = {counted.size()};
        layer.digest = std::move(counted).finish_digest();
        members_[layer.digest] = path;
        return layer;
    }

    result<const rapidjson::Value*> choose(const rapidjson::Document& images, const std::string& wanted) const {
        if (!images.IsArray()) return fail(errc::corrupt, name_ + ": manifest.json is no array");
        const rapidjson::Value* chosen = nullptr;
        for (const auto& image : images.GetArray()) {
            bool fits = wanted.empty();
            if (const auto* tags = member(image, "RepoTags"); tags != nullptr && tags->IsArray()) {
                for (const auto& tag : tags->GetArray()) fits = fits || (tag.IsString() && wanted == tag.GetString());
            }
            if (!fits) continue;
            if (chosen != nullptr)
                return fail(errc::invalid_argument,
                            name_ + ": holds several images, say which: docker-archive:FILE:NAME");
            chosen = &image;
        }
        if (chosen == nullptr) return fail(errc::not_found, name_ + ": no such image");
        return chosen;
    }

    std::filesystem::path file_;
    std::string name_;
    document root_;
    std::map<std::string, std::string> members_;  ///< digest → path in the tar
};

}  // namespace

result<std::unique_ptr<image_reader>> open_docker_archive(const std::filesystem::path& file, const std::string& name) {
    auto opened = std::make_unique<docker_archive>(file);
    TRYV(opened->load(name));
    return std::unique_ptr<image_reader>(std::move(opened));
}

}  // namespace obd::convert

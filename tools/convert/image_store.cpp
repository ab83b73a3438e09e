#include "tools/convert/image_store.hpp"

#include <algorithm>
#include <cstring>
#include <system_error>
#include <utility>
#include <vector>

#include "base/limits.hpp"
#include "layers/write/blocking.hpp"
#include "tools/convert/docker_archive.hpp"
#include "tools/convert/layout_store.hpp"
#include "tools/convert/registry_store.hpp"

namespace obd::convert {
namespace {

class verified_stream final : public fs::byte_stream {
public:
    verified_stream(std::unique_ptr<fs::byte_stream> from, descriptor of)
        : from_(std::move(from)), of_(std::move(of)), counted_(*from_) {}

    result<std::size_t> read(mutable_bytes out) override {
        if (done_ || out.empty()) return std::size_t{0};
        TRY(const auto count, counted_.read(out));
        if (counted_.size() > of_.size.value) return wrong();
        if (count != 0) return count;
        done_ = true;
        if (counted_.size() != of_.size.value || std::move(counted_).finish_digest() != of_.digest) return wrong();
        return count;
    }

private:
    failure wrong() const {
        return fail(errc::corrupt, "blob " + of_.digest + ": its bytes are not those of the digest");
    }

    std::unique_ptr<fs::byte_stream> from_;
    descriptor of_;
    fs::digest_stream counted_;
    bool done_ = false;
};

constexpr std::size_t step_bytes = 4 << 20;

class source_stream final : public fs::byte_stream {
public:
    explicit source_stream(std::shared_ptr<blob_source> source) : source_(std::move(source)) {}

    result<std::size_t> read(mutable_bytes out) override {
        if (taken_ == buffer_.size()) {
            const auto rest = source_->size().value - next_;
            buffer_.resize(std::min<std::uint64_t>(rest, step_bytes));
            taken_ = 0;
            if (buffer_.empty()) return std::size_t{0};
            TRYV(layers::run_blocking(source_->read({next_}, buffer_)));
            next_ += buffer_.size();
        }
        const auto count = std::min(out.size(), buffer_.size() - taken_);
        std::memcpy(out.data(), buffer_.data() + taken_, count);
        taken_ += count;
        return count;
    }

private:
    std::shared_ptr<blob_source> source_;
    std::uint64_t next_ = 0;  ///< of the blob, behind what the buffer holds
    std::vector<std::byte> buffer_;
    std::size_t taken_ = 0;
};

struct location {
    enum class kind { registry, layout, archive };
    kind where;
    std::string path;  ///< or the reference
    std::string name;  ///< in the layout or archive; may be empty
};

/// "DIR:NAME" → both; a colon within a path that exists belongs to the path.
location split_layout(std::string_view text) {
    std::error_code ignored;
    const auto colon = text.rfind(':');
    if (colon == text.npos || colon == 0 || std::filesystem::exists(text, ignored) ||
        text.find('/', colon) != text.npos)
        return {location::kind::layout, std::string(text), {}};
    return {location::kind::layout, std::string(text.substr(0, colon)), std::string(text.substr(colon + 1))};
}

/// "FILE:NAME" → both; the name is an image's and may hold colons itself, so the file is what exists.
location split_archive(std::string_view text) {
    std::error_code ignored;
    for (auto colon = text.find(':'); colon != text.npos; colon = text.find(':', colon + 1)) {
        const auto file = text.substr(0, colon);
        if (std::filesystem::is_regular_file(file, ignored))
            return {location::kind::archive, std::string(file), std::string(text.substr(colon + 1))};
    }
    return {location::kind::archive, std::string(text), {}};
}

location parse_location(std::string_view text) {
    const auto without = [&text](std::string_view prefix) { return text.substr(prefix.size()); };
    if (text.starts_with("docker://")) return {location::kind::registry, std::string(without("docker://")), {}};
    if (text.starts_with("oci:")) return split_layout(without("oci:"));
    if (text.starts_with("docker-archive:")) return split_archive(without("docker-archive:"));
    std::error_code ignored;
    if (std::filesystem::exists(std::filesystem::path(text) / "oci-layout", ignored))
        return {location::kind::layout, std::string(text), {}};
    if (std::filesystem::is_regular_file(text, ignored)) return {location::kind::archive, std::string(text), {}};
    return {location::kind::registry, std::string(text), {}};
}

}  // namespace

std::unique_ptr<fs::byte_stream> stream_over(std::shared_ptr<blob_source> source) {
    return std::make_unique<source_stream>(std::move(source));
}

result<std::unique_ptr<fs::byte_stream>> image_reader::blob(const descriptor& of) {
    TRY(auto opened, source(of));
    return stream_over(std::move(opened));
}

std::unique_ptr<fs::byte_stream> verified(std::unique_ptr<fs::byte_stream> from, const descriptor& of) {
    return std::make_unique<verified_stream>(std::move(from), of);
}

result<std::string> read_small(image_reader& from, const descriptor& of) {
    if (of.size.value > limits::manifest_bytes)
        return fail(errc::limit_exceeded, "blob " + of.digest + " has " + std::to_string(of.size.value) + " bytes");
    TRY(auto stream, from.blob(of));
    const auto checked = verified(std::move(stream), of);
    std::string bytes(of.size.value + 1, '\0');
    std::size_t filled = 0;
    for (;;) {
        TRY(const auto count, checked->read(std::as_writable_bytes(std::span(bytes).subspan(filled))));
        if (count == 0) break;
        filled += count;
    }
    bytes.resize(filled);
    return bytes;
}

result<std::unique_ptr<image_reader>> open_reader(const std::string& where, const store_services& services) {
    const auto found = parse_location(where);
    switch (found.where) {
        case location::kind::registry:
            return open_registry_reader(found.path, services);
        case location::kind::layout:
            return open_layout_reader(found.path, found.name, services);
        case location::kind::archive:
            return open_docker_archive(found.path, found.name);
    }
    return fail(errc::invalid_argument, where);
}

result<std::unique_ptr<image_writer>> open_writer(const std::string& where, const store_services& services) {
    const auto found = parse_location(where);
    switch (found.where) {
        case location::kind::registry:
            return open_registry_writer(found.path, services);
        case location::kind::layout:
            return open_layout_writer(found.path, found.name);
        case location::kind::archive:
            return fail(errc::unsupported, where + ": an overlaybd image cannot be put into a docker-archive");
    }
    return fail(errc::invalid_argument, where);
}

}  // namespace obd::convert

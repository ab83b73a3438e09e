#include "server/clones/clone_store.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <limits>

#include "base/digest.hpp"
#include "base/json/fields.hpp"
#include "base/small_file.hpp"
#include "server/catalog/upper_folder.hpp"
#include "server/state/codec.hpp"
#include "server/state/durable_file.hpp"
#include "server/state/json_writer.hpp"

namespace obd::server {
namespace {

constexpr std::size_t readable_characters = 80;
constexpr int record_version = 1;
constexpr json::integer_range any_size{0, std::numeric_limits<std::int64_t>::max()};

std::string hash_of(std::string_view text) {
    sha256 hash;
    hash.update(as_bytes(text));
    return to_hex(std::move(hash).finish());
}

result<void> sync_folder(const std::filesystem::path& folder) {
    const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) return fail_errno(folder.string());
    const int synced = ::fsync(descriptor);
    const int error = errno;
    ::close(descriptor);
    if (synced != 0) return fail_errno(folder.string(), error);
    return {};
}

result<void> rename_folder(const std::filesystem::path& from, const std::filesystem::path& to) {
    std::error_code bad;
    std::filesystem::rename(from, to, bad);
    if (bad) return fail_errno(to.string(), bad.value());
    return sync_folder(to.parent_path());
}

result<void> remove_tree(const std::filesystem::path& folder) {
    std::error_code bad;
    std::filesystem::remove_all(folder, bad);
    if (bad) return fail_errno(folder.string(), bad.value());
    return {};
}

/// A name that no clone has: clones' names do not begin with a dot.
std::filesystem::path rubbish_name(const std::filesystem::path& folder) {
    return folder.parent_path() / ("." + folder.filename().string());
}

std::string encode(const clone_record& record) {
    json_writer out;
    out.begin_object().member("version", record_version).member("initiator", record.initiator);
    out.member("mode", to_string(record.mode)).member("quota", record.quota.value);
    out.member("designator", record.designator).member("created", static_cast<std::uint64_t>(record.created_s));
    return out.end_object().text();
}

result<clone_record> decode(std::string_view text, const std::filesystem::path& path) {
    TRY(const auto document, json::parse(text, path.string()));
    const json::object root(document, path.string());
    const auto damaged = [&](std::string_view what) {
        return fail(errc::corrupt, path.string() + ": " + std::string(what));
    };
    clone_record record;
    TRY(const auto version, root.integer("version", 0, {0, 1'000'000}));
    if (version != record_version) return damaged("no version of this program's");
    TRY(record.initiator, root.string("initiator", ""));
    TRY(const auto mode, root.string("mode", ""));
    TRY(const auto quota, root.integer("quota", 0, any_size));
    TRY(record.designator, root.string("designator", ""));
    TRY(record.created_s, root.integer("created", 0, any_size));
    record.quota = {static_cast<std::uint64_t>(quota)};
    const auto kind = parse_clone_mode(mode);
    if (!kind) return damaged("\"mode\" is unknown");
    record.mode = *kind;
    const auto hash = from_hex(record.designator);
    if (!hash || hash->size() != 32) return damaged("\"designator\" is no SHA-256");
    return record;
}

result<clone_record> read_record(const std::filesystem::path& folder) {
    const auto path = folder / "clone.json";
    TRY(const auto text, read_small_file(path));
    if (!text) return fail(errc::not_found, path.string());
    TRY(auto record, decode(*text, path));
    if (clone_folder_name(record.initiator) != folder.filename()) {
        return fail(errc::corrupt, path.string() + ": belongs to another initiator than the folder");
    }
    return record;
}

}  // namespace

std::string clone_folder_name(std::string_view initiator) {
    std::string name;
    for (const char c : initiator.substr(0, readable_characters)) {
        const bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
        name.push_back(plain ? c : '_');
    }
    if (name.starts_with('.')) name.front() = '_';
    return name + "-" + hash_of(initiator).substr(0, 32);
}

std::string clone_designator(std::string_view base_content_hex, std::string_view initiator) {
    std::string text = "clone ";
    text.append(base_content_hex).append(" ").append(initiator);
    return hash_of(text);
}

result<clone_listing> clone_store::load() const {
    clone_listing found;
    std::error_code bad;
    std::vector<std::filesystem::path> rubbish;
    for (std::filesystem::directory_iterator at(root_, bad), end; !bad && at != end; at.increment(bad)) {
        const auto& path = at->path();
        if (!at->is_directory(bad) || at->is_symlink(bad)) continue;
        if (path.filename().native().starts_with('.')) {
            rubbish.push_back(path);
            continue;
        }
        auto record = read_record(path);
        if (record) found.clones.push_back({std::move(*record), path});
        if (!record) found.damaged.push_back(record.error().message());
    }
    if (bad && bad != std::errc::no_such_file_or_directory) return fail_errno(root_.string(), bad.value());
    for (const auto& path : rubbish) {
        TRYV(remove_tree(path));
    }
    return found;
}

result<stored_clone> clone_store::make(const clone_record& record, upper_kind kind,
                                       const layers::image_config& base) const {
    std::error_code bad;
    std::filesystem::create_directories(root_, bad);
    if (bad) return fail_errno(root_.string(), bad.value());
    const auto folder = root_ / clone_folder_name(record.initiator);
    if (std::filesystem::exists(folder, bad)) return fail(errc::already_exists, folder.string());
    const auto half = rubbish_name(folder);
    TRYV(remove_tree(half));
    const auto fill = [&]() -> result<void> {
        TRYV(prepare_upper(half, kind, base));
        // Made for where the folder will be, not for where it is.
        TRY(auto config, layers::load_image_config(upper_config_path(half)));
        const auto paths = layers::upper_paths_in(folder);
        config.upper.data = paths.data.native();
        config.upper.index = paths.index.native();
        TRYV(replace_file(upper_config_path(half), encode_image_config(config)));
        std::filesystem::remove(upper_config_path(half).native() + ".previous", bad);
        TRYV(replace_file(half / "clone.json", encode(record)));
        return rename_folder(half, folder);
    };
    auto filled = fill();
    if (!filled) {
        std::filesystem::remove_all(half, bad);
        return std::move(filled).error();
    }
    return stored_clone{record, folder};
}

result<void> clone_store::save(const stored_clone& clone) const {
    return replace_file(clone.folder / "clone.json", encode(clone.record));
}

result<void> clone_store::remove(const std::filesystem::path& folder) const {
    const auto rubbish = rubbish_name(folder);
    TRYV(remove_tree(rubbish));
    TRYV(rename_folder(folder, rubbish));
    return remove_tree(rubbish);
}

void clone_store::remove_empty_root() const noexcept {
    std::error_code ignored;
    std::filesystem::remove(root_, ignored);
}

result<std::optional<scsi::persistent_state>> clone_store::load_unit(const std::filesystem::path& folder) const {
    const auto path = folder / "unit.json";
    TRY(const auto text, read_small_file(path));
    if (!text) return std::optional<scsi::persistent_state>{};
    TRY(auto state, decode_unit_state(*text, path.string()));
    return std::optional(std::move(state));
}

result<void> clone_store::save_unit(const std::filesystem::path& folder, const scsi::persistent_state& state) const {
    return replace_file(folder / "unit.json", encode_unit_state(state));
}

byte_count occupied_bytes(const std::filesystem::path& folder) {
    std::uint64_t bytes = 0;
    std::error_code bad;
    for (std::filesystem::directory_iterator at(folder, bad), end; !bad && at != end; at.increment(bad)) {
        struct stat status {};
        if (::lstat(at->path().c_str(), &status) == 0) bytes += static_cast<std::uint64_t>(status.st_blocks) * 512;
    }
    return {bytes};
}

}  // namespace obd::server

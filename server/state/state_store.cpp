#include "server/state/state_store.hpp"

#include "base/small_file.hpp"
#include "server/state/codec.hpp"

namespace obd::server {
namespace {

result<std::optional<std::vector<export_record>>> read_exports(const std::filesystem::path& path) {
    TRY(const auto text, read_small_file(path));
    if (!text) return std::optional<std::vector<export_record>>{};
    TRY(auto records, decode_exports(*text, path.string()));
    return std::optional(std::move(records));
}

}  // namespace

result<state_store> state_store::open(std::filesystem::path folder) {
    TRY(auto lock, folder_lock::take(folder));
    std::error_code bad;
    std::filesystem::create_directories(folder / "units", bad);
    if (bad) return fail_errno("folder " + (folder / "units").string(), bad.value());
    return state_store(std::move(folder), std::move(lock));
}

state_store::state_store(std::filesystem::path folder, folder_lock lock)
    : folder_(std::move(folder)), lock_(std::move(lock)) {}

result<restored_exports> state_store::load_exports() const {
    auto newest = read_exports(exports_path());
    if (newest) return restored_exports{newest->value_or(std::vector<export_record>{}), {}};
    // A file of a later version is not damaged; an older program must leave it alone.
    if (newest.error().is(errc::unsupported)) return std::move(newest).error();

    auto path = exports_path();
    path += ".previous";
    auto previous = read_exports(path);
    if (previous && *previous) {
        return restored_exports{std::move(**previous), newest.error().message() + "; taking " + path.string()};
    }
    return in_context(std::move(newest).error(), "the list of exports is damaged and there is no earlier one");
}

result<void> state_store::save_exports(const std::vector<export_record>& records) const {
    return replace_file(exports_path(), encode_exports(records));
}

result<std::optional<scsi::persistent_state>> state_store::load_unit(const std::string& name) const {
    TRY(const auto text, read_small_file(unit_path(name)));
    if (!text) return std::optional<scsi::persistent_state>{};
    TRY(auto state, decode_unit_state(*text, unit_path(name).string()));
    return std::optional(std::move(state));
}

result<void> state_store::save_unit(const std::string& name, const scsi::persistent_state& state) const {
    return replace_file(unit_path(name), encode_unit_state(state));
}

result<void> state_store::forget_unit(const std::string& name) const {
    return remove_file(unit_path(name));
}

}  // namespace obd::server

#include "tools/convert/layer_ledger.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <system_error>

#include "base/digest.hpp"
#include "base/json/fields.hpp"
#include "layers/write/sink.hpp"
#include "tools/convert/json_text.hpp"

namespace obd::convert {
namespace {

/// Held while the file is read, changed and replaced.
class file_lock {
public:
    explicit file_lock(const std::filesystem::path& file)
        : descriptor_(::open((file.string() + ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)) {
        if (descriptor_ >= 0) ::flock(descriptor_, LOCK_EX);
    }
    ~file_lock() {
        if (descriptor_ >= 0) ::close(descriptor_);
    }
    file_lock(const file_lock&) = delete;
    file_lock& operator=(const file_lock&) = delete;
    bool held() const { return descriptor_ >= 0; }

private:
    int descriptor_;
};

}  // namespace

result<std::vector<ledger_entry>> layer_ledger::load() const {
    std::vector<ledger_entry> entries;
    std::error_code ignored;
    if (file_.empty() || !std::filesystem::exists(file_, ignored)) return entries;
    TRY(const auto root, json::parse_file(file_));
    const auto* items = member(root, "layers");
    if (items == nullptr || !items->IsArray()) return entries;
    for (const auto& item : items->GetArray()) {
        const auto* size = member(item, "size");
        ledger_entry entry{string_member(item, "chainID"),
                           string_member(item, "profile"),
                           string_member(item, "place"),
                           string_member(item, "digest"),
                           {size != nullptr && size->IsUint64() ? size->GetUint64() : 0}};
        if (is_sha256_digest(entry.digest) && entry.size.value != 0) entries.push_back(std::move(entry));
    }
    return entries;
}

result<std::vector<ledger_entry>> layer_ledger::find(const std::string& chain_id, const std::string& profile,
                                                     const std::string& place) const {
    TRY(auto entries, load());
    std::erase_if(entries,
                  [&](const ledger_entry& entry) { return entry.chain_id != chain_id || entry.profile != profile; });
    std::ranges::stable_partition(entries, [&](const ledger_entry& entry) { return entry.place == place; });
    return entries;
}

result<void> layer_ledger::add(const ledger_entry& entry) const {
    if (file_.empty()) return {};
    std::error_code error;
    std::filesystem::create_directories(file_.parent_path(), error);
    const file_lock lock(file_);
    if (!lock.held()) return fail_errno(file_.string());
    TRY(auto entries, load());
    std::erase_if(entries, [&](const ledger_entry& old) {
        return old.chain_id == entry.chain_id && old.profile == entry.profile && old.place == entry.place;
    });
    entries.push_back(entry);
    rapidjson::Document root(rapidjson::kObjectType);
    auto& allocator = root.GetAllocator();
    rapidjson::Value items(rapidjson::kArrayType);
    for (const auto& each : entries) {
        rapidjson::Value item(rapidjson::kObjectType);
        set_member(item, "chainID", text_value(each.chain_id, allocator), allocator);
        set_member(item, "profile", text_value(each.profile, allocator), allocator);
        set_member(item, "place", text_value(each.place, allocator), allocator);
        set_member(item, "digest", text_value(each.digest, allocator), allocator);
        set_member(item, "size", rapidjson::Value(each.size.value), allocator);
        items.PushBack(item, allocator);
    }
    set_member(root, "version", rapidjson::Value(1), allocator);
    set_member(root, "layers", std::move(items), allocator);
    TRY(auto file, layers::file_sink::create(file_, layers::file_sink::existing::replace));
    TRYV(file.write(as_bytes(to_text(root))));
    return file.finish();
}

}  // namespace obd::convert

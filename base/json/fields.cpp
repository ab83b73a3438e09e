#include "base/json/fields.hpp"

#include <rapidjson/error/en.h>

#include <algorithm>
#include <cerrno>

#include "base/limits.hpp"
#include "base/small_file.hpp"

namespace obd::json {
namespace {

std::string position(std::string_view text, std::size_t offset) {
    const auto before = text.substr(0, std::min(offset, text.size()));
    const auto line = 1 + std::count(before.begin(), before.end(), '\n');
    const auto start = before.rfind('\n');
    const auto column = start == std::string_view::npos ? before.size() + 1 : before.size() - start;
    return "line " + std::to_string(line) + " column " + std::to_string(column);
}

/// The name of a member that occurs twice in an object of the tree, or an empty string.
std::string repeated_member(const rapidjson::Value& value) {
    if (value.IsArray()) {
        for (const auto& element : value.GetArray()) {
            if (auto name = repeated_member(element); !name.empty()) return name;
        }
    }
    if (!value.IsObject()) return {};
    std::set<std::string_view> seen;
    for (const auto& member : value.GetObject()) {
        const std::string_view name(member.name.GetString(), member.name.GetStringLength());
        if (!seen.insert(name).second) return std::string(name);
        if (auto inner = repeated_member(member.value); !inner.empty()) return inner;
    }
    return {};
}

const rapidjson::Value& empty_object() {
    static const rapidjson::Value value(rapidjson::kObjectType);
    return value;
}

}  // namespace

result<rapidjson::Document> parse(std::string_view text, std::string_view where) {
    if (text.size() > limits::config_file_bytes) return fail(errc::limit_exceeded, std::string(where) + ": too long");
    rapidjson::Document document;
    // Iterative: the depth of hostile input must not become depth of our stack.
    constexpr unsigned flags = rapidjson::kParseIterativeFlag | rapidjson::kParseValidateEncodingFlag;
    document.Parse<flags>(text.data(), text.size());
    if (document.HasParseError()) {
        return fail(errc::invalid_argument, std::string(where) + ": " + position(text, document.GetErrorOffset()) +
                                                ": " + rapidjson::GetParseError_En(document.GetParseError()));
    }
    if (!document.IsObject() && !document.IsArray()) {
        return fail(errc::invalid_argument, std::string(where) + ": the root is neither an object nor an array");
    }
    if (auto name = repeated_member(document); !name.empty()) {
        return fail(errc::invalid_argument, std::string(where) + ": \"" + name + "\" occurs twice in one object");
    }
    return document;
}

result<rapidjson::Document> parse_file(const std::filesystem::path& path) {
    TRY(const auto text, read_small_file(path));
    if (!text) return fail_errno(path.string(), ENOENT);
    return parse(*text, path.string());
}

object::object(const rapidjson::Value& value, std::string where)
    : value_(value.IsObject() ? &value : &empty_object()), where_(std::move(where)) {}

const rapidjson::Value* object::find(std::string_view name) const {
    asked_.emplace(name);
    const auto member = value_->FindMember(
        rapidjson::Value(rapidjson::StringRef(name.data(), static_cast<rapidjson::SizeType>(name.size()))));
    if (member == value_->MemberEnd() || member->value.IsNull()) return nullptr;
    return &member->value;
}

failure object::wrong_type(std::string_view name, std::string_view wanted) const {
    return fail(errc::invalid_argument, where_ + ": \"" + std::string(name) + "\" must be " + std::string(wanted));
}

bool object::has(std::string_view name) const {
    return find(name) != nullptr;
}

result<std::string> object::string(std::string_view name, std::string_view fallback) const {
    const auto* value = find(name);
    if (value == nullptr) return std::string(fallback);
    if (!value->IsString()) return wrong_type(name, "a string");
    return std::string(value->GetString(), value->GetStringLength());
}

result<bool> object::boolean(std::string_view name, bool fallback) const {
    const auto* value = find(name);
    if (value == nullptr) return fallback;
    if (!value->IsBool()) return wrong_type(name, "true or false");
    return value->GetBool();
}

result<std::int64_t> object::integer(std::string_view name, std::int64_t fallback, integer_range range) const {
    const auto* value = find(name);
    if (value == nullptr) return fallback;
    const auto wanted = "an integer from " + std::to_string(range.low) + " to " + std::to_string(range.high);
    if (!value->IsInt64()) return wrong_type(name, wanted);
    const auto number = value->GetInt64();
    if (number < range.low || number > range.high) return wrong_type(name, wanted);
    return number;
}

result<object> object::child(std::string_view name) const {
    const auto* value = find(name);
    auto where = where_ + ": " + std::string(name);
    if (value == nullptr) return object(empty_object(), std::move(where));
    if (!value->IsObject()) return wrong_type(name, "an object");
    return object(*value, std::move(where));
}

result<std::vector<object>> object::objects(std::string_view name) const {
    std::vector<object> found;
    const auto* value = find(name);
    if (value == nullptr) return found;
    if (!value->IsArray()) return wrong_type(name, "an array of objects");
    for (const auto& element : value->GetArray()) {
        if (!element.IsObject()) return wrong_type(name, "an array of objects");
        found.emplace_back(element, where_ + ": " + std::string(name) + "[" + std::to_string(found.size()) + "]");
    }
    return found;
}

result<std::vector<std::string>> object::strings(std::string_view name) const {
    std::vector<std::string> found;
    const auto* value = find(name);
    if (value == nullptr) return found;
    if (!value->IsArray()) return wrong_type(name, "an array of strings");
    for (const auto& element : value->GetArray()) {
        if (!element.IsString()) return wrong_type(name, "an array of strings");
        found.emplace_back(element.GetString(), element.GetStringLength());
    }
    return found;
}

std::vector<std::pair<std::string, const rapidjson::Value*>> object::members() const {
    std::vector<std::pair<std::string, const rapidjson::Value*>> found;
    for (const auto& member : value_->GetObject()) {
        found.emplace_back(std::string(member.name.GetString(), member.name.GetStringLength()), &member.value);
    }
    return found;
}

std::vector<std::string> object::unknown_members() const {
    std::vector<std::string> names;
    for (const auto& member : value_->GetObject()) {
        std::string name(member.name.GetString(), member.name.GetStringLength());
        if (!asked_.contains(name)) names.push_back(std::move(name));
    }
    return names;
}

}  // namespace obd::json

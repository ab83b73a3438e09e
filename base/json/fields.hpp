// Typed access to the members of a JSON object, with errors that name the file, the member and the reason.
//
//     TRY(auto document, json::parse_file(path));
//     json::object root(document, path);
//     TRY(auto port, root.integer("port", 9863, {0, 65535}));
//     for (const auto& key : root.unknown_members()) log->warn(…);
#pragma once

#include <rapidjson/document.h>

#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.hpp"
#include "base/result.hpp"

namespace obd::json {

/// Fails with the path, line and column when it is not JSON, is longer than limits::config_file_bytes, or its root is
/// no object or array. A member that occurs twice is an error.
result<rapidjson::Document> parse(std::string_view text, std::string_view where);
result<rapidjson::Document> parse_file(const std::filesystem::path& path);

struct integer_range {
    std::int64_t low;
    std::int64_t high;
};

/// A view of one JSON object. `where` begins its messages ("/etc/x.json" or "/etc/x.json: cacheConfig").
/// A member that is missing or null takes the default; a member of the wrong type is an error.
class object {
public:
    object(const rapidjson::Value& value, std::string where);

    bool has(std::string_view name) const;
    result<std::string> string(std::string_view name, std::string_view fallback) const;
    result<bool> boolean(std::string_view name, bool fallback) const;
    result<std::int64_t> integer(std::string_view name, std::int64_t fallback, integer_range range) const;
    /// An absent member gives an empty object, so nested defaults apply.
    result<object> child(std::string_view name) const;
    result<std::vector<object>> objects(std::string_view name) const;
    result<std::vector<std::string>> strings(std::string_view name) const;
    /// Members in file order with their values, for maps like "auths" and "annotations".
    std::vector<std::pair<std::string, const rapidjson::Value*>> members() const;

    /// Names of members that no call above asked for, in file order.
    std::vector<std::string> unknown_members() const;
    const std::string& where() const { return where_; }

private:
    const rapidjson::Value* find(std::string_view name) const;
    failure wrong_type(std::string_view name, std::string_view wanted) const;

    const rapidjson::Value* value_;
    std::string where_;
    mutable std::set<std::string, std::less<>> asked_;
};

}  // namespace obd::json

// Small helpers around RapidJSON documents that are passed on with changes: what is not understood stays.
#pragma once

#include <rapidjson/document.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "registry/descriptor.hpp"

namespace obd::convert {

/// The descriptor in a JSON object. Fails with corrupt: no media type, no valid sha256 digest, no size.
result<registry::descriptor> descriptor_of(const rapidjson::Value& object, std::string_view where);

using json_allocator = rapidjson::Document::AllocatorType;

rapidjson::Value text_value(std::string_view text, json_allocator& allocator);
/// {"mediaType", "digest", "size", "annotations"}
rapidjson::Value descriptor_value(const registry::descriptor& what, json_allocator& allocator);
/// Replaces the member or adds it.
void set_member(rapidjson::Value& object, std::string_view name, rapidjson::Value value, json_allocator& allocator);
std::string to_text(const rapidjson::Value& value);
/// A member that is a string; else empty.
std::string string_member(const rapidjson::Value& object, std::string_view name);
const rapidjson::Value* member(const rapidjson::Value& object, std::string_view name);

}  // namespace obd::convert

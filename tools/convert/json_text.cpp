#include "tools/convert/json_text.hpp"

#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include "base/digest.hpp"

namespace obd::convert {

const rapidjson::Value* member(const rapidjson::Value& object, std::string_view name) {
    if (!object.IsObject()) return nullptr;
    const rapidjson::Value key(rapidjson::StringRef(name.data(), static_cast<rapidjson::SizeType>(name.size())));
    const auto found = object.FindMember(key);
    return found == object.MemberEnd() ? nullptr : &found->value;
}

std::string string_member(const rapidjson::Value& object, std::string_view name) {
    const auto* value = member(object, name);
    if (value == nullptr || !value->IsString()) return {};
    return {value->GetString(), value->GetStringLength()};
}

result<registry::descriptor> descriptor_of(const rapidjson::Value& object, std::string_view where) {
    registry::descriptor what;
    what.media_type = string_member(object, "mediaType");
    what.digest = string_member(object, "digest");
    const auto* size = member(object, "size");
    if (!is_sha256_digest(what.digest) || size == nullptr || !size->IsUint64())
        return fail(errc::corrupt, std::string(where) + ": a descriptor without sha256 digest or size");
    what.size = {size->GetUint64()};
    if (const auto* annotations = member(object, "annotations"); annotations != nullptr && annotations->IsObject()) {
        for (const auto& item : annotations->GetObject())
            if (item.value.IsString()) what.annotations[item.name.GetString()] = item.value.GetString();
    }
    return what;
}

rapidjson::Value text_value(std::string_view text, json_allocator& allocator) {
    return rapidjson::Value(text.data(), static_cast<rapidjson::SizeType>(text.size()), allocator);
}

rapidjson::Value descriptor_value(const registry::descriptor& what, json_allocator& allocator) {
    rapidjson::Value object(rapidjson::kObjectType);
    object.AddMember("mediaType", text_value(what.media_type, allocator), allocator);
    object.AddMember("digest", text_value(what.digest, allocator), allocator);
    object.AddMember("size", rapidjson::Value(what.size.value), allocator);
    if (what.annotations.empty()) return object;
    rapidjson::Value annotations(rapidjson::kObjectType);
    for (const auto& [key, value] : what.annotations)
        annotations.AddMember(text_value(key, allocator), text_value(value, allocator), allocator);
    object.AddMember("annotations", annotations, allocator);
    return object;
}

void set_member(rapidjson::Value& object, std::string_view name, rapidjson::Value value, json_allocator& allocator) {
    const auto key = text_value(name, allocator);
    if (const auto found = object.FindMember(key); found != object.MemberEnd())
        found->value = value;
    else
        object.AddMember(text_value(name, allocator), value, allocator);
}

std::string to_text(const rapidjson::Value& value) {
    rapidjson::StringBuffer buffer;
    rapidjson::Writer<rapidjson::StringBuffer> writer(buffer);
    value.Accept(writer);
    return {buffer.GetString(), buffer.GetSize()};
}

}  // namespace obd::convert

// A thin layer over RapidJSON's writer, so that documents read like what they become.
#pragma once

#include <rapidjson/prettywriter.h>
#include <rapidjson/stringbuffer.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace obd::server {

class json_writer {
public:
    json_writer() { out_.SetIndent(' ', 1); }

    json_writer& key(std::string_view name) {
        out_.Key(name.data(), static_cast<rapidjson::SizeType>(name.size()));
        return *this;
    }
    json_writer& value(std::string_view text) {
        out_.String(text.data(), static_cast<rapidjson::SizeType>(text.size()));
        return *this;
    }
    json_writer& value(const char* text) { return value(std::string_view(text)); }
    json_writer& value(const std::string& text) { return value(std::string_view(text)); }
    json_writer& value(bool flag) {
        out_.Bool(flag);
        return *this;
    }
    json_writer& value(std::uint64_t number) {
        out_.Uint64(number);
        return *this;
    }
    json_writer& value(std::uint32_t number) { return value(std::uint64_t{number}); }
    json_writer& value(std::uint16_t number) { return value(std::uint64_t{number}); }
    json_writer& value(int number) {
        out_.Int(number);
        return *this;
    }

    /// "name": value
    template <typename Value>
    json_writer& member(std::string_view name, const Value& what) {
        return key(name).value(what);
    }
    /// "name": ["…", …]
    template <typename Strings>
    json_writer& strings(std::string_view name, const Strings& list) {
        key(name).begin_array();
        for (const auto& text : list) value(std::string_view(text));
        return end_array();
    }

    json_writer& begin_object() {
        out_.StartObject();
        return *this;
    }
    json_writer& end_object() {
        out_.EndObject();
        return *this;
    }
    json_writer& begin_array() {
        out_.StartArray();
        return *this;
    }
    json_writer& end_array() {
        out_.EndArray();
        return *this;
    }

    std::string text() const { return std::string(buffer_.GetString(), buffer_.GetSize()) + "\n"; }

private:
    rapidjson::StringBuffer buffer_;
    rapidjson::PrettyWriter<rapidjson::StringBuffer> out_{buffer_};
};

}  // namespace obd::server

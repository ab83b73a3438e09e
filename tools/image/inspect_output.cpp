#include <rapidjson/prettywriter.h>
#include <rapidjson/stringbuffer.h>

#include <algorithm>
#include <array>
#include <cstdio>

#include "tools/image/inspect.hpp"

namespace obd::tools {
namespace {

using json_writer = rapidjson::PrettyWriter<rapidjson::StringBuffer>;

void write_string(json_writer& to, const std::string& text) {
    to.String(text.data(), static_cast<rapidjson::SizeType>(text.size()));
}

void write_value(json_writer& to, const inspected_value& value) {
    if (const auto* number = std::get_if<std::uint64_t>(&value)) {
        to.Uint64(*number);
    } else {
        write_string(to, std::get<std::string>(value));
    }
}

void write_entry(json_writer& to, const inspected_entry& entry) {
    to.StartObject();
    to.Key("start");
    to.Uint64(entry.start);
    to.Key("length");
    to.Uint64(entry.length);
    to.Key("moffset");
    to.Uint64(entry.moffset);
    to.Key("zeroed");
    to.Bool(entry.zeroed);
    to.EndObject();
}

std::string text_of(const inspected_value& value) {
    if (const auto* number = std::get_if<std::uint64_t>(&value)) return std::to_string(*number);
    return std::get<std::string>(value);
}

}  // namespace

std::string as_text(const inspection& what) {
    std::string text;
    for (const auto& part : what.parts) {
        text += part.what + "\n";
        std::size_t width = 0;
        for (const auto& [name, value] : part.fields) width = std::max(width, name.size());
        for (const auto& [name, value] : part.fields) {
            text += "  " + name + std::string(width - name.size() + 2, ' ') + text_of(value) + "\n";
        }
    }
    if (what.entries.empty()) return text;
    text += "entries (sectors)\n       start  length      moffset\n";
    for (const auto& entry : what.entries) {
        std::array<char, 80> line{};
        std::snprintf(line.data(), line.size(), "%12llu %7llu %12llu%s\n", static_cast<unsigned long long>(entry.start),
                      static_cast<unsigned long long>(entry.length), static_cast<unsigned long long>(entry.moffset),
                      entry.zeroed ? " zeroed" : "");
        text += line.data();
    }
    return text;
}

std::string as_json(const inspection& what) {
    rapidjson::StringBuffer buffer;
    json_writer to(buffer);
    to.StartObject();
    to.Key("parts");
    to.StartArray();
    for (const auto& part : what.parts) {
        to.StartObject();
        to.Key("what");
        write_string(to, part.what);
        for (const auto& [name, value] : part.fields) {
            to.Key(name.c_str());
            write_value(to, value);
        }
        to.EndObject();
    }
    to.EndArray();
    if (!what.entries.empty()) {
        to.Key("entries");
        to.StartArray();
        for (const auto& entry : what.entries) write_entry(to, entry);
        to.EndArray();
    }
    to.EndObject();
    return std::string(buffer.GetString(), buffer.GetSize()) + "\n";
}

}  // namespace obd::tools

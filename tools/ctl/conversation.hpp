// What every command that talks to the daemon does: call, complain, show. Only *commands.cpp use it.
#pragma once

#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "base/json/fields.hpp"
#include "tools/ctl/api_client.hpp"
#include "tools/ctl/commands.hpp"

namespace obd::ctl {

inline int complain(const session_options& with, std::string_view text, int code) {
    with.err << "overlaybdctl: " << text << "\n";
    return code;
}

/// The message in {"error": {"message": …}}, or the body as it is.
inline std::string error_message(const api_answer& answer) {
    const auto document = json::parse(answer.body, "answer");
    if (document && document->IsObject() && document->HasMember("error")) {
        const auto& error = (*document)["error"];
        if (error.IsObject() && error.HasMember("message") && error["message"].IsString()) {
            return error["message"].GetString();
        }
    }
    return "the daemon answered " + std::to_string(answer.status) + ": " + answer.body;
}

/// Calls the daemon and, when it agreed, shows the answer: raw, or through `print`.
template <typename Print>
int converse(const session_options& with, const api_call& call, Print print) {
    const auto answer = call_daemon(with.socket, call);
    if (!answer) {
        return complain(with, "cannot reach overlaybd-iscsid: " + answer.error().message(), unreachable);
    }
    if (!answer->ok()) return complain(with, error_message(*answer), failed);
    if (with.form == output_form::json) {
        with.out << answer->body;
        return done;
    }
    const auto document = json::parse(answer->body, "answer");
    if (!document) return complain(with, document.error().message(), failed);
    print(*document);
    return done;
}

// What the daemon sends is well-formed; a member of a later or earlier version that is missing reads as empty.

inline std::string text(const rapidjson::Value& object, const char* name) {
    const auto member = object.FindMember(name);
    if (member == object.MemberEnd() || !member->value.IsString()) return {};
    return member->value.GetString();
}

inline std::uint64_t number(const rapidjson::Value& object, const char* name) {
    const auto member = object.FindMember(name);
    return member != object.MemberEnd() && member->value.IsUint64() ? member->value.GetUint64() : 0;
}

inline bool flag(const rapidjson::Value& object, const char* name) {
    const auto member = object.FindMember(name);
    return member != object.MemberEnd() && member->value.IsBool() && member->value.GetBool();
}

inline std::vector<const rapidjson::Value*> elements(const rapidjson::Value& array) {
    std::vector<const rapidjson::Value*> found;
    if (!array.IsArray()) return found;
    for (const auto& element : array.GetArray()) found.push_back(&element);
    return found;
}

inline std::vector<const rapidjson::Value*> elements(const rapidjson::Value& object, const char* name) {
    const auto member = object.FindMember(name);
    return member == object.MemberEnd() ? std::vector<const rapidjson::Value*>{} : elements(member->value);
}

inline std::string export_path(const std::string& name) {
    return "/v1/exports/" + percent_encoded(name);
}

}  // namespace obd::ctl

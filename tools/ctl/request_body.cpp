#include "tools/ctl/request_body.hpp"

#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include "base/json/fields.hpp"
#include "tools/ctl/tables.hpp"

namespace obd::ctl {
namespace {

using writer = rapidjson::Writer<rapidjson::StringBuffer>;

void member(writer& out, const char* name, const std::string& value) {
    if (value.empty()) return;
    out.Key(name);
    out.String(value.c_str(), static_cast<rapidjson::SizeType>(value.size()));
}

std::string absolute(const std::string& path) {
    return path.empty() ? path : std::filesystem::absolute(path).lexically_normal().native();
}

/// Secrets come from a file: command lines are visible to every user of the host.
result<void> write_auth(writer& out, const std::string& path) {
    if (path.empty()) return {};
    TRY(const auto document, json::parse_file(path));
    if (!document.IsObject()) return fail(errc::invalid_argument, path + ": must hold a JSON object");
    out.Key("auth");
    document.Accept(out);
    return {};
}

void write_redirect(writer& out, const std::string& address, bool permanent) {
    out.StartObject();
    member(out, "address", address);
    out.Key("permanent");
    out.Bool(permanent);
    out.EndObject();
}

/// With clones, --writable and --upper are theirs: the kind of each and the folder of all.
result<void> write_writable(writer& out, const attach_options& what) {
    if (!what.quota.empty()) {
        std::uint64_t bytes = 0;
        if (!parse_size(what.quota, bytes)) {
            return fail(errc::invalid_argument, "\"" + what.quota + "\" is no size; try 20G");
        }
        out.Key("quota_bytes");
        out.Uint64(bytes);
    }
    if (what.clones.empty()) {
        member(out, "writable", what.writable);
        member(out, "upper", absolute(what.upper));
        return {};
    }
    out.Key("clones");
    out.StartObject();
    member(out, "mode", what.clones);
    member(out, "writable", what.writable);
    member(out, "root", absolute(what.upper));
    out.EndObject();
    return {};
}

}  // namespace

result<std::string> attach_body(const attach_options& what) {
    rapidjson::StringBuffer buffer;
    writer out(buffer);
    out.StartObject();
    member(out, "reference", what.reference);
    member(out, "config", absolute(what.config));
    member(out, "name", what.name);
    member(out, "target", what.target);
    TRYV(write_writable(out, what));
    if (!what.redirect.empty()) {
        out.Key("redirect");
        write_redirect(out, what.redirect, what.permanent);
    }
    if (what.lun) {
        out.Key("lun");
        out.Uint(*what.lun);
    }
    if (what.insecure) {
        out.Key("insecure");
        out.Bool(true);
    }
    if (what.removable) {
        out.Key("removable");
        out.Bool(true);
    }
    if (!what.initiators.empty()) {
        out.Key("allowed_initiators");
        out.StartArray();
        for (const auto& name : what.initiators)
            out.String(name.c_str(), static_cast<rapidjson::SizeType>(name.size()));
        out.EndArray();
    }
    TRYV(write_auth(out, what.chap_file));
    out.EndObject();
    return std::string(buffer.GetString(), buffer.GetSize());
}

result<std::string> snapshot_body(const snapshot_options& what) {
    rapidjson::StringBuffer buffer;
    writer out(buffer);
    out.StartObject();
    member(out, "upper", absolute(what.upper));
    out.EndObject();
    return std::string(buffer.GetString(), buffer.GetSize());
}

std::string quota_body(const std::string& initiator, std::uint64_t bytes) {
    rapidjson::StringBuffer buffer;
    writer out(buffer);
    out.StartObject();
    member(out, "initiator", initiator);
    out.Key("quota_bytes");
    out.Uint64(bytes);
    out.EndObject();
    return std::string(buffer.GetString(), buffer.GetSize());
}

std::string redirect_body(const redirect_options& what) {
    if (what.address == "none") return "{}";
    rapidjson::StringBuffer buffer;
    writer out(buffer);
    write_redirect(out, what.address, what.permanent);
    return std::string(buffer.GetString(), buffer.GetSize());
}

std::string commit_body(const std::string& file) {
    rapidjson::StringBuffer buffer;
    writer out(buffer);
    out.StartObject();
    member(out, "file", absolute(file));
    out.EndObject();
    return std::string(buffer.GetString(), buffer.GetSize());
}

std::string resize_body(std::uint64_t size_bytes) {
    return "{\"size_bytes\": " + std::to_string(size_bytes) + "}";
}

}  // namespace obd::ctl

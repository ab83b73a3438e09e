#include "tools/ctl/commands.hpp"

#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include <algorithm>
#include <ostream>

#include "base/json/fields.hpp"
#include "tools/ctl/conversation.hpp"
#include "tools/ctl/request_body.hpp"
#include "tools/ctl/tables.hpp"

namespace obd::ctl {
namespace {

std::string joined(const rapidjson::Value& object, const char* name) {
    std::string all;
    for (const auto* element : elements(object, name)) {
        if (!all.empty()) all += ", ";
        all += element->IsString() ? element->GetString() : "?";
    }
    return all;
}

std::string plural(std::size_t count, std::string_view noun) {
    return std::to_string(count) + " " + std::string(noun) + (count == 1 ? "" : "s");
}

/// An address that can be typed on another host.
std::string reachable(std::string portal) {
    for (const std::string any : {"0.0.0.0:", "[::]:"}) {
        if (portal.starts_with(any)) return "ADDRESS-OF-THIS-HOST:" + portal.substr(any.size());
    }
    return portal;
}

void print_next_steps(std::ostream& out, const rapidjson::Value& answer) {
    const auto portals = elements(answer, "portals");
    if (portals.empty() || !portals.front()->IsString()) return;
    const auto portal = reachable(portals.front()->GetString());
    const auto target = text(answer, "target");
    const auto lun = std::to_string(number(answer, "lun"));
    out << "\nOn the initiator:\n"
        << "  iscsiadm -m discovery -t sendtargets -p " << portal << "\n"
        << "  iscsiadm -m node -T " << target << " -p " << portal << " --login\n"
        << "  mount " << (flag(answer, "read_only") ? "-o ro " : "") << "/dev/disk/by-path/ip-" << portal << "-iscsi-"
        << target << "-lun-" << lun << " /mnt\n"
        << "and when done:\n"
        << "  umount /mnt; iscsiadm -m node -T " << target << " -p " << portal << " --logout\n"
        << "  overlaybdctl detach " << text(answer, "name") << "\n";
}

void print_attached(std::ostream& out, const rapidjson::Value& answer) {
    out << "attached " << text(answer, "name") << ": " << human_size(number(answer, "size_bytes")) << ", "
        << (answer.HasMember("clones")  ? "a clone for each initiator"
            : flag(answer, "read_only") ? "read-only"
                                        : "writable")
        << ", " << plural(elements(answer, "layers").size(), "layer") << "\n  target   " << text(answer, "target")
        << "\n  LUN      " << number(answer, "lun") << "\n  portals  " << joined(answer, "portals") << "\n";
    print_next_steps(out, answer);
}

std::string access_of(const rapidjson::Value& one) {
    if (one.HasMember("clones")) return "clones";
    return flag(one, "read_only") ? "ro" : "rw";
}

void print_list(std::ostream& out, const rapidjson::Value& answer) {
    table exports({"NAME", "STATE", "SIZE", "ACCESS", "LAYERS", "FETCHED", "INITIATORS", "LUN", "TARGET", "IMAGE"});
    for (const auto* one : elements(answer)) {
        exports.row({text(*one, "name"), text(*one, "state"), human_size(number(*one, "size_bytes")), access_of(*one),
                     std::to_string(elements(*one, "layers").size()), human_size(number(*one, "fetched_bytes")),
                     std::to_string(elements(*one, "initiators").size()), std::to_string(number(*one, "lun")),
                     text(*one, "target"), text(*one, "image")});
    }
    out << exports.text();
}

template <typename Fact>
void print_clone_facts(const rapidjson::Value& answer, const Fact& fact) {
    const auto size = [&](const char* title, const char* member) {
        if (number(answer, member) != 0) fact(title, human_size(number(answer, member)));
    };
    const auto clones = answer.FindMember("clones");
    if (clones != answer.MemberEnd() && clones->value.IsObject()) {
        const auto& all = clones->value;
        fact("clones", text(all, "mode") + ", " + text(all, "writable") + ": " + std::to_string(number(all, "count")) +
                           ", open: " + std::to_string(number(all, "open")));
        fact("root", text(all, "root"));
    }
    size("written", "upper_used_bytes");
    size("quota", "quota_bytes");
    const auto redirect = answer.FindMember("redirect");
    if (redirect != answer.MemberEnd() && redirect->value.IsObject()) {
        fact("redirect", text(redirect->value, "address") + (flag(redirect->value, "permanent") ? ", for good" : ""));
    }
}

void print_export(std::ostream& out, const rapidjson::Value& answer) {
    table facts({});
    const auto fact = [&](const char* title, const std::string& value) {
        if (!value.empty()) facts.row({title, value});
    };
    fact("name", text(answer, "name"));
    fact("state", text(answer, "state"));
    fact("reason", text(answer, "reason"));
    fact("image", text(answer, "image"));
    fact("digest", text(answer, "digest"));
    fact("target", text(answer, "target"));
    fact("LUN", std::to_string(number(answer, "lun")));
    fact("portals", joined(answer, "portals"));
    fact("size",
         human_size(number(answer, "size_bytes")) + " (" + std::to_string(number(answer, "size_bytes")) + " bytes)");
    fact("access", flag(answer, "read_only") ? "read-only" : "writable");
    fact("medium", flag(answer, "removable") ? "removable" : "");
    fact("upper", text(answer, "upper"));
    print_clone_facts(answer, fact);
    fact("serial", text(answer, "serial"));
    fact("NAA", text(answer, "naa"));
    fact("CHAP", flag(answer, "chap") ? "required" : "");
    fact("allowed", joined(answer, "allowed_initiators"));
    fact("initiators", joined(answer, "initiators"));
    fact("fetched", human_size(number(answer, "fetched_bytes")));
    auto rest = facts.text();
    out << rest.substr(rest.find('\n') + 1);  // the row of titles is empty

    table layers({"LAYER", "SIZE", "FETCHED", "FORM"});
    for (const auto* one : elements(answer, "layers")) {
        layers.row({text(*one, "name"), human_size(number(*one, "size_bytes")),
                    human_size(number(*one, "fetched_bytes")), text(*one, "form")});
    }
    out << "\n" << layers.text();
}

void print_sessions(std::ostream& out, const rapidjson::Value& answer) {
    table all({"ID", "INITIATOR", "TARGET", "PEER", "PORTAL", "COMMANDS", "READ", "WRITTEN", "DIGESTS", "SINCE"});
    for (const auto* one : elements(answer)) {
        const std::string digests =
            std::string(flag(*one, "header_digest") ? "header " : "") + (flag(*one, "data_digest") ? "data" : "");
        const auto target = text(*one, "target");
        all.row({std::to_string(number(*one, "id")), text(*one, "initiator"), target.empty() ? "(discovery)" : target,
                 text(*one, "peer"), text(*one, "portal"), std::to_string(number(*one, "commands")),
                 human_size(number(*one, "read_bytes")), human_size(number(*one, "written_bytes")),
                 digests.empty() ? "none" : digests, text(*one, "since")});
    }
    out << all.text();
}

}  // namespace

int attach(const session_options& with, const attach_options& what) {
    const auto body = attach_body(what);
    if (!body) return complain(with, body.error().message(), wrong_usage);
    return converse(with, {"POST", "/v1/exports", *body},
                    [&](const rapidjson::Value& answer) { print_attached(with.out, answer); });
}

int detach(const session_options& with, const std::string& name) {
    return converse(with, {"DELETE", export_path(name), ""},
                    [&](const rapidjson::Value&) { with.out << "detached " << name << "\n"; });
}

int list(const session_options& with) {
    return converse(with, {"GET", "/v1/exports", ""},
                    [&](const rapidjson::Value& answer) { print_list(with.out, answer); });
}

int show(const session_options& with, const std::string& name) {
    return converse(with, {"GET", export_path(name), ""},
                    [&](const rapidjson::Value& answer) { print_export(with.out, answer); });
}

int sessions(const session_options& with) {
    return converse(with, {"GET", "/v1/sessions", ""},
                    [&](const rapidjson::Value& answer) { print_sessions(with.out, answer); });
}

int version(const session_options& with) {
    return converse(with, {"GET", "/v1/version", ""}, [&](const rapidjson::Value& answer) {
        with.out << "overlaybdctl " << OBD_VERSION << "\n"
                 << text(answer, "program") << " " << text(answer, "version") << " on " << joined(answer, "portals")
                 << "\n";
    });
}

int snapshot(const session_options& with, const snapshot_options& what) {
    const auto body = snapshot_body(what);
    if (!body) return complain(with, body.error().message(), wrong_usage);
    return converse(with, {"POST", export_path(what.name) + "/snapshot", *body}, [&](const rapidjson::Value& answer) {
        with.out << "sealed " << text(answer, "sealed") << "\n"
                 << "writing to " << text(answer, "data") << "; writes waited " << number(answer, "pause_us")
                 << " us\n";
    });
}

int resize(const session_options& with, const std::string& name, const std::string& size) {
    std::uint64_t bytes = 0;
    if (!parse_size(size, bytes)) return complain(with, "\"" + size + "\" is no size; try 20G", wrong_usage);
    return converse(with, {"POST", export_path(name) + "/resize", resize_body(bytes)},
                    [&](const rapidjson::Value& answer) {
                        with.out << name << " has " << human_size(number(answer, "size_bytes")) << " now\n";
                    });
}

}  // namespace obd::ctl

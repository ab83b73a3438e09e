// Clones, quotas, redirection.
#include "tools/ctl/conversation.hpp"
#include "tools/ctl/request_body.hpp"
#include "tools/ctl/tables.hpp"

namespace obd::ctl {
namespace {

std::string clone_path(const clone_options& what) {
    return export_path(what.name) + "/clones/" + percent_encoded(what.initiator);
}

void print_clones(std::ostream& out, const rapidjson::Value& answer) {
    table all({"INITIATOR", "MODE", "SESSIONS", "USED", "QUOTA", "READ", "WRITTEN", "SERIAL", "CREATED"});
    for (const auto* one : elements(answer)) {
        const auto quota = number(*one, "quota_bytes");
        all.row({text(*one, "initiator"), text(*one, "mode"), std::to_string(number(*one, "sessions")),
                 human_size(number(*one, "used_bytes")), quota == 0 ? "none" : human_size(quota),
                 human_size(number(*one, "read_bytes")), human_size(number(*one, "written_bytes")),
                 text(*one, "serial"), text(*one, "created")});
    }
    out << all.text();
}

}  // namespace

int quota(const session_options& with, const quota_options& what) {
    std::uint64_t bytes = 0;
    if (what.size != "none" && (!parse_size(what.size, bytes) || bytes == 0)) {
        return complain(with, "\"" + what.size + "\" is no size; try 20G, or none", wrong_usage);
    }
    const auto& whose = what.initiator.empty() ? what.name : what.initiator;
    return converse(with, {"POST", export_path(what.name) + "/quota", quota_body(what.initiator, bytes)},
                    [&](const rapidjson::Value&) {
                        with.out << "quota of " << whose << ": " << (bytes == 0 ? "none" : human_size(bytes)) << "\n";
                    });
}

int redirect(const session_options& with, const redirect_options& what) {
    return converse(
        with, {"POST", export_path(what.name) + "/redirect", redirect_body(what)}, [&](const rapidjson::Value& answer) {
            with.out << "logins to " << text(answer, "target")
                     << (what.address == "none" ? " are served here" : " are sent to " + what.address) << "\n";
        });
}

int clone_list(const session_options& with, const std::string& name) {
    return converse(with, {"GET", export_path(name) + "/clones", ""},
                    [&](const rapidjson::Value& answer) { print_clones(with.out, answer); });
}

int clone_keep(const session_options& with, const clone_options& what) {
    return converse(with, {"POST", clone_path(what) + "/keep", ""}, [&](const rapidjson::Value&) {
        with.out << "the clone of " << what.initiator << " is kept at logout\n";
    });
}

int clone_commit(const session_options& with, const clone_options& what) {
    return converse(with, {"POST", clone_path(what) + "/commit", commit_body(what.file)},
                    [&](const rapidjson::Value& answer) {
                        with.out << "committed " << text(answer, "file") << "\n"
                                 << human_size(number(answer, "size_bytes")) << ", " << text(answer, "digest")
                                 << "; writes waited " << number(answer, "pause_us") << " us\n";
                    });
}

int clone_remove(const session_options& with, const clone_options& what) {
    return converse(with, {"DELETE", clone_path(what) + (what.force ? "?force=true" : ""), ""},
                    [&](const rapidjson::Value&) { with.out << "removed the clone of " << what.initiator << "\n"; });
}

}  // namespace obd::ctl

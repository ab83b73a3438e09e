#include "server/admin/attach_body.hpp"

#include <limits>

#include "base/json/fields.hpp"
#include "protocol/scsi/device_server.hpp"
#include "server/catalog/names.hpp"

namespace obd::server {
namespace {

failure refused(const json::object& at, std::string_view what) {
    return fail(errc::invalid_argument, at.where() + ": " + std::string(what));
}

result<void> no_unknown_members(const json::object& at) {
    const auto unknown = at.unknown_members();
    if (unknown.empty()) return {};
    return refused(at, "unknown member \"" + unknown.front() + "\"");
}

result<std::optional<iscsi::chap_credentials>> read_auth(const json::object& root) {
    if (!root.has("auth")) return std::optional<iscsi::chap_credentials>{};
    TRY(const auto at, root.child("auth"));
    iscsi::chap_credentials auth;
    TRY(auth.user, at.string("user", ""));
    TRY(auth.secret, at.string("secret", ""));
    TRY(auth.mutual_user, at.string("mutual_user", ""));
    TRY(auth.mutual_secret, at.string("mutual_secret", ""));
    TRYV(no_unknown_members(at));
    if (auth.user.empty()) return refused(at, "\"user\" is missing");
    if (auth.secret.size() < 12)
        return refused(at, "\"secret\" needs at least 12 characters (RFC 7143 asks for 96 bits)");
    if (auth.mutual_user.empty() != auth.mutual_secret.empty()) {
        return refused(at, "\"mutual_user\" and \"mutual_secret\" go together");
    }
    if (!auth.mutual_user.empty() && auth.mutual_secret.size() < 12) {
        return refused(at, "\"mutual_secret\" needs at least 12 characters (RFC 7143 asks for 96 bits)");
    }
    if (auth.mutual_secret == auth.secret) return refused(at, "\"mutual_secret\" must differ from \"secret\"");
    return std::optional(std::move(auth));
}

result<upper_kind> read_writable(const json::object& root) {
    TRY(const auto kind, root.string("writable", "none"));
    if (kind == "none") return upper_kind::none;
    if (kind == "append") return upper_kind::append;
    if (kind == "sparse") return upper_kind::sparse;
    return refused(root, "\"writable\" must be \"append\", \"sparse\" or \"none\"");
}

result<image_origin> read_image_origin(const json::object& root) {
    image_origin origin;
    TRY(origin.reference, root.string("reference", ""));
    TRY(origin.config, root.string("config", ""));
    TRY(const bool insecure, root.boolean("insecure", false));
    TRY(origin.upper, read_writable(root));
    TRY(origin.upper_dir, root.string("upper", ""));
    if (origin.reference.empty() == origin.config.empty()) {
        return refused(root, "either \"reference\" or \"config\" must be given");
    }
    if (!origin.config.empty() && !origin.config.is_absolute())
        return refused(root, "\"config\" must be an absolute path");
    if (!origin.upper_dir.empty() && !origin.upper_dir.is_absolute()) {
        return refused(root, "\"upper\" must be an absolute path");
    }
    if (!origin.upper_dir.empty() && origin.upper == upper_kind::none) {
        return refused(root, "\"upper\" needs \"writable\"");
    }
    if (insecure) origin.security = registry::transport_security::insecure;
    return origin;
}

/// "clones": {"mode": "keep" or "discard", "writable": "append" or "sparse", "root": folder}; the origin stays
/// read-only.
result<std::optional<clone_settings>> read_clones(const json::object& root) {
    if (!root.has("clones")) return std::optional<clone_settings>{};
    TRY(const auto at, root.child("clones"));
    TRY(const auto mode, at.string("mode", "keep"));
    TRY(const auto kind, at.string("writable", "append"));
    clone_settings clones;
    TRY(clones.root, at.string("root", ""));
    TRYV(no_unknown_members(at));
    const auto parsed = parse_clone_mode(mode);
    if (!parsed) return refused(at, "\"mode\" must be \"keep\" or \"discard\"");
    if (kind != "append" && kind != "sparse") return refused(at, "\"writable\" must be \"append\" or \"sparse\"");
    if (!clones.root.empty() && !clones.root.is_absolute()) return refused(at, "\"root\" must be an absolute path");
    clones.mode = *parsed;
    clones.kind = kind == "sparse" ? upper_kind::sparse : upper_kind::append;
    return std::optional(std::move(clones));
}

result<std::optional<byte_count>> read_quota(const json::object& root) {
    if (!root.has("quota_bytes")) return std::optional<byte_count>{};
    TRY(const auto quota, root.integer("quota_bytes", 0, {0, std::numeric_limits<std::int64_t>::max()}));
    return std::optional(byte_count{static_cast<std::uint64_t>(quota)});
}

/// Of an object {"address": …, "permanent": …}.
result<iscsi::redirection> read_redirect(const json::object& at) {
    using kind = iscsi::redirection::kind;
    TRY(const auto address, at.string("address", ""));
    TRY(const bool permanent, at.boolean("permanent", false));
    TRYV(no_unknown_members(at));
    return parse_redirect(address, permanent ? kind::permanent : kind::temporary);
}

}  // namespace

result<attach_request> parse_attach_body(std::string_view body) {
    TRY(const auto document, json::parse(body, "request"));
    const json::object root(document, "request");
    attach_request request;
    TRY(request.origin, read_image_origin(root));
    TRY(request.name, root.string("name", ""));
    TRY(request.target, root.string("target", ""));
    TRY(const auto lun, root.integer("lun", 0, {0, scsi::max_lun}));
    if (root.has("lun")) request.lun = static_cast<std::uint16_t>(lun);
    TRY(request.access.initiators, root.strings("allowed_initiators"));
    TRY(request.access.auth, read_auth(root));
    TRY(request.clones, read_clones(root));
    TRY(request.quota, read_quota(root));
    if (root.has("redirect")) {
        TRY(const auto at, root.child("redirect"));
        TRY(request.redirect, read_redirect(at));
    }
    TRY(request.removable, root.boolean("removable", false));
    TRYV(no_unknown_members(root));
    return request;
}

result<std::filesystem::path> parse_snapshot_body(std::string_view body) {
    if (body.empty()) return std::filesystem::path();
    TRY(const auto document, json::parse(body, "request"));
    const json::object root(document, "request");
    TRY(std::filesystem::path folder, root.string("upper", ""));
    TRYV(no_unknown_members(root));
    if (!folder.empty() && !folder.is_absolute()) return refused(root, "\"upper\" must be an absolute path");
    return folder;
}

result<quota_request> parse_quota_body(std::string_view body) {
    TRY(const auto document, json::parse(body, "request"));
    const json::object root(document, "request");
    quota_request asked;
    TRY(asked.initiator, root.string("initiator", ""));
    TRY(const auto quota, read_quota(root));
    TRYV(no_unknown_members(root));
    if (!quota) return refused(root, "\"quota_bytes\" is missing");
    asked.quota = *quota;
    return asked;
}

result<std::optional<iscsi::redirection>> parse_redirect_body(std::string_view body) {
    TRY(const auto document, json::parse(body, "request"));
    const json::object root(document, "request");
    if (!root.has("address")) {
        TRYV(no_unknown_members(root));
        return std::optional<iscsi::redirection>{};
    }
    TRY(auto parsed, read_redirect(root));
    return std::optional(std::move(parsed));
}

result<std::filesystem::path> parse_commit_body(std::string_view body) {
    if (body.empty()) return std::filesystem::path();
    TRY(const auto document, json::parse(body, "request"));
    const json::object root(document, "request");
    TRY(std::filesystem::path file, root.string("file", ""));
    TRYV(no_unknown_members(root));
    if (!file.empty() && !file.is_absolute()) return refused(root, "\"file\" must be an absolute path");
    return file;
}

result<byte_count> parse_resize_body(std::string_view body) {
    TRY(const auto document, json::parse(body, "request"));
    const json::object root(document, "request");
    TRY(const auto size, root.integer("size_bytes", 0, {0, std::numeric_limits<std::int64_t>::max()}));
    TRYV(no_unknown_members(root));
    return byte_count{static_cast<std::uint64_t>(size)};
}

}  // namespace obd::server

#include "server/admin/attach_body.hpp"

#include <limits>

#include "base/json/fields.hpp"
#include "protocol/scsi/device_server.hpp"

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

result<byte_count> parse_resize_body(std::string_view body) {
    TRY(const auto document, json::parse(body, "request"));
    const json::object root(document, "request");
    TRY(const auto size, root.integer("size_bytes", 0, {0, std::numeric_limits<std::int64_t>::max()}));
    TRYV(no_unknown_members(root));
    return byte_count{static_cast<std::uint64_t>(size)};
}

}  // namespace obd::server

#include "server/state/codec.hpp"

#include <algorithm>
#include <limits>

#include "base/digest.hpp"
#include "base/json/fields.hpp"
#include "base/limits.hpp"
#include "protocol/scsi/device_server.hpp"
#include "server/catalog/names.hpp"
#include "server/state/json_writer.hpp"

namespace obd::server {
namespace {

constexpr json::integer_range any_size{0, std::numeric_limits<std::int64_t>::max()};

failure damaged(const json::object& at, std::string_view what) {
    return fail(errc::corrupt, at.where() + ": " + std::string(what));
}

void write_origin(json_writer& out, const image_origin& origin) {
    out.key("origin").begin_object();
    if (!origin.reference.empty()) out.member("reference", origin.reference);
    if (!origin.config.empty()) out.member("config", origin.config.native());
    out.member("insecure", origin.security == registry::transport_security::insecure);
    out.member("upper", to_string(origin.upper));
    if (!origin.upper_dir.empty()) out.member("upperDir", origin.upper_dir.native());
    out.end_object();
}

result<image_origin> read_origin(const json::object& record) {
    image_origin origin;
    TRY(const auto at, record.child("origin"));
    TRY(origin.reference, at.string("reference", ""));
    TRY(origin.config, at.string("config", ""));
    TRY(const bool insecure, at.boolean("insecure", false));
    TRY(const auto upper, at.string("upper", "none"));
    TRY(origin.upper_dir, at.string("upperDir", ""));
    if (origin.reference.empty() == origin.config.empty()) return damaged(at, "needs a reference or a config");
    if (insecure) origin.security = registry::transport_security::insecure;
    const auto kinds = {upper_kind::none, upper_kind::append, upper_kind::sparse};
    const auto* kind = std::find_if(kinds.begin(), kinds.end(), [&](upper_kind k) { return to_string(k) == upper; });
    if (kind == kinds.end()) return damaged(at, "\"upper\" is unknown");
    origin.upper = *kind;
    return origin;
}

void write_pinned(json_writer& out, const pinned_image& pinned) {
    out.key("pinned").begin_object();
    out.member("repoBlobUrl", pinned.repo_blob_url).member("manifest", pinned.manifest_digest);
    out.key("layers").begin_array();
    for (const auto& layer : pinned.layers) {
        out.begin_object().member("digest", layer.digest).member("size", layer.size.value);
        out.member("mediaType", layer.media_type).end_object();
    }
    out.end_array().end_object();
}

result<pinned_image> read_pinned(const json::object& at) {
    pinned_image pinned;
    TRY(pinned.repo_blob_url, at.string("repoBlobUrl", ""));
    TRY(pinned.manifest_digest, at.string("manifest", ""));
    TRY(const auto layers, at.objects("layers"));
    if (layers.size() > limits::layers_per_image) return damaged(at, "too many layers");
    for (const auto& entry : layers) {
        registry::layer_descriptor layer;
        TRY(layer.digest, entry.string("digest", ""));
        TRY(const auto size, entry.integer("size", 0, any_size));
        TRY(layer.media_type, entry.string("mediaType", ""));
        if (!is_sha256_digest(layer.digest)) return damaged(entry, "\"digest\" is none");
        layer.size = {static_cast<std::uint64_t>(size)};
        pinned.layers.push_back(std::move(layer));
    }
    return pinned;
}

void write_access(json_writer& out, const access_rules& access) {
    if (access.auth) {
        out.key("auth").begin_object().member("user", access.auth->user).member("secret", access.auth->secret);
        out.member("mutualUser", access.auth->mutual_user)
            .member("mutualSecret", access.auth->mutual_secret)
            .end_object();
    }
    out.strings("allowedInitiators", access.initiators);
}

result<access_rules> read_access(const json::object& record) {
    access_rules access;
    TRY(access.initiators, record.strings("allowedInitiators"));
    TRY(const auto at, record.child("auth"));
    if (!record.has("auth")) return access;
    auto& auth = access.auth.emplace();
    TRY(auth.user, at.string("user", ""));
    TRY(auth.secret, at.string("secret", ""));
    TRY(auth.mutual_user, at.string("mutualUser", ""));
    TRY(auth.mutual_secret, at.string("mutualSecret", ""));
    if (auth.user.empty() || auth.secret.empty()) return damaged(at, "needs a user and a secret");
    return access;
}

void write_seen(json_writer& out, const seen_unit& seen) {
    const auto& geometry = seen.geometry;
    out.key("seen").begin_object().member("content", seen.content).member("designator", seen.designator);
    out.member("size", geometry.size.value);
    out.member("logicalBlock", geometry.logical_block_bytes).member("physicalBlock", geometry.physical_block_bytes);
    out.member("writable", geometry.access == access_mode::read_write);
    out.member("discardGranularity", geometry.discard_granularity_bytes);
    out.member("maxAtomicWrite", geometry.max_atomic_write_bytes);
    out.member("optimalTransfer", geometry.optimal_transfer_bytes).end_object();
}

result<seen_unit> read_seen(const json::object& at) {
    constexpr json::integer_range block{512, 65536};
    constexpr json::integer_range any_count{0, std::numeric_limits<std::uint32_t>::max()};
    seen_unit seen;
    auto& geometry = seen.geometry;
    TRY(seen.content, at.string("content", ""));
    TRY(seen.designator, at.string("designator", seen.content));
    TRY(const auto size, at.integer("size", 0, any_size));
    TRY(const auto logical, at.integer("logicalBlock", 512, block));
    TRY(const auto physical, at.integer("physicalBlock", 512, block));
    TRY(const bool writable, at.boolean("writable", false));
    TRY(const auto granularity, at.integer("discardGranularity", 0, any_count));
    TRY(const auto atomic, at.integer("maxAtomicWrite", 0, any_count));
    TRY(const auto optimal, at.integer("optimalTransfer", 0, any_count));
    const bool blocks = is_power_of_two(static_cast<std::uint64_t>(logical)) &&
                        is_power_of_two(static_cast<std::uint64_t>(physical)) && size % logical == 0;
    if (!blocks) return damaged(at, "impossible block sizes");
    for (const auto& text : {seen.content, seen.designator}) {
        const auto hash = from_hex(text);
        if (!hash || hash->size() != 32) return damaged(at, "\"" + text + "\" is no SHA-256");
    }
    geometry.size = {static_cast<std::uint64_t>(size)};
    geometry.logical_block_bytes = static_cast<std::uint32_t>(logical);
    geometry.physical_block_bytes = static_cast<std::uint32_t>(physical);
    geometry.access = writable ? access_mode::read_write : access_mode::read_only;
    geometry.discard_granularity_bytes = static_cast<std::uint32_t>(granularity);
    geometry.max_atomic_write_bytes = static_cast<std::uint32_t>(atomic);
    geometry.optimal_transfer_bytes = static_cast<std::uint32_t>(optimal);
    return seen;
}

void write_clones(json_writer& out, const clone_settings& clones) {
    out.key("clones").begin_object().member("mode", to_string(clones.mode)).member("upper", to_string(clones.kind));
    out.member("root", clones.root.native()).end_object();
}

result<std::optional<clone_settings>> read_clones(const json::object& record) {
    if (!record.has("clones")) return std::optional<clone_settings>{};
    TRY(const auto at, record.child("clones"));
    TRY(const auto mode, at.string("mode", ""));
    TRY(const auto kind, at.string("upper", ""));
    clone_settings clones;
    TRY(clones.root, at.string("root", ""));
    const auto parsed = parse_clone_mode(mode);
    const bool known = kind == to_string(upper_kind::append) || kind == to_string(upper_kind::sparse);
    if (!parsed || !known || clones.root.empty()) return damaged(at, "impossible settings");
    clones.mode = *parsed;
    clones.kind = kind == to_string(upper_kind::append) ? upper_kind::append : upper_kind::sparse;
    return std::optional(std::move(clones));
}

void write_redirect(json_writer& out, const iscsi::redirection& redirect) {
    out.key("redirect").begin_object().member("address", redirect.address);
    out.member("permanent", redirect.how == iscsi::redirection::kind::permanent).end_object();
}

result<std::optional<iscsi::redirection>> read_redirect(const json::object& record) {
    if (!record.has("redirect")) return std::optional<iscsi::redirection>{};
    TRY(const auto at, record.child("redirect"));
    TRY(const auto address, at.string("address", ""));
    TRY(const bool permanent, at.boolean("permanent", false));
    using kind = iscsi::redirection::kind;
    TRY(auto parsed, parse_redirect(address, permanent ? kind::permanent : kind::temporary));
    return std::optional(std::move(parsed));
}

result<export_record> read_record(const json::object& at) {
    export_record record;
    TRY(record.name, at.string("name", ""));
    TRY(record.target, at.string("target", ""));
    TRY(const auto lun, at.integer("lun", 0, {0, scsi::max_lun}));
    TRYV(check_export_name(record.name));
    TRYV(target_name(record.target, ""));
    record.lun = static_cast<std::uint16_t>(lun);
    TRY(record.origin, read_origin(at));
    TRY(record.access, read_access(at));
    TRY(record.clones, read_clones(at));
    TRY(const auto quota, at.integer("quota", 0, any_size));
    record.quota = {static_cast<std::uint64_t>(quota)};
    TRY(record.redirect, read_redirect(at));
    TRY(record.removable, at.boolean("removable", false));
    if (at.has("pinned")) {
        TRY(const auto nested, at.child("pinned"));
        TRY(record.pinned, read_pinned(nested));
    }
    if (!at.has("seen")) return damaged(at, "\"seen\" is missing");
    TRY(const auto seen, at.child("seen"));
    TRY(record.seen, read_seen(seen));
    return record;
}

result<void> check_version(const json::object& root) {
    TRY(const auto version, root.integer("version", 0, {0, 1'000'000}));
    if (version == state_version) return {};
    if (version == 0) return damaged(root, "no version");
    return fail(errc::unsupported, root.where() + ": written by a later version of this program");
}

}  // namespace

std::string encode_exports(const std::vector<export_record>& records) {
    json_writer out;
    out.begin_object().member("version", state_version).key("exports").begin_array();
    for (const auto& record : records) {
        out.begin_object().member("name", record.name).member("target", record.target).member("lun", record.lun);
        write_origin(out, record.origin);
        write_access(out, record.access);
        if (record.clones) write_clones(out, *record.clones);
        if (record.quota.value != 0) out.member("quota", record.quota.value);
        if (record.redirect) write_redirect(out, *record.redirect);
        if (record.removable) out.member("removable", true);
        if (record.pinned) write_pinned(out, *record.pinned);
        if (record.seen) write_seen(out, *record.seen);
        out.end_object();
    }
    out.end_array().end_object();
    return out.text();
}

result<std::vector<export_record>> decode_exports(std::string_view text, std::string_view where) {
    TRY(const auto document, json::parse(text, where));
    const json::object root(document, std::string(where));
    TRYV(check_version(root));
    TRY(const auto entries, root.objects("exports"));
    std::vector<export_record> records;
    for (const auto& entry : entries) {
        TRY(auto record, read_record(entry));
        const auto clashes = [&](const export_record& other) {
            return other.name == record.name || (other.target == record.target && other.lun == record.lun);
        };
        if (std::any_of(records.begin(), records.end(), clashes)) return damaged(entry, "occurs twice");
        records.push_back(std::move(record));
    }
    return records;
}

std::string encode_unit_state(const scsi::persistent_state& state) {
    const auto& reservations = state.reservations;
    json_writer out;
    out.begin_object().member("version", state_version).member("aptpl", reservations.aptpl);
    if (reservations.held) out.member("held", static_cast<int>(*reservations.held));
    if (reservations.holder) out.member("holder", std::uint64_t{*reservations.holder});
    out.key("registrations").begin_array();
    for (const auto& one : reservations.registrations) {
        out.begin_object().member("initiator", one.port.name).member("isid", to_hex(one.port.isid));
        out.member("relativePort", one.relative_target_port);
        const auto key = boost::endian::native_to_big(one.key);
        out.member("key", to_hex(bytes_of(key))).end_object();
    }
    out.end_array();
    out.member("descriptorSense", state.saved_mode.descriptor_sense);
    out.member("softwareWriteProtect", state.saved_mode.software_write_protect);
    out.member("writeCacheEnabled", state.saved_mode.write_cache_enabled);
    const bool unfinished = state.sanitize != scsi::unfinished_sanitize::none;
    if (unfinished) out.member("unfinishedSanitize", static_cast<int>(state.sanitize));
    out.end_object();
    return out.text();
}

namespace {

result<scsi::registration> read_registration(const json::object& at) {
    scsi::registration one;
    TRY(one.port.name, at.string("initiator", ""));
    TRY(const auto isid, at.string("isid", ""));
    TRY(const auto relative, at.integer("relativePort", 1, {1, 65535}));
    TRY(const auto key, at.string("key", ""));
    const auto isid_bytes = from_hex(isid);
    const auto key_bytes = from_hex(key);
    if (!isid_bytes || isid_bytes->size() != one.port.isid.size()) return damaged(at, "\"isid\" is none");
    if (!key_bytes || key_bytes->size() != sizeof(one.key)) return damaged(at, "\"key\" is none");
    std::copy(isid_bytes->begin(), isid_bytes->end(), one.port.isid.begin());
    one.relative_target_port = static_cast<std::uint16_t>(relative);
    one.key = boost::endian::big_to_native(load<std::uint64_t>(*key_bytes));
    return one;
}

bool is_reservation_type(std::int64_t value) {
    return value == 1 || value == 3 || (value >= 5 && value <= 8);
}

}  // namespace

result<scsi::persistent_state> decode_unit_state(std::string_view text, std::string_view where) {
    TRY(const auto document, json::parse(text, where));
    const json::object root(document, std::string(where));
    TRYV(check_version(root));
    scsi::persistent_state state;
    auto& reservations = state.reservations;
    TRY(reservations.aptpl, root.boolean("aptpl", false));
    TRY(const auto entries, root.objects("registrations"));
    for (const auto& entry : entries) {
        TRY(auto one, read_registration(entry));
        reservations.registrations.push_back(std::move(one));
    }
    TRY(const auto held, root.integer("held", 0, {0, 8}));
    if (root.has("held") && !is_reservation_type(held)) return damaged(root, "\"held\" is no reservation type");
    if (root.has("held")) reservations.held = static_cast<scsi::reservation_type>(held);
    if (root.has("holder")) {
        const auto last = static_cast<std::int64_t>(reservations.registrations.size()) - 1;
        TRY(const auto holder, root.integer("holder", 0, {0, last}));
        reservations.holder = static_cast<std::size_t>(holder);
    }
    auto& mode = state.saved_mode;
    TRY(mode.descriptor_sense, root.boolean("descriptorSense", false));
    TRY(mode.software_write_protect, root.boolean("softwareWriteProtect", false));
    TRY(mode.write_cache_enabled, root.boolean("writeCacheEnabled", true));
    TRY(const auto sanitize, root.integer("unfinishedSanitize", 0, {0, 2}));
    state.sanitize = static_cast<scsi::unfinished_sanitize>(sanitize);
    return state;
}

}  // namespace obd::server

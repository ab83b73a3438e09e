#include "server/config/sections.hpp"

#include <limits>

#include "base/limits.hpp"
#include "server/catalog/names.hpp"

namespace obd::server {
namespace {

constexpr std::int64_t gib = std::int64_t{1} << 30;

failure bad_value(const json::object& at, std::string_view key, std::string_view wanted) {
    return fail(errc::invalid_argument, at.where() + ": \"" + std::string(key) + "\" must be " + std::string(wanted));
}

result<std::chrono::milliseconds> milliseconds(const json::object& at, std::string_view key,
                                               std::chrono::milliseconds fallback, json::integer_range range) {
    TRY(const auto count, at.integer(key, fallback.count(), range));
    return std::chrono::milliseconds(count);
}

result<iscsi::chap_credentials> read_chap(const json::object& at, config_notes& notes) {
    iscsi::chap_credentials chap;
    TRY(chap.user, at.string("user", ""));
    TRY(chap.secret, at.string("secret", ""));
    TRY(chap.mutual_user, at.string("mutualUser", ""));
    TRY(chap.mutual_secret, at.string("mutualSecret", ""));
    if (chap.user.empty()) return bad_value(at, "user", "a name that is not empty");
    // RFC 7143 §12.1.3: secrets shorter than 96 bits are only for use with IPsec.
    if (chap.secret.size() < 12) return bad_value(at, "secret", "at least 12 characters");
    if (!chap.mutual_user.empty() && chap.mutual_secret.size() < 12) {
        return bad_value(at, "mutualSecret", "at least 12 characters");
    }
    if (!chap.mutual_user.empty() && chap.mutual_secret == chap.secret) {
        return bad_value(at, "mutualSecret", "another secret than \"secret\"");
    }
    notes.unknown_members(at);
    return chap;
}

result<void> read_portals(const json::object& at, iscsi_config& config) {
    if (!at.has("portals")) return {};
    TRY(config.portals, at.strings("portals"));
    if (config.portals.empty()) return bad_value(at, "portals", "an array with at least one address");
    for (const auto& portal : config.portals) {
        if (!is_portal(portal)) {
            return bad_value(at, "portals",
                             "addresses like \"127.0.0.1:3260\" or \"[::1]:3260\"; \"" + portal + "\" is none");
        }
    }
    return {};
}

/// The newer "cacheConfig" counts when it names a type, else the flat keys do: as the reference decides.
result<void> read_cache(const json::object& root, registry_config& config, config_notes& notes) {
    TRY(const auto old_dir, root.string("registryCacheDir", config.cache_dir.native()));
    TRY(const auto old_size, root.integer("registryCacheSizeGB", 4, {0, 1 << 20}));
    TRY(const auto old_type, root.string("cacheType", "file"));
    TRY(const auto nested, root.child("cacheConfig"));
    TRY(const auto type, nested.string("cacheType", ""));
    TRY(const auto dir, nested.string("cacheDir", config.cache_dir.native()));
    TRY(const auto size, nested.integer("cacheSizeGB", 4, {0, 1 << 20}));
    TRY(const auto refill, nested.integer("refillSize", config.refill_bytes, {4096, 64 << 20}));
    TRYV(nested.integer("blockSize", 65536, {4096, 65536}));  // of the "ocf" cache only
    notes.unknown_members(nested);

    const bool use_nested = !type.empty();
    const auto& chosen = use_nested ? type : old_type;
    const auto& at = use_nested ? nested : root;
    if (chosen == "ocf" || chosen == "download") {
        notes.unsupported(at, "cacheType", "\"" + chosen + "\" is taken as \"file\"");
    } else if (chosen != "file") {
        return bad_value(at, "cacheType", "\"file\", \"ocf\" or \"download\"");
    }
    if (!is_power_of_two(static_cast<std::uint64_t>(refill))) return bad_value(nested, "refillSize", "a power of two");
    config.cache_dir = use_nested ? dir : old_dir;
    if (config.cache_dir.empty()) {
        return bad_value(at, use_nested ? "cacheDir" : "registryCacheDir", "the path of a folder");
    }
    config.cache_capacity = {static_cast<std::uint64_t>((use_nested ? size : old_size) * gib)};
    config.refill_bytes = static_cast<std::uint32_t>(refill);
    return {};
}

result<void> read_credentials(const json::object& root, registry_config& config, config_notes& notes) {
    TRY(const auto old_path, root.string("credentialFilePath", config.credential_file.native()));
    TRY(const auto nested, root.child("credentialConfig"));
    TRY(const auto mode, nested.string("mode", ""));
    TRY(const auto path, nested.string("path", ""));
    TRYV(nested.integer("timeout", 1, {0, 3600}));
    TRYV(nested.string("client_cert_path", ""));
    TRYV(nested.string("client_key_path", ""));
    TRYV(nested.string("server_ca_path", ""));
    notes.unknown_members(nested);

    if (mode == "http" || mode == "https" || mode == "uds") {
        return fail(errc::unsupported, nested.where() + ": \"mode\": \"" + mode +
                                           "\" is not supported yet; use \"file\" with a cred.json");
    }
    if (!mode.empty() && mode != "file") return bad_value(nested, "mode", "\"file\", \"http\", \"https\" or \"uds\"");
    if (mode == "file" && path.empty()) return bad_value(nested, "path", "the path of a cred.json");
    config.credential_file = mode.empty() ? old_path : path;
    return {};
}

result<void> read_transport(const json::object& root, registry_config& config, config_notes& notes) {
    TRY(const auto cert, root.child("certConfig"));
    TRY(config.client_cert_file, cert.string("certFile", ""));
    TRY(config.client_key_file, cert.string("keyFile", ""));
    notes.unknown_members(cert);
    if (config.client_cert_file.empty() != config.client_key_file.empty()) {
        return bad_value(cert, "certFile", "given together with \"keyFile\"");
    }
    TRY(config.user_agent, root.string("userAgent", ""));
    if (config.user_agent.find_first_of("\r\n") != std::string::npos) return bad_value(root, "userAgent", "one line");

    TRY(const auto ours, root.child("registryConfig"));
    TRY(config.ca_file, ours.string("caFile", ""));
    TRY(config.insecure, ours.strings("insecureRegistries"));
    TRY(config.connect_timeout, milliseconds(ours, "connectTimeoutMs", config.connect_timeout, {100, 600'000}));
    TRY(config.operation_deadline, milliseconds(ours, "deadlineMs", config.operation_deadline, {100, 600'000}));
    TRY(const auto tries, ours.integer("tries", config.tries, {1, 100}));
    config.tries = static_cast<int>(tries);
    notes.unknown_members(ours);
    return {};
}

/// A section of the reference for something that this version does not do; its keys are still checked.
struct later_section {
    std::string_view name;
    std::string_view instead;
    std::vector<std::string_view> strings;
    std::vector<std::string_view> integers;
};

const std::vector<later_section>& later_sections() {
    static const std::vector<later_section> sections{
        {"p2pConfig", "blobs are fetched from their registry", {"address"}, {}},
        {"gzipCacheConfig", "TurboOCI images are refused anyway", {"cacheDir"}, {"cacheSizeGB", "refillSize"}},
        {"download",
         "layers are fetched when they are read",
         {},
         {"delay", "delayExtra", "maxMBps", "tryCnt", "blockSize"}},
        {"exporterConfig",
         "no metrics are exported; overlaybdctl shows what is known",
         {"uriPrefix"},
         {"port", "updateInterval"}},
    };
    return sections;
}

result<void> read_later_section(const json::object& root, const later_section& section, config_notes& notes) {
    constexpr auto any =
        json::integer_range{std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max()};
    TRY(const auto nested, root.child(section.name));
    TRY(const bool enable, nested.boolean("enable", false));
    for (const auto key : section.strings) {
        TRYV(nested.string(key, ""));
    }
    for (const auto key : section.integers) {
        TRYV(nested.integer(key, 0, any));
    }
    if (enable) notes.unsupported(nested, "enable", section.instead);
    notes.unknown_members(nested);
    return {};
}

}  // namespace

result<log_config> read_log(const json::object& root, config_notes& notes) {
    log_config config;
    TRY(const auto nested, root.child("logConfig"));
    TRY(const auto path, nested.string("logPath", ""));
    TRY(const auto level, nested.integer("logLevel", 1, {0, 3}));
    TRY(const auto size_mb, nested.integer("logSizeMB", 10, {1, 1 << 20}));
    TRY(const auto rotations, nested.integer("logRotateNum", 3, {0, 1000}));
    TRY(const auto old_path, root.string("logPath", config.file.path.native()));
    TRY(const auto old_level, root.integer("logLevel", 1, {0, 3}));
    notes.unknown_members(nested);

    const bool use_nested = !path.empty();
    config.level = static_cast<int>(use_nested || !root.has("logLevel") ? level : old_level);
    config.file.path = use_nested ? path : old_path;
    config.file.named = use_nested || root.has("logPath");
    if (use_nested) {
        config.file.max_bytes = static_cast<std::uint64_t>(size_mb) << 20;
        config.file.rotations = static_cast<int>(rotations);
    }
    if (config.file.path.empty()) return bad_value(root, "logPath", "the path of a file");
    return config;
}

result<audit_config> read_audit(const json::object& root) {
    audit_config config;
    TRY(config.enable, root.boolean("enableAudit", true));
    TRY(config.file.path, root.string("auditPath", config.file.path.native()));
    config.file.named = root.has("auditPath");
    if (config.enable && config.file.path.empty()) return bad_value(root, "auditPath", "the path of a file");
    return config;
}

result<registry_config> read_registry(const json::object& root, config_notes& notes) {
    registry_config config;
    TRYV(read_cache(root, config, notes));
    TRYV(read_credentials(root, config, notes));
    TRYV(read_transport(root, config, notes));
    return config;
}

result<iscsi_config> read_iscsi(const json::object& root, config_notes& notes) {
    iscsi_config config;
    TRY(const auto at, root.child("iscsi"));
    TRYV(read_portals(at, config));
    TRY(config.target_prefix, at.string("targetPrefix", config.target_prefix));
    TRY(const auto tag, at.integer("portalGroupTag", config.portal_group_tag, {1, 65535}));
    TRY(const auto threads, at.integer("threads", 0, {0, 1024}));
    TRY(const auto spin_us, at.integer("spinUs", config.spin.count(), {0, 10'000}));
    TRY(config.login_timeout, milliseconds(at, "loginTimeoutMs", config.login_timeout, {100, 600'000}));
    TRY(config.keepalive_idle, milliseconds(at, "keepaliveIdleMs", config.keepalive_idle, {0, 86'400'000}));
    TRY(config.keepalive_timeout, milliseconds(at, "keepaliveTimeoutMs", config.keepalive_timeout, {100, 86'400'000}));
    TRY(config.command_deadline, milliseconds(at, "commandDeadlineMs", config.command_deadline, {100, 600'000}));
    if (at.has("redirect")) {
        using kind = iscsi::redirection::kind;
        TRY(const auto redirect, at.child("redirect"));
        TRY(const auto address, redirect.string("address", ""));
        TRY(const bool permanent, redirect.boolean("permanent", false));
        TRY(config.redirect, parse_redirect(address, permanent ? kind::permanent : kind::temporary));
        notes.unknown_members(redirect);
    }
    config.portal_group_tag = static_cast<std::uint16_t>(tag);
    config.threads = static_cast<std::size_t>(threads);
    config.spin = std::chrono::microseconds(spin_us);

    TRY(const auto auth, at.child("discoveryAuth"));
    if (at.has("discoveryAuth")) {
        TRY(config.discovery_auth, read_chap(auth, notes));
    }
    const bool named =
        config.target_prefix.starts_with("iqn.") && config.target_prefix.size() <= 128 &&
        config.target_prefix.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789.-:") == std::string::npos;
    if (!named)
        return bad_value(at, "targetPrefix", "the beginning of an iSCSI name, like \"iqn.2026-11.io.overlaybd\"");
    notes.unknown_members(at);
    return config;
}

result<writable_config> read_writable(const json::object& root, config_notes& notes) {
    constexpr std::int64_t week_ms = 7 * 86'400'000;
    writable_config config;
    TRY(const auto at, root.child("writable"));
    TRY(const auto quota_mb, at.integer("quotaMB", 0, {0, std::int64_t{1} << 40}));
    TRY(const auto limit, at.integer("clonesPerExport", 4096, {1, 65535}));
    TRY(config.clone_dir, at.string("clonesDir", ""));
    TRY(config.close_after, milliseconds(at, "closeAfterMs", config.close_after, {0, week_ms}));
    TRY(config.discard_after_logout,
        milliseconds(at, "discardAfterLogoutMs", config.discard_after_logout, {0, week_ms}));
    TRY(config.discard_after_loss, milliseconds(at, "discardAfterLossMs", config.discard_after_loss, {0, week_ms}));
    config.quota = {static_cast<std::uint64_t>(quota_mb) << 20};
    config.clones = static_cast<std::size_t>(limit);
    if (!config.clone_dir.empty() && !config.clone_dir.is_absolute()) {
        return bad_value(at, "clonesDir", "an absolute path");
    }
    notes.unknown_members(at);
    return config;
}

result<std::string> read_snapshot_service(const json::object& root, config_notes& notes) {
    TRY(const auto at, root.child("serviceConfig"));
    TRY(const bool enable, at.boolean("enable", false));
    TRY(auto address, at.string("address", "http://127.0.0.1:9862"));
    notes.unknown_members(at);
    return enable ? std::move(address) : std::string();
}

result<void> read_later_work(const json::object& root, config_notes& notes) {
    TRY(const auto engine, root.integer("ioEngine", 0, {0, 2}));
    if (engine != 0) notes.unsupported(root, "ioEngine", "local files are read with engine 0");
    TRY(const bool thread, root.boolean("enableThread", false));
    if (thread) notes.add(root, "\"enableThread\" has no effect: every core serves every device");
    TRYV(root.string("registryFsVersion", "v2"));
    for (const auto& section : later_sections()) {
        TRYV(read_later_section(root, section, notes));
    }
    TRY(const auto prefetch, root.child("prefetchConfig"));
    TRYV(prefetch.integer("concurrency", 16, {0, 1024}));
    notes.unknown_members(prefetch);
    return {};
}

}  // namespace obd::server

#include "server/admin/render.hpp"

#include <boost/endian/conversion.hpp>
#include <ctime>

#include "server/state/json_writer.hpp"

namespace obd::server {
namespace {

std::string utc(std::chrono::system_clock::time_point when) {
    const auto calendar = std::chrono::system_clock::to_time_t(when);
    std::tm broken{};
    ::gmtime_r(&calendar, &broken);
    char text[32];
    const auto length = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &broken);
    return {text, length};
}

void write_layers(json_writer& out, const std::vector<layers::layer_summary>& layers) {
    std::uint64_t fetched = 0;
    out.key("layers").begin_array();
    for (const auto& layer : layers) {
        out.begin_object().member("name", layer.name).member("size_bytes", layer.size.value).member("form", layer.form);
        out.member("fetched_bytes", layer.fetched.value).end_object();
        fetched += layer.fetched.value;
    }
    out.end_array().member("fetched_bytes", fetched);
}

/// And of the writable layer.
void write_clone_settings(json_writer& out, const export_view& view) {
    const auto& record = view.record;
    if (record.clones) {
        out.key("clones").begin_object().member("mode", to_string(record.clones->mode));
        out.member("writable", to_string(record.clones->kind)).member("root", record.clones->root.native());
        out.member("count", std::uint64_t{view.clones.all}).member("open", std::uint64_t{view.clones.open});
        out.member("discarded_at_logout", std::uint64_t{view.clones.discarded_at_logout}).end_object();
    }
    if (view.upper_used.value != 0) out.member("upper_used_bytes", view.upper_used.value);
    if (record.quota.value != 0) out.member("quota_bytes", record.quota.value);
}

void write_export(json_writer& out, const export_view& view, const std::vector<std::string>& portals) {
    const auto& record = view.record;
    const auto& origin = record.origin;
    const auto geometry = record.seen ? record.seen->geometry : device_geometry{};
    out.begin_object().member("name", record.name).member("target", record.target).member("lun", record.lun);
    out.strings("portals", portals);
    out.member("state", to_string(view.state));
    if (!view.reason.empty()) out.member("reason", view.reason);
    out.member("size_bytes", geometry.size.value).member("block_bytes", geometry.logical_block_bytes);
    out.member("read_only", geometry.access == access_mode::read_only && !record.clones);
    out.member("image", origin.reference.empty() ? origin.config.native() : origin.reference);
    if (record.pinned) out.member("digest", record.pinned->manifest_digest);
    if (origin.upper != upper_kind::none) {
        out.member("writable", to_string(origin.upper)).member("upper", origin.upper_dir.native());
    }
    write_clone_settings(out, view);
    if (record.redirect) {
        out.key("redirect").begin_object().member("address", record.redirect->address);
        out.member("permanent", record.redirect->how == iscsi::redirection::kind::permanent).end_object();
    }
    if (record.removable) out.member("removable", true);
    if (!view.serial.empty()) {
        const auto naa = boost::endian::native_to_big(view.naa);
        out.member("serial", view.serial).member("naa", to_hex(bytes_of(naa)));
    }
    write_layers(out, view.layers);
    out.strings("initiators", view.initiators);
    out.strings("allowed_initiators", record.access.initiators);
    out.member("chap", record.access.auth.has_value()).end_object();
}

}  // namespace

std::string render_export(const export_view& view, const std::vector<std::string>& portals) {
    json_writer out;
    write_export(out, view, portals);
    return out.text();
}

std::string render_exports(const std::vector<export_view>& views, const std::vector<std::string>& portals) {
    json_writer out;
    out.begin_array();
    for (const auto& view : views) write_export(out, view, portals);
    out.end_array();
    return out.text();
}

std::string render_snapshot(const snapshot_view& view) {
    json_writer out;
    out.begin_object().member("sealed", view.sealed.native()).member("data", view.data.native());
    out.member("index", view.index.native()).member("pause_us", static_cast<std::uint64_t>(view.pause.count()));
    return out.end_object().text();
}

std::string render_clones(const std::vector<clone_view>& clones) {
    json_writer out;
    out.begin_array();
    for (const auto& one : clones) {
        out.begin_object().member("initiator", one.initiator).member("mode", to_string(one.mode));
        out.member("folder", one.folder.native()).member("serial", one.serial).member("open", one.open);
        out.member("used_bytes", one.used.value).member("quota_bytes", one.quota.value);
        if (one.open) out.member("size_bytes", one.size.value);
        out.member("created", utc(one.created)).member("sessions", std::uint64_t{one.sessions});
        out.member("read_bytes", one.read_bytes).member("written_bytes", one.written_bytes).end_object();
    }
    out.end_array();
    return out.text();
}

std::string render_commit(const committed_layer& made) {
    json_writer out;
    out.begin_object().member("file", made.file.native()).member("size_bytes", made.size.value);
    out.member("digest", made.digest).member("pause_us", static_cast<std::uint64_t>(made.pause.count()));
    return out.end_object().text();
}

std::string render_sessions(const std::vector<iscsi::session_info>& sessions) {
    json_writer out;
    out.begin_array();
    for (const auto& one : sessions) {
        out.begin_object().member("id", one.id).member("type", one.target_name.empty() ? "discovery" : "normal");
        out.member("initiator", one.initiator_name).member("initiator_alias", one.initiator_alias);
        out.member("isid", one.isid).member("tsih", one.tsih).member("target", one.target_name);
        out.member("peer", one.peer_address).member("portal", one.portal);
        out.member("header_digest", one.header_digest).member("data_digest", one.data_digest);
        out.member("commands", one.commands).member("read_bytes", one.read_bytes);
        out.member("written_bytes", one.written_bytes).member("since", utc(one.since)).end_object();
    }
    out.end_array();
    return out.text();
}

}  // namespace obd::server

#include "server/config/config.hpp"

#include <boost/asio/ip/address.hpp>
#include <charconv>

#include "server/config/sections.hpp"

namespace obd::server {

void config_notes::add(const json::object& at, std::string_view text) {
    warnings_.push_back(at.where() + ": " + std::string(text));
}

void config_notes::unsupported(const json::object& at, std::string_view key, std::string_view instead) {
    add(at, "\"" + std::string(key) + "\" asks for what is not supported yet; " + std::string(instead));
}

void config_notes::unknown_members(const json::object& at) {
    for (const auto& name : at.unknown_members()) add(at, "unknown key \"" + name + "\" is ignored");
}

bool is_portal(std::string_view text) {
    const auto colon = text.rfind(':');
    if (colon == std::string_view::npos) return false;
    auto host = text.substr(0, colon);
    const auto port = text.substr(colon + 1);
    std::uint16_t number = 0;
    const auto parsed = std::from_chars(port.data(), port.data() + port.size(), number);
    if (parsed.ec != std::errc{} || parsed.ptr != port.data() + port.size()) return false;

    boost::system::error_code bad;
    if (host.starts_with('[') && host.ends_with(']')) {
        boost::asio::ip::make_address_v6(std::string(host.substr(1, host.size() - 2)), bad);
    } else {
        boost::asio::ip::make_address_v4(std::string(host), bad);
    }
    return !bad;
}

namespace {

result<loaded_config> read(const rapidjson::Document& document, std::string where) {
    if (!document.IsObject()) return fail(errc::invalid_argument, where + ": the root must be an object");
    const json::object root(document, std::move(where));
    config_notes notes;
    loaded_config loaded;
    auto& config = loaded.config;

    TRY(config.log, read_log(root, notes));
    TRY(config.audit, read_audit(root));
    TRY(config.registry, read_registry(root, notes));
    TRY(config.iscsi, read_iscsi(root, notes));
    TRY(config.writable, read_writable(root, notes));
    TRY(config.admin_socket, root.string("adminSocket", config.admin_socket.native()));
    TRY(config.state_dir, root.string("stateDir", config.state_dir.native()));
    TRY(const auto workers, root.integer("workers", 0, {0, 1024}));
    config.workers = static_cast<std::size_t>(workers);
    TRY(config.snapshot_service, read_snapshot_service(root, notes));
    TRYV(read_later_work(root, notes));

    if (config.admin_socket.empty()) {
        return fail(errc::invalid_argument, root.where() + ": \"adminSocket\" must name a file");
    }
    if (config.state_dir.empty()) {
        return fail(errc::invalid_argument, root.where() + ": \"stateDir\" must name a folder");
    }
    notes.unknown_members(root);
    loaded.warnings = std::move(notes).take();
    return loaded;
}

}  // namespace

result<loaded_config> parse_config(std::string_view text, std::string_view where) {
    TRY(const auto document, json::parse(text, where));
    return read(document, std::string(where));
}

result<loaded_config> load_config(const std::filesystem::path& path) {
    TRY(const auto document, json::parse_file(path));
    return read(document, path.string());
}

}  // namespace obd::server

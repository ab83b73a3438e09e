#include "server/admin/listening_socket.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <charconv>

namespace obd::server {
namespace {

namespace asio = boost::asio;
using local = asio::local::stream_protocol;
using tcp = asio::ip::tcp;

/// Someone answers there.
bool is_alive(const std::filesystem::path& path) {
    asio::io_context context(1);
    local::socket probe(context);
    boost::system::error_code refused;
    probe.connect(local::endpoint(path.native()), refused);
    return !refused;
}

result<void> make_way(const std::filesystem::path& path) {
    const auto where = "admin socket " + path.string();
    if (path.native().size() >= sizeof(sockaddr_un::sun_path)) {
        return fail(errc::invalid_argument, where + ": the path is longer than 107 characters");
    }
    std::error_code bad;
    if (path.has_parent_path()) std::filesystem::create_directories(path.parent_path(), bad);
    if (bad) return fail_errno(where, bad.value());
    struct stat status {};
    if (::lstat(path.c_str(), &status) != 0) return {};
    if (!S_ISSOCK(status.st_mode)) return fail(errc::already_exists, where + ": is another kind of file");
    if (is_alive(path)) return fail(errc::busy, where + ": another daemon listens there");
    if (::unlink(path.c_str()) != 0) return fail_errno(where);
    return {};
}

}  // namespace

result<listening_socket> listen_on_unix(const std::filesystem::path& path) {
    TRYV(make_way(path));
    asio::io_context context(1);
    local::acceptor acceptor(context);
    boost::system::error_code bad;
    acceptor.open(local(), bad);
    // The mode has to be right before anyone can connect.
    const auto before = ::umask(0117);
    if (!bad) acceptor.bind(local::endpoint(path.native()), bad);
    ::umask(before);
    if (!bad) acceptor.listen(asio::socket_base::max_listen_connections, bad);
    if (bad) return fail_errno("admin socket " + path.string(), bad.value());
    return listening_socket{acceptor.release(), AF_UNIX, path};
}

result<listening_socket> listen_on_loopback(const std::string& url) {
    const auto refuse = [&](const std::string& why) { return fail(errc::invalid_argument, "\"" + url + "\": " + why); };
    constexpr std::string_view scheme = "http://";
    std::string_view rest(url);
    if (!rest.starts_with(scheme)) return refuse("must begin with http://");
    rest.remove_prefix(scheme.size());
    while (rest.ends_with('/')) rest.remove_suffix(1);
    const auto colon = rest.rfind(':');
    std::uint16_t port = 0;
    const auto digits = colon == std::string_view::npos ? std::string_view{} : rest.substr(colon + 1);
    const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    if (digits.empty() || parsed.ec != std::errc{} || parsed.ptr != digits.data() + digits.size())
        return refuse("no port");

    auto host = std::string(rest.substr(0, colon));
    if (host == "localhost") host = "127.0.0.1";
    if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
    boost::system::error_code bad;
    const auto address = asio::ip::make_address(host, bad);
    if (bad) return refuse("no address");
    if (!address.is_loopback()) return refuse("must be a loopback address, since no password is asked for there");

    asio::io_context context(1);
    tcp::acceptor acceptor(context);
    const tcp::endpoint endpoint(address, port);
    acceptor.open(endpoint.protocol(), bad);
    if (!bad) acceptor.set_option(asio::socket_base::reuse_address(true), bad);
    if (!bad) acceptor.bind(endpoint, bad);
    if (!bad) acceptor.listen(asio::socket_base::max_listen_connections, bad);
    if (bad) return fail_errno(url, bad.value());
    const auto family = endpoint.protocol().family();
    return listening_socket{acceptor.release(), family, {}};
}

}  // namespace obd::server

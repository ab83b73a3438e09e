#include "protocol/net/endpoint.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <cstring>

#include "base/bytes.hpp"

namespace obd::iscsi {
namespace {

constexpr int backlog = 1024;

// The sockets API stores addresses of all families in one kind of memory; these copy out of it and into it.
template <typename Address>
Address as(const sockaddr_storage& storage) {
    Address address;
    std::memcpy(&address, &storage, sizeof address);
    return address;
}

template <typename Address>
endpoint from(const Address& address) {
    endpoint where;
    std::memcpy(&where.address, &address, sizeof address);
    where.length = sizeof address;
    return where;
}

bool is_mapped(const in6_addr& address) {
    return IN6_IS_ADDR_V4MAPPED(&address) != 0;
}

std::uint16_t port_of(const endpoint& where) {
    if (where.address.ss_family == AF_INET) return ntohs(as<sockaddr_in>(where.address).sin_port);
    return ntohs(as<sockaddr_in6>(where.address).sin6_port);
}

}  // namespace

std::string endpoint::host() const {
    std::array<char, INET6_ADDRSTRLEN> text{};
    if (address.ss_family == AF_INET) {
        const auto v4 = as<sockaddr_in>(address);
        ::inet_ntop(AF_INET, &v4.sin_addr, text.data(), text.size());
    } else if (address.ss_family == AF_INET6) {
        const auto v6 = as<sockaddr_in6>(address);
        if (is_mapped(v6.sin6_addr)) {
            ::inet_ntop(AF_INET, &v6.sin6_addr.s6_addr[12], text.data(), text.size());
        } else {
            ::inet_ntop(AF_INET6, &v6.sin6_addr, text.data(), text.size());
        }
    }
    return text.data();
}

std::string endpoint::text() const {
    if (length == 0) return "unknown";
    const std::string name = host();
    const bool bare = name.find(':') == std::string::npos;
    return (bare ? name : "[" + name + "]") + ":" + std::to_string(port_of(*this));
}

bool endpoint::is_wildcard() const {
    const std::string name = host();
    return name == "0.0.0.0" || name == "::";
}

bool endpoint::is_loopback() const {
    const std::string name = host();
    return name.starts_with("127.") || name == "::1";
}

result<endpoint> parse_endpoint(std::string_view text) {
    const auto colon = text.rfind(':');
    const auto bad = [&] {
        return fail(errc::invalid_argument,
                    "portal \"" + std::string(text) + "\": want ADDRESS:PORT or [ADDRESS]:PORT");
    };
    if (colon == std::string_view::npos) return bad();
    std::uint16_t port = 0;
    const auto digits = text.substr(colon + 1);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    if (digits.empty() || error != std::errc{} || end != digits.data() + digits.size()) return bad();
    auto host = std::string(text.substr(0, colon));
    if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
        host = host.substr(1, host.size() - 2);
        sockaddr_in6 v6{};
        v6.sin6_family = AF_INET6;
        v6.sin6_port = htons(port);
        if (::inet_pton(AF_INET6, host.c_str(), &v6.sin6_addr) != 1) return bad();
        return from(v6);
    }
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    if (::inet_pton(AF_INET, host.c_str(), &v4.sin_addr) != 1) return bad();
    return from(v4);
}

endpoint local_endpoint(int descriptor) {
    endpoint where;
    where.length = sizeof where.address;
    if (::getsockname(descriptor, reinterpret_cast<sockaddr*>(&where.address), &where.length) != 0) where.length = 0;
    return where;
}

endpoint peer_endpoint(int descriptor) {
    endpoint where;
    where.length = sizeof where.address;
    if (::getpeername(descriptor, reinterpret_cast<sockaddr*>(&where.address), &where.length) != 0) where.length = 0;
    return where;
}

void unique_descriptor::reset(int descriptor) {
    if (descriptor_ >= 0) ::close(descriptor_);
    descriptor_ = descriptor;
}

result<unique_descriptor> listen_on(const endpoint& where) {
    const std::string name = "portal " + where.text();
    unique_descriptor socket(::socket(where.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (socket.get() < 0) return fail_errno(name + ": socket");
    const int on = 1;
    ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    // [::] leaves IPv4 to a portal of its own.
    if (where.address.ss_family == AF_INET6) ::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&where.address), where.length) != 0)
        return fail_errno(name + ": bind");
    if (::listen(socket.get(), backlog) != 0) return fail_errno(name + ": listen");
    return socket;
}

}  // namespace obd::iscsi

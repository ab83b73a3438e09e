// Socket addresses as text, and listening sockets.
#pragma once

#include <sys/socket.h>

#include <string>
#include <string_view>

#include "base/result.hpp"

namespace obd::iscsi {

struct endpoint {
    sockaddr_storage address{};
    socklen_t length = 0;

    /// "127.0.0.1:3260", "[::1]:3260"; an IPv4 address in IPv6 clothes is shown as IPv4.
    std::string text() const;
    /// The same without the port and brackets.
    std::string host() const;
    bool is_wildcard() const;
    bool is_loopback() const;
};

/// "127.0.0.1:3260" or "[::1]:3260". Host names are not looked up: a portal is an address.
result<endpoint> parse_endpoint(std::string_view text);
endpoint local_endpoint(int descriptor);
endpoint peer_endpoint(int descriptor);

/// A file descriptor that is closed at the end.
class unique_descriptor {
public:
    explicit unique_descriptor(int descriptor = -1) : descriptor_(descriptor) {}
    unique_descriptor(unique_descriptor&& other) noexcept : descriptor_(other.release()) {}
    unique_descriptor& operator=(unique_descriptor&& other) noexcept {
        reset(other.release());
        return *this;
    }
    ~unique_descriptor() { reset(); }

    int get() const { return descriptor_; }
    int release() {
        const int descriptor = descriptor_;
        descriptor_ = -1;
        return descriptor;
    }
    void reset(int descriptor = -1);

private:
    int descriptor_;
};

/// Non-blocking, bound and listening. The failure names the address.
result<unique_descriptor> listen_on(const endpoint& where);

}  // namespace obd::iscsi

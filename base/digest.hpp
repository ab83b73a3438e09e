// SHA-256 digests in the form OCI writes them.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "base/bytes.hpp"

namespace obd {

/// Incremental SHA-256 (OpenSSL). Not thread-safe.
class sha256 {
public:
    sha256();
    ~sha256();
    sha256(sha256&&) noexcept;
    sha256& operator=(sha256&&) noexcept;

    sha256& update(const_bytes bytes);
    std::array<std::byte, 32> finish() &&;
    /// "sha256:<64 hex digits>"
    std::string finish_digest() &&;

private:
    struct state;
    std::unique_ptr<state> state_;
};

std::string sha256_digest(const_bytes bytes);

/// True for "sha256:" and 64 lower-case hex digits.
bool is_sha256_digest(std::string_view text);

}  // namespace obd

#include "base/digest.hpp"

#include <openssl/evp.h>

#include <algorithm>

#include "base/result.hpp"

namespace obd {

struct sha256::state {
    EVP_MD_CTX* context = EVP_MD_CTX_new();
    state() { ASSERT(context != nullptr && EVP_DigestInit_ex(context, EVP_sha256(), nullptr) == 1); }
    ~state() { EVP_MD_CTX_free(context); }
    state(const state&) = delete;
    state& operator=(const state&) = delete;
};

sha256::sha256() : state_(std::make_unique<state>()) {}
sha256::~sha256() = default;
sha256::sha256(sha256&&) noexcept = default;
sha256& sha256::operator=(sha256&&) noexcept = default;

sha256& sha256::update(const_bytes bytes) {
    ASSERT(EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()) == 1);
    return *this;
}

std::array<std::byte, 32> sha256::finish() && {
    std::array<std::byte, 32> value{};
    unsigned length = 0;
    auto* out = reinterpret_cast<unsigned char*>(value.data());
    ASSERT(EVP_DigestFinal_ex(state_->context, out, &length) == 1 && length == value.size());
    return value;
}

std::string sha256::finish_digest() && {
    return "sha256:" + to_hex(std::move(*this).finish());
}

std::string sha256_digest(const_bytes bytes) {
    return std::move(sha256().update(bytes)).finish_digest();
}

bool is_sha256_digest(std::string_view text) {
    constexpr std::string_view prefix = "sha256:";
    if (!text.starts_with(prefix) || text.size() != prefix.size() + 64) return false;
    return text.substr(prefix.size()).find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

}  // namespace obd

#include "protocol/iscsi/chap.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <memory>

#include "protocol/iscsi/text.hpp"

namespace obd::iscsi {
namespace {

struct algorithm_row {
    chap_algorithm algorithm;
    const char* digest_name;
    std::size_t digest_bytes;
};
constexpr algorithm_row algorithms[] = {
    {chap_algorithm::md5, "MD5", 16},
    {chap_algorithm::sha1, "SHA1", 20},
    {chap_algorithm::sha256, "SHA256", 32},
    {chap_algorithm::sha3_256, "SHA3-256", 32},
};

const algorithm_row& row_of(chap_algorithm algorithm) {
    for (const auto& row : algorithms) {
        if (row.algorithm == algorithm) return row;
    }
    return algorithms[0];
}

}  // namespace

std::optional<chap_algorithm> choose_algorithm(std::string_view offered) {
    for (const auto item : split_list(offered)) {
        const auto number = parse_number(item);
        if (!number) return std::nullopt;
        for (const auto& row : algorithms) {
            if (*number == static_cast<std::uint32_t>(row.algorithm)) return row.algorithm;
        }
    }
    return std::nullopt;
}

std::size_t challenge_bytes(chap_algorithm algorithm) {
    return row_of(algorithm).digest_bytes;
}

std::vector<std::byte> chap_response(chap_algorithm algorithm, const chap_challenge& challenge,
                                     std::string_view secret) {
    const auto& row = row_of(algorithm);
    std::vector<std::byte> response(row.digest_bytes);
    const std::unique_ptr<EVP_MD, decltype(&EVP_MD_free)> digest(EVP_MD_fetch(nullptr, row.digest_name, nullptr),
                                                                 EVP_MD_free);
    const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
    const bool done =
        digest && context && EVP_DigestInit_ex2(context.get(), digest.get(), nullptr) == 1 &&
        EVP_DigestUpdate(context.get(), &challenge.identifier, 1) == 1 &&
        EVP_DigestUpdate(context.get(), secret.data(), secret.size()) == 1 &&
        EVP_DigestUpdate(context.get(), challenge.value.data(), challenge.value.size()) == 1 &&
        EVP_DigestFinal_ex(context.get(), reinterpret_cast<unsigned char*>(response.data()), nullptr) == 1;
    if (!done) response.clear();
    return response;
}

bool equal_in_constant_time(const_bytes a, const_bytes b) {
    return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace obd::iscsi

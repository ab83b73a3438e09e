#include <catch2/catch.hpp>

#include "base/digest.hpp"

using namespace obd;

TEST_CASE("SHA-256 of FIPS 180-4's example") {
    const auto wanted = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    CHECK(sha256_digest(as_bytes("abc")) == wanted);
    CHECK(std::move(sha256().update(as_bytes("a")).update(as_bytes("bc"))).finish_digest() == wanted);
}

TEST_CASE("only the canonical form is a digest") {
    const std::string hex(64, 'a');
    CHECK(is_sha256_digest("sha256:" + hex));
    CHECK_FALSE(is_sha256_digest("sha256:" + std::string(64, 'A')));
    CHECK_FALSE(is_sha256_digest("sha256:" + hex + "a"));
    CHECK_FALSE(is_sha256_digest("sha512:" + hex));
    CHECK_FALSE(is_sha256_digest("sha256:../" + std::string(61, 'a')));
}

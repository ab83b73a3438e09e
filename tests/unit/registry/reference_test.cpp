#include "registry/reference.hpp"

#include <catch2/catch.hpp>

using namespace obd;
using namespace obd::registry;

namespace {
const std::string digest = "sha256:" + std::string(64, 'a');

struct row {
    std::string text, host, repository, tag, digest, api_host;
};
}  // namespace

TEST_CASE("references are normalised as other container tools do") {
    const auto r = GENERATE_COPY(values<row>({
        {"busybox", "docker.io", "library/busybox", "latest", "", "registry-1.docker.io"},
        {"user/app:v1", "docker.io", "user/app", "v1", "", "registry-1.docker.io"},
        {"docker.io/busybox", "docker.io", "library/busybox", "latest", "", "registry-1.docker.io"},
        {"index.docker.io/user/app", "docker.io", "user/app", "latest", "", "registry-1.docker.io"},
        {"localhost/app", "localhost", "app", "latest", "", "localhost"},
        {"localhost:5000/a/b/c:x", "localhost:5000", "a/b/c", "x", "", "localhost:5000"},
        {"Example.COM/app:V1", "example.com", "app", "V1", "", "example.com"},
        {"[::1]:5000/app:v1", "[::1]:5000", "app", "v1", "", "[::1]:5000"},
        {"[fe80::1]/app", "[fe80::1]", "app", "latest", "", "[fe80::1]"},
        {"h:1/app@" + digest, "h:1", "app", "", digest, "h:1"},
        {"h:1/app:v1@" + digest, "h:1", "app", "v1", digest, "h:1"},
        {"h.io/a__b/c-d.e--f:t_1.x-y", "h.io", "a__b/c-d.e--f", "t_1.x-y", "", "h.io"},
    }));
    INFO(r.text);
    const auto got = parse_reference(r.text);
    REQUIRE(got.has_value());
    CHECK(got->host == r.host);
    CHECK(got->repository == r.repository);
    CHECK(got->tag == r.tag);
    CHECK(got->digest == r.digest);
    CHECK(got->api_host() == r.api_host);
    CHECK(got->target() == (r.digest.empty() ? r.tag : r.digest));
    CHECK(parse_reference(got->text())->text() == got->text());
}

TEST_CASE("bad references are refused with what is wrong") {
    const auto [text, reason] = GENERATE(table<std::string, std::string>({
        {"", "empty"},
        {"https://h/app", "scheme"},
        {"h:1/App", "repository name"},
        {"h:1/", "repository name"},
        {"h:1/a//b", "repository name"},
        {"h:1/a___b", "repository name"},
        {"h:1/.a", "repository name"},
        {"h:1/a..b", "repository name"},
        {"h:1/app:", "not a tag"},
        {"h:1/app:-x", "not a tag"},
        {"h:99999/app", "not a host"},
        {"h:x1/app", "not a host"},
        {"[::1/app", "not a host"},
        {"h_x.io/app", "not a host"},
        {"h:1/app@sha256:abc", "digest"},
        {"h:1/app@md5:" + std::string(64, 'a'), "digest"},
        {"h:1/app:" + std::string(129, 't'), "not a tag"},
        {"h:1/" + std::string(256, 'r'), "repository name"},
        {std::string(250, 'r'), "repository name"},  // too long once it is library/…
    }));
    INFO(text);
    const auto got = parse_reference(text);
    REQUIRE_FALSE(got.has_value());
    CHECK(got.error().is(errc::invalid_argument));
    CHECK(got.error().context.find(reason) != std::string::npos);
}

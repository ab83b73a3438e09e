// HTTPS with an authority of the test's own.
#include <catch2/catch.hpp>

#include <cstdlib>

#include "registry/manifest.hpp"
#include "tests/support/client_rig.hpp"
#include "tests/support/fake_registry.hpp"

using namespace obd;
using namespace obd::test;

namespace {

void run(const std::string& command) {
    INFO(command);
    REQUIRE(std::system((command + " >/dev/null 2>&1").c_str()) == 0);  // NOLINT(cert-env33-c): a test's own words
}

/// ca.pem, and a server certificate for 127.0.0.1 that it signed.
struct authority {
    scratch_directory dir;
    authority() {
        const auto at = [this](const char* name) { return (dir.path() / name).string(); };
        const std::string key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        run("openssl req -x509 " + key + " -keyout " + at("ca.key") + " -out " + at("ca.pem") +
            " -subj /CN=obd-test -days 2");
        run("openssl req " + key + " -keyout " + at("server.key") + " -out " + at("server.csr") +
            " -subj /CN=127.0.0.1");
        dir.write("san", "subjectAltName=IP:127.0.0.1\n");
        run("openssl x509 -req -in " + at("server.csr") + " -CA " + at("ca.pem") + " -CAkey " + at("ca.key") +
            " -CAcreateserial -days 2 -extfile " + at("san") + " -out " + at("server.pem"));
    }
    fake_registry_options server() const {
        return {.tls_cert = dir.path() / "server.pem", .tls_key = dir.path() / "server.key", .unix_socket = {}};
    }
};

bool mentions(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

struct fixture {
    authority ca;
    scratch_directory dir;
    fake_registry registry{ca.server()};
    std::string bytes = random_bytes(50'000, 9);
    std::string digest = registry.add_blob(bytes);
    std::string blobs = registry.base() + "/v2/team/app/blobs";
    fixture() {
        registry.add_manifest(
            "v1", R"({"schemaVersion": 2, "layers": [], "config": {"digest": ")" + digest + R"(", "size": 1}})", "");
    }
};

}  // namespace

TEST_CASE_METHOD(fixture, "a certificate of a known authority is accepted") {
    auto options = client_rig::quick_options(dir.path());
    options.ca_file = ca.dir.path() / "ca.pem";
    client_rig rig(options);
    const auto source = rig.open(blobs, digest).value();
    CHECK(client_rig::read(*source, 1'000, 40'000) == bytes.substr(1'000, 40'000));
    // Resolving by reference speaks HTTPS too: this manifest is refused for what it holds.
    CHECK(mentions(rig.resolve(registry.host() + "/team/app:v1").error().message(), "no layers"));
}

TEST_CASE_METHOD(fixture, "a certificate of an unknown authority is refused, unless insecure") {
    client_rig rig(client_rig::quick_options(dir.path()));
    const auto refused = rig.open(blobs, digest);
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().is(errc::permission_denied));
    CHECK(mentions(refused.error().message(), "certificate"));
    CHECK(rig.resolve(registry.host() + "/team/app:v1").error().is(errc::permission_denied));
    CHECK(registry.requests().empty());

    rig->trust_insecure(blobs);
    const auto source = rig.open(blobs, digest).value();
    CHECK(client_rig::read(*source, 1'000, 100) == bytes.substr(1'000, 100));
    registry::resolve_options insecure;
    insecure.security = registry::transport_security::insecure;
    CHECK(mentions(rig.resolve(registry.host() + "/team/app:v1", insecure).error().message(), "no layers"));
}

TEST_CASE_METHOD(fixture, "a redirect from HTTPS to plain HTTP is refused, unless insecure") {
    fake_registry plain;
    plain.add_blob(bytes);
    registry.set_fault([&](const fake_request&, fake_reply& reply) {
        reply = {.status = 307, .headers = {}, .body = ""};
        reply.set_header("Location", plain.base() + "/x/blobs/" + digest);
    });
    auto options = client_rig::quick_options(dir.path());
    options.ca_file = ca.dir.path() / "ca.pem";
    client_rig rig(options);
    const auto refused = rig.open(blobs, digest);
    REQUIRE_FALSE(refused.has_value());
    CHECK(mentions(refused.error().message(), "plain HTTP"));
    CHECK(plain.requests().empty());
    rig->trust_insecure(registry.host());
    const auto source = rig.open(blobs, digest).value();
    CHECK(client_rig::read(*source, 0, 100) == bytes.substr(0, 100));
}

TEST_CASE_METHOD(fixture, "a file that is no certificate is named") {
    auto options = client_rig::quick_options(dir.path());
    options.ca_file = dir.write("ca.pem", "nonsense");
    client_rig rig(options);
    const auto refused = rig.open(blobs, digest);
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().is(errc::invalid_argument));
}

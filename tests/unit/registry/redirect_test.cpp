// Blobs that lie elsewhere: signed URLs, other hosts, loops.
#include <catch2/catch.hpp>

#include "tests/support/client_rig.hpp"
#include "tests/support/fake_registry.hpp"

using namespace obd;
using namespace obd::test;

namespace {

/// A registry that wants a password and sends blob requests on to a store that wants a signature.
struct fixture {
    scratch_directory dir;
    fake_registry registry;
    fake_registry store;
    std::string bytes = random_bytes(200'000, 4);
    std::string digest = store.add_blob(bytes);
    std::string blobs = registry.base() + "/v2/team/app/blobs";
    int signature = 1;

    fixture() {
        registry.require_basic("user", "secret");
        dir.write("cred.json",
                  R"({"auths": {")" + registry.host() + R"(": {"username": "user", "password": "secret"}}})");
        registry.set_fault([this](const fake_request& request, fake_reply& reply) {
            if (reply.status == 401 || request.target.find("/blobs/") == std::string::npos) return;
            reply = {.status = 307, .headers = {}, .body = "elsewhere"};
            reply.set_header("Location", store.base() + "/store/blobs/" + digest + "?sig=" + std::to_string(signature));
        });
        store.set_fault([this](const fake_request& request, fake_reply& reply) {
            if (request.target.ends_with("?sig=" + std::to_string(signature))) return;
            reply = {.status = 403, .headers = {}, .body = "expired"};
        });
    }
};

bool mentions(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE_METHOD(fixture, "Authorization stays at the origin it belongs to") {
    client_rig rig(client_rig::quick_options(dir.path()));
    const auto source = rig.open(blobs, digest).value();
    CHECK(source->size().value == bytes.size());
    CHECK(client_rig::read(*source, 100'000, 1'000) == bytes.substr(100'000, 1'000));
    REQUIRE(store.requests().size() >= 2);
    for (const auto& request : store.requests()) CHECK(request.header("authorization").empty());
}

TEST_CASE_METHOD(fixture, "where it redirected is remembered, and asked for again when the signature ran out") {
    client_rig rig(client_rig::quick_options(dir.path()));
    const auto source = rig.open(blobs, digest, bytes.size()).value();
    CHECK(client_rig::read(*source, 0, 10) == bytes.substr(0, 10));
    registry.clear_requests();
    CHECK(client_rig::read(*source, 100'000, 10) == bytes.substr(100'000, 10));
    CHECK(registry.requests().empty());
    signature = 2;
    CHECK(client_rig::read(*source, 180'000, 10) == bytes.substr(180'000, 10));
    CHECK(registry.requests().size() == 1);
}

TEST_CASE_METHOD(fixture, "a signed URL's query is in no message") {
    store.set_fault([](const fake_request&, fake_reply& reply) { reply = {.status = 404, .headers = {}, .body = ""}; });
    client_rig rig(client_rig::quick_options(dir.path()));
    const auto source = rig.open(blobs, digest, bytes.size()).value();
    const auto got = client_rig::read(*source, 0, 10);
    CHECK(mentions(got, "not found"));
    CHECK_FALSE(mentions(got, "sig="));
    CHECK_FALSE(mentions(rig.log_text(), "sig="));
}

TEST_CASE_METHOD(fixture, "a redirect loop ends") {
    registry.set_fault([this](const fake_request& request, fake_reply& reply) {
        if (reply.status == 401) return;
        reply = {.status = 302, .headers = {{"Location", request.target}}, .body = ""};
    });
    auto options = client_rig::quick_options(dir.path());
    options.tries = 1;
    client_rig rig(options);
    const auto source = rig.open(blobs, digest, bytes.size()).value();
    CHECK(mentions(client_rig::read(*source, 0, 10), "more than 8 redirects"));
    CHECK(registry.requests().size() <= 10);
}

TEST_CASE_METHOD(fixture, "bad redirects are errors") {
    const auto [location, reason] = GENERATE(table<std::string, std::string>({
        {"", "redirect"},
        {"file:///etc/passwd", "neither http nor https"},
        {"gopher://h/", "neither http nor https"},
        {"http://user:pw@h/", "redirect to"},
    }));
    registry.set_fault([location = location](const fake_request&, fake_reply& reply) {
        if (reply.status == 401) return;
        reply = {.status = 302, .headers = {}, .body = ""};
        if (!location.empty()) reply.set_header("Location", location);
    });
    client_rig rig(client_rig::quick_options(dir.path()));
    const auto source = rig.open(blobs, digest, bytes.size()).value();
    const auto got = client_rig::read(*source, 0, 10);
    INFO(got);
    CHECK(mentions(got, reason));
}

// Answers to 401, against a registry that asks in every way.
#include <catch2/catch.hpp>

#include "tests/support/client_rig.hpp"
#include "tests/support/fake_registry.hpp"

using namespace obd;
using namespace obd::test;

namespace {

struct fixture {
    scratch_directory dir;
    fake_registry registry;
    std::string bytes = random_bytes(50'000, 1);
    std::string digest = registry.add_blob(bytes);
    std::string blobs = registry.base() + "/v2/team/app/blobs";

    void credentials(const std::string& user, const std::string& password) const {
        dir.write("cred.json", R"({"auths": {")" + registry.host() + R"(/team": {"username": ")" + user +
                                   R"(", "password": ")" + password + R"("}}})");
    }
    /// Reads the blob from a client of its own, cold.
    std::string read_all() const {
        client_rig rig(client_rig::quick_options(dir.path()));
        const auto source = rig.open(blobs, digest, bytes.size());
        if (!source) return "failed: " + source.error().message();
        return client_rig::read(**source, 0, bytes.size());
    }
};

bool mentions(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE_METHOD(fixture, "anonymous access sends no Authorization") {
    CHECK(read_all() == bytes);
    for (const auto& request : registry.requests()) CHECK(request.header("authorization").empty());
}

TEST_CASE_METHOD(fixture, "Basic access with the right password, the wrong one, and none") {
    registry.require_basic("user", "pa:ss");
    SECTION("right") {
        credentials("user", "pa:ss");
        CHECK(read_all() == bytes);
    }
    SECTION("wrong: one try with it, no more") {
        credentials("user", "wrong");
        const auto got = read_all();
        CHECK(mentions(got, "status 401 Unauthorized"));
        CHECK(mentions(got, "permission denied"));
        CHECK_FALSE(mentions(got, "wrong"));
        CHECK(registry.requests().size() <= 2 * 4);  // four extents at most, each asked twice
    }
    SECTION("none") {
        CHECK(mentions(read_all(), "wants a user name and a password"));
    }
}

TEST_CASE_METHOD(fixture, "the credential file is read again when the password was refused") {
    registry.require_basic("user", "new");
    credentials("user", "old");
    client_rig rig(client_rig::quick_options(dir.path()));
    const auto source = rig.open(blobs, digest, bytes.size()).value();
    CHECK(mentions(client_rig::read(*source, 0, 10), "permission denied"));
    credentials("user", "new");
    CHECK(client_rig::read(*source, 0, 10) == bytes.substr(0, 10));
}

TEST_CASE_METHOD(fixture, "Bearer tokens: anonymous and with a user, both spellings, one for all requests") {
    const bool with_user = GENERATE(false, true);
    if (with_user) {
        registry.require_bearer("user", "pass");
        credentials("user", "pass");
    } else {
        registry.require_bearer();
    }
    CHECK(read_all() == bytes);
    CHECK(read_all() == bytes);  // served from the cache, or with another client's token
    CHECK(registry.count("GET", "/token") >= 1);
    for (const auto& request : registry.requests()) {
        if (!request.target.starts_with("/token")) continue;
        CHECK(mentions(request.target, "service=fake%2C%20with%20comma"));
        CHECK(mentions(request.target, "scope=repository%3Ateam%2Fapp%3Apull"));
        CHECK(request.header("authorization").empty() != with_user);
    }
}

TEST_CASE_METHOD(fixture, "concurrent reads share one token request") {
    registry.require_bearer();
    client_rig rig(client_rig::quick_options(dir.path()));
    const auto source = rig.open(blobs, digest, bytes.size()).value();
    asio::io_context context;
    std::string first(100, '?');
    std::string second(100, '?');
    int complete = 0;
    const auto count = [&](const std::exception_ptr& thrown, const result<void>& done) {
        complete += !thrown && done ? 1 : 0;
    };
    asio::co_spawn(context, source->read({0}, std::as_writable_bytes(std::span(first))), count);
    asio::co_spawn(context, source->read({40'000}, std::as_writable_bytes(std::span(second))), count);
    context.run();
    CHECK(complete == 2);
    CHECK(first == bytes.substr(0, 100));
    CHECK(second == bytes.substr(40'000, 100));
    CHECK(registry.count("GET", "/token") == 1);
}

TEST_CASE_METHOD(fixture, "a token that is worth nothing any more is renewed once") {
    registry.require_bearer();
    client_rig rig(client_rig::quick_options(dir.path()));
    const auto source = rig.open(blobs, digest, bytes.size()).value();
    CHECK(client_rig::read(*source, 0, 10) == bytes.substr(0, 10));
    registry.revoke_tokens();
    CHECK(client_rig::read(*source, 40'000, 10) == bytes.substr(40'000, 10));
    CHECK(registry.count("GET", "/token") == 2);
}

TEST_CASE_METHOD(fixture, "a token service that refuses ends it; one that is ill is asked again") {
    registry.require_bearer("user", "pass");
    SECTION("refuses") {
        credentials("user", "wrong");
        const auto got = read_all();
        CHECK(mentions(got, "token service"));
        CHECK(mentions(got, "permission denied"));
    }
    SECTION("ill") {
        credentials("user", "pass");
        int failures = 2;
        registry.set_fault([&failures](const fake_request& request, fake_reply& reply) {
            if (request.target.starts_with("/token") && failures-- > 0)
                reply = {.status = 503, .headers = {}, .body = ""};
        });
        CHECK(read_all() == bytes);
    }
    SECTION("speaks nonsense") {
        credentials("user", "pass");
        registry.set_fault([](const fake_request& request, fake_reply& reply) {
            if (request.target.starts_with("/token")) reply.body = "{\"token\": 5}";
        });
        CHECK(mentions(read_all(), "token"));
    }
}

TEST_CASE_METHOD(fixture, "an unknown scheme is named, not answered") {
    registry.set_fault([](const fake_request&, fake_reply& reply) {
        reply.status = 401;
        reply.set_header("WWW-Authenticate", "Digest realm=x");
    });
    CHECK(mentions(read_all(), "no Basic or Bearer challenge"));
}

TEST_CASE_METHOD(fixture, "a credential helper is asked with the blob's url") {
    registry.require_basic("user", "pass");
    const bool over_unix = GENERATE(false, true);
    fake_registry_options how;
    if (over_unix) how.unix_socket = dir.path() / "helper.sock";
    fake_registry helper(how);
    fake_reply answer;
    answer.body = R"({"traceId": "", "success": true, "data": {"auths": {")" + registry.host() +
                  R"(": {"username": "user", "password": "pass"}}}})";
    helper.add_page("/auth", answer);
    auto options = client_rig::quick_options(dir.path());
    options.helper.emplace();
    options.helper->url = over_unix ? "http://localhost/auth" : helper.host() + "/auth";
    options.helper->unix_socket = how.unix_socket;
    client_rig rig(options);
    const auto source = rig.open(blobs, digest, bytes.size()).value();
    CHECK(client_rig::read(*source, 0, 10) == bytes.substr(0, 10));
    REQUIRE(!helper.requests().empty());
    CHECK(mentions(helper.requests()[0].target, "/auth?remote_url=http%3A%2F%2F127.0.0.1"));
    CHECK(mentions(helper.requests()[0].target, "%2Fv2%2Fteam%2Fapp%2Fblobs%2Fsha256%3A"));
}

#include "registry/credentials.hpp"

#include <catch2/catch.hpp>

#include "tests/support/client_rig.hpp"

using namespace obd;
using namespace obd::registry;

namespace {

std::string auths(const std::string& entries) {
    return R"({"auths": {)" + entries + "}}";
}

/// The user that is found, or "-".
std::string user_for(const std::string& document, const std::string& host, const std::string& repository) {
    credential_query query;
    query.host = host;
    query.repository = repository;
    const auto found = match_credential(document, "cred.json", query);
    if (!found) return "failed: " + found.error().message();
    return *found ? (*found)->username : "-";
}

}  // namespace

TEST_CASE("the longest key that is the host or a path prefix wins") {
    const auto document = auths(R"(
        "h:5000": {"username": "host", "password": "x"},
        "h:5000/team/app": {"username": "app", "password": "x"},
        "h:5000/team": {"username": "team", "password": "x"},
        "https://other.io/": {"username": "scheme", "password": "x"},
        "https://index.docker.io/v1/": {"username": "hub", "password": "x"})");
    const auto [host, repository, user] = GENERATE(table<std::string, std::string, std::string>({
        {"h:5000", "team/app", "app"},
        {"h:5000", "team/app/sub", "app"},
        {"h:5000", "team/application", "team"},
        {"h:5000", "teams/x", "host"},
        {"H:5000", "x", "host"},
        {"h", "x", "-"},
        {"h:50000", "x", "-"},
        {"other.io", "a", "scheme"},
        {"registry-1.docker.io", "library/busybox", "hub"},
        {"docker.io", "library/busybox", "hub"},
    }));
    INFO(host << "/" << repository);
    CHECK(user_for(document, host, repository) == user);
}

TEST_CASE("an entry's auth member comes before its user name") {
    CHECK(user_for(auths(R"("h": {"auth": "dXNlcjpwYXNz", "username": "other"})"), "h", "x") == "user");
    CHECK(user_for(auths(R"("h": {"auth": "bm9jb2xvbg==", "username": "other", "password": "p"})"), "h", "x") ==
          "other");
    CHECK(user_for(auths(R"("h": {})"), "h", "x") == "-");
    CHECK(user_for(R"({})", "h", "x") == "-");
    credential_query query;
    query.host = "h";
    query.repository = "x";
    const auto found = match_credential(auths(R"("h": {"auth": "dXNlcjpwYTpzcw=="})"), "cred.json", query).value();
    CHECK(found->password == "pa:ss");
}

TEST_CASE("what can't be used is refused, without the secret") {
    const auto [document, reason] = GENERATE(table<std::string, std::string>({
        {auths(R"("h": {"identitytoken": "hunter2", "username": "u"})"), "identity tokens are not supported"},
        {auths(R"("h": {"auth": "hunter2!"})"), "not base64"},
        {auths(R"("h": {"auth": "aHVudGVyMg=="})"), "user:password"},
        {auths(R"("h": "hunter2")"), "not an object"},
        {R"({"auths": )", "line 1"},
        {R"({"auths": []})", "auths"},
    }));
    const auto got = user_for(document, "h", "x");
    INFO(got);
    CHECK(got.find("failed: cred.json") == 0);
    CHECK(got.find(reason) != std::string::npos);
    CHECK(got.find("hunter2") == std::string::npos);
}

TEST_CASE("a credential file that is not there is an empty one; one that can't be read is an error") {
    const test::scratch_directory dir;
    credential_query query;
    query.host = "h";
    const auto absent = make_credential_file(dir.path() / "none.json");
    CHECK(test::await(absent->find(query)).value() == std::nullopt);
    const auto broken = make_credential_file(dir.write("cred.json", "{"));
    CHECK(test::await(broken->find(query)).error().is(errc::invalid_argument));
}

TEST_CASE("base64 in both directions") {
    const auto [plain, packed] = GENERATE(table<std::string, std::string>({
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {std::string("\0\xff", 2), "AP8="},
    }));
    CHECK(base64_encode(plain) == packed);
    CHECK(base64_decode(packed) == plain);
    CHECK_FALSE(base64_decode("abc"));
    CHECK_FALSE(base64_decode("!!!!"));
}

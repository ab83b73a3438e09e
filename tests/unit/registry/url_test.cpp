#include "registry/url.hpp"

#include <catch2/catch.hpp>

#include "registry/blob_fetcher.hpp"
#include "registry/http_status.hpp"

using namespace obd;
using namespace obd::registry;

TEST_CASE("urls are taken apart, and shown without their secrets") {
    const auto got = parse_url("HTTPS://Host.Example/v2/a/blobs/x?sig=secret");
    REQUIRE(got.has_value());
    CHECK(got->origin() == "https://host.example:443");
    CHECK(got->text() == "https://host.example/v2/a/blobs/x?sig=secret");
    CHECK(got->without_query() == "https://host.example/v2/a/blobs/x");
    CHECK(parse_url("http://[::1]:5000/")->origin() == "http://[::1]:5000");
    const auto bad =
        GENERATE(as<std::string>{}, "", "ftp://h/", "file:///etc/passwd", "http://", "http://user:pw@h/", "h/x");
    INFO(bad);
    CHECK_FALSE(parse_url(bad).has_value());
}

TEST_CASE("redirect targets are seen from where they were met") {
    const auto base = parse_url("https://h.io:444/v2/a/blobs/x?q=1").value();
    const auto [location, text] = GENERATE(table<std::string, std::string>({
        {"https://cdn.io/y?sig=1", "https://cdn.io/y?sig=1"},
        {"/z", "https://h.io:444/z"},
        {"y", "https://h.io:444/v2/a/blobs/y"},
        {"//cdn.io/y", "https://cdn.io/y"},
    }));
    CHECK(resolve_location(base, location)->text() == text);
    CHECK_FALSE(resolve_location(base, "file:///etc/passwd").has_value());
    CHECK_FALSE(resolve_location(base, "https://user:pw@evil/").has_value());
}

TEST_CASE("loopback is what can't be another machine") {
    const auto [host, is] = GENERATE(table<std::string, bool>({
        {"localhost", true},
        {"localhost:5000", true},
        {"127.0.0.1:1", true},
        {"127.9.9.9", true},
        {"[::1]:5", true},
        {"127.evil.example", false},
        {"localhost.evil", false},
        {"128.0.0.1", false},
        {"127.0.0.1.evil:1", false},
        {"h", false},
    }));
    INFO(host);
    CHECK(is_loopback_host(host) == is);
}

TEST_CASE("percent encoding leaves unreserved characters alone") {
    CHECK(percent_encode("a-Z_0.~") == "a-Z_0.~");
    CHECK(percent_encode("repository:a/b:pull,push") == "repository%3Aa%2Fb%3Apull%2Cpush");
}

TEST_CASE("Content-Range is read strictly", "[rfc9110-14.4]") {
    const auto whole = parse_content_range("bytes 0-4095/100000");
    REQUIRE(whole);
    CHECK(whole->first == 0);
    CHECK(whole->last == 4095);
    CHECK(whole->total == 100000u);
    CHECK(parse_content_range("bytes 5-5/*")->total == std::nullopt);
    const auto bad =
        GENERATE(as<std::string>{}, "", "bytes", "bytes 5-4/10", "bytes 0-9/9", "bytes 0-9/10x", "octets 0-1/2",
                 "bytes */10", "bytes 0-/10", "bytes -1-2/3", "bytes 0-99999999999999999999/5");
    INFO(bad);
    CHECK_FALSE(parse_content_range(bad));
}

TEST_CASE("Retry-After comes as seconds or as a date", "[rfc9110-10.2.3]") {
    const auto now = std::chrono::system_clock::from_time_t(784111777);  // Sun, 06 Nov 1994 08:49:37 GMT
    const auto [value, seconds] = GENERATE(table<std::string, int>({
        {"0", 0},
        {"120", 120},
        {"Sun, 06 Nov 1994 08:50:37 GMT", 60},
        {"Sun, 06 Nov 1994 08:00:00 GMT", 0},
        {"999999999", 3600},
    }));
    http_response response;
    response.headers.emplace_back("retry-after", value);
    INFO(value);
    CHECK(retry_after(response, now) == std::chrono::seconds(seconds));
    response.headers[0].second = "soon";
    CHECK_FALSE(retry_after(response, now));
}

TEST_CASE("each status has its meaning") {
    const auto [status, code, transient] = GENERATE(table<int, errc, bool>({
        {400, errc::invalid_argument, false},
        {401, errc::permission_denied, false},
        {403, errc::permission_denied, false},
        {404, errc::not_found, false},
        {408, errc::unavailable, true},
        {410, errc::not_found, false},
        {416, errc::out_of_range, false},
        {429, errc::unavailable, true},
        {500, errc::unavailable, true},
        {502, errc::unavailable, true},
        {503, errc::unavailable, true},
        {504, errc::unavailable, true},
        {302, errc::invalid_argument, false},
    }));
    http_request request;
    request.url = "http://h/v2/x?sig=secret";
    http_response response;
    response.status = status;
    response.body = R"({"errors":[{"code":"DENIED","message":"no\u0007way"}]})";
    const auto why = status_failure(request, response);
    INFO(why.message());
    CHECK(why.is(code));
    CHECK(is_transient(why) == transient);
    CHECK(why.context.find("GET http://h/v2/x: status " + std::to_string(status)) == 0);
    CHECK(why.context.find("DENIED: no?way") != std::string::npos);
    CHECK(why.context.find("secret") == std::string::npos);
}

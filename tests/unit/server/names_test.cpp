#include "server/catalog/names.hpp"

#include <catch2/catch.hpp>

#include "tests/unit/server/fakes.hpp"

using namespace obd;
using namespace obd::server;

TEST_CASE("names derived from references") {
    struct row {
        const char* reference;
        const char* name;
    };
    const auto one = GENERATE(values<row>({
        {"busybox", "busybox"},
        {"busybox:1.36", "busybox-1.36"},
        {"library/web:v1", "library-web-v1"},
        {"localhost/web", "web"},
        {"localhost:5000/library/Web_App:1", "library-web-app-1"},
        {"registry.example.com/a/b/c:latest", "a-b-c-latest"},
        {"[::1]:5000/web", "web"},
        {"host:5000/web@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", "web-0123456789ab"},
        {"host:5000/___", "image"},
    }));
    CHECK(name_from_reference(one.reference) == one.name);
    CHECK(check_export_name(name_from_reference(one.reference)));
    CHECK(check_export_name(name_from_reference(std::string(300, 'x'))));
}

TEST_CASE("names derived from image configs") {
    CHECK(name_from_config("/images/web/config.v1.json") == "web");
    CHECK(name_from_config("/images/Web.json") == "web");
    CHECK(name_from_config("/config.v1.json") == "image");
}

TEST_CASE("names that cannot be the end of an iSCSI name are refused") {
    for (const std::string good : {"a", "web-1", "0.x:y"}) CHECK(check_export_name(good));
    for (const std::string bad : {"", "Web", "a_b", "a b", "-a", ".a", "a/b", "ä"}) {
        INFO(bad);
        CHECK(check_export_name(bad).error().is(errc::invalid_argument));
    }
    CHECK_FALSE(check_export_name(std::string(101, 'a')));
}

TEST_CASE("target names") {
    CHECK(target_name("web", "iqn.2026-11.io.x").value() == "iqn.2026-11.io.x:web");
    CHECK(target_name("iqn.2001-04.com.example:a", "p").value() == "iqn.2001-04.com.example:a");
    CHECK(target_name("naa.52004567ba64678d", "p").value() == "naa.52004567ba64678d");
    CHECK_FALSE(target_name("iqn.2001 x", "p"));
    CHECK_FALSE(target_name("iqn." + std::string(220, 'a'), "p"));
}

TEST_CASE("designators depend on the content alone") {
    const std::string content = "ff23456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const auto id = unit_identity(content, "iqn.a");
    CHECK(id.serial == content.substr(0, 32));
    CHECK(id.naa == 0x3ff23456789abcdeull);
    CHECK(id.name == "iqn.a");
    CHECK((id.eui[8] & std::byte{3}) == std::byte{2});
    const auto again = unit_identity(content, "iqn.b");
    CHECK(again.serial == id.serial);
    CHECK(again.eui == id.eui);
}

TEST_CASE("redirections name a host and a port, and no portal group tag", "[rfc7143-13.8]") {
    using kind = iscsi::redirection::kind;
    for (const std::string good : {"192.0.2.7:3260", "[2001:db8::7]:3260", "node7.example.com:1"}) {
        INFO(good);
        const auto parsed = parse_redirect(good, kind::permanent);
        REQUIRE(parsed.has_value());
        CHECK(parsed->address == good);
        CHECK(parsed->how == kind::permanent);
    }
    for (const std::string bad : {"", "host", ":1", "host:", "host:0", "host:65536", "host:1,1", "ho st:1", "[]:1",
                                  "[x]:1", "host:1x", "a=b:1"}) {
        INFO(bad);
        CHECK(parse_redirect(bad, kind::temporary).error().is(errc::invalid_argument));
    }
}

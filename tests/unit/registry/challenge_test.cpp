#include "registry/challenge.hpp"

#include <catch2/catch.hpp>

using namespace obd::registry;

TEST_CASE("a Bearer challenge with commas and escapes in its strings", "[rfc9110-11.6.1]") {
    const auto all = parse_challenges(
        R"(Bearer realm="https://auth.io/token",service="a, \"b\"",scope="repository:x:pull,push repository:y:pull")");
    REQUIRE(all.size() == 1);
    CHECK(all[0].scheme == "bearer");
    CHECK(all[0].param("realm") == "https://auth.io/token");
    CHECK(all[0].param("service") == "a, \"b\"");
    CHECK(split_scopes(all[0].param("scope")) ==
          std::vector<std::string>{"repository:x:pull,push", "repository:y:pull"});
    CHECK(all[0].param("nothing").empty());
}

TEST_CASE("several challenges in one header") {
    const auto all = parse_challenges(R"(Negotiate abc==, Basic Realm = "x y" , charset=UTF-8, ,BEARER realm=z)");
    REQUIRE(all.size() == 3);
    CHECK(all[0].scheme == "negotiate");
    CHECK(all[0].token68 == "abc==");
    CHECK(all[1].scheme == "basic");
    CHECK(all[1].param("realm") == "x y");
    CHECK(all[1].param("charset") == "UTF-8");
    CHECK(all[2].scheme == "bearer");
    CHECK(all[2].param("realm") == "z");
}

TEST_CASE("a bare scheme, and a scheme after it") {
    const auto all = parse_challenges("Basic, Bearer realm=\"r\"");
    REQUIRE(all.size() == 2);
    CHECK(all[0].params.empty());
    CHECK(all[1].param("realm") == "r");
}

TEST_CASE("what follows the first violation is left out") {
    const auto [text, challenges] = GENERATE(table<std::string, std::size_t>({
        {"", 0},
        {",,,", 0},
        {"=x", 0},
        {"a=b", 0},
        {"Bearer realm=\"never ends", 1},
        {"Bearer realm=,Basic", 2},
        {"\"quoted\"", 0},
        {"Bearer realm=\"a\" \x01", 1},
    }));
    INFO(text);
    CHECK(parse_challenges(text).size() == challenges);
}

TEST_CASE("scopes split at spaces") {
    CHECK(split_scopes("").empty());
    CHECK(split_scopes("  a  b ") == std::vector<std::string>{"a", "b"});
}

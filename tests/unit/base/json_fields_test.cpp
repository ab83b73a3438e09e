#include <catch2/catch.hpp>

#include "base/json/fields.hpp"

using namespace obd;

namespace {

std::string error_of(std::string_view text) {
    auto document = json::parse(text, "f");
    return document ? "" : document.error().message();
}

}  // namespace

TEST_CASE("what is not JSON is refused with its place") {
    CHECK(error_of("{\n \"a\": }").find("f: line 2 column") == 0);
    CHECK(error_of("3").find("root") != std::string::npos);
    CHECK(error_of(R"({"a": 1, "b": [{"c": 1, "c": 2}]})").find("\"c\" occurs twice") != std::string::npos);
    CHECK(error_of(std::string(100000, '[')).find("f: line 1") == 0);
}

TEST_CASE("members are typed, with defaults and with errors that name them") {
    const auto document =
        json::parse(R"({"s": "x", "n": 7, "b": true, "o": {"n": 1}, "l": ["p"], "z": null, "extra": 1})", "f");
    const json::object root(document.value(), "f");
    CHECK(root.string("s", "").value() == "x");
    CHECK(root.string("z", "default").value() == "default");
    CHECK(root.integer("n", 0, {0, 10}).value() == 7);
    CHECK(root.boolean("b", false).value());
    CHECK(root.boolean("absent", true).value());
    CHECK(root.child("o").value().integer("n", 0, {0, 10}).value() == 1);
    CHECK(root.child("absent").value().integer("n", 5, {0, 10}).value() == 5);
    CHECK(root.strings("l").value() == std::vector<std::string>{"p"});
    CHECK(root.unknown_members() == std::vector<std::string>{"extra"});

    CHECK(root.string("n", "").error().context == "f: \"n\" must be a string");
    CHECK(root.integer("n", 0, {8, 9}).error().context == "f: \"n\" must be an integer from 8 to 9");
    CHECK(root.integer("s", 0, {0, 9}).error().context == "f: \"s\" must be an integer from 0 to 9");
    CHECK(root.child("o").value().string("n", "").error().context == "f: o: \"n\" must be a string");
    CHECK_FALSE(root.child("l").has_value());
    CHECK_FALSE(root.objects("l").has_value());
}

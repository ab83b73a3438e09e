#include "layers/image_config.hpp"

#include <catch2/catch.hpp>
#include <string>

namespace obd::layers {
namespace {

result<image_config> parse(std::string_view text) {
    return parse_image_config(text, "/base", "c.json");
}

}  // namespace

TEST_CASE("every documented member of an image config is taken") {
    const auto config = parse(R"({
        "repoBlobUrl": "https://host/v2/a/blobs",
        "lowers": [{"file": "l0", "dir": "/abs/d", "digest": "sha256:x", "size": 9007199254740993,
                    "targetFile": "t", "targetDigest": "sha256:t", "gzipIndex": "g"}],
        "upper": {"index": "u.index", "data": "/u.data", "target": "ut", "gzipIndex": "ug", "vsize": 64},
        "resultFile": "r.txt",
        "download": {"enable": true, "delay": 1, "delayExtra": 2, "maxMBps": 3, "tryCnt": 4, "blockSize": 8192},
        "accelerationLayer": true,
        "recordTracePath": "trace"})")
                            .value();
    CHECK(config.repo_blob_url == "https://host/v2/a/blobs");
    REQUIRE(config.lowers.size() == 1);
    CHECK(config.lowers[0].file == "/base/l0");
    CHECK(config.lowers[0].dir == "/abs/d");
    CHECK(config.lowers[0].digest == "sha256:x");
    CHECK(config.lowers[0].size_bytes == 9007199254740993u);
    CHECK(config.lowers[0].target_file == "/base/t");
    CHECK(config.lowers[0].target_digest == "sha256:t");
    CHECK(config.lowers[0].gzip_index == "/base/g");
    CHECK(config.upper.index == "/base/u.index");
    CHECK(config.upper.data == "/u.data");
    CHECK(config.upper.target == "/base/ut");
    CHECK(config.upper.writable());
    CHECK(config.result_file == "/base/r.txt");
    REQUIRE(config.download.has_value());
    CHECK(config.download->enable);
    CHECK(config.download->block_bytes == 8192);
    CHECK(config.download->tries == 4);
    CHECK(config.acceleration_layer);
    CHECK(config.record_trace_path == "/base/trace");
    CHECK(config.unknown_members.empty());
}

TEST_CASE("members that are absent take their defaults") {
    const auto config = parse("{}").value();
    CHECK(config.lowers.empty());
    CHECK(!config.upper.writable());
    CHECK(!config.download.has_value());
    CHECK(config.result_file.empty());
    CHECK(!parse(R"({"upper": {"data": "d"}})").value().upper.writable());
}

TEST_CASE("unknown members are collected with their place") {
    const auto config = parse(R"({"a": 1, "lowers": [{}, {"b": 2}], "upper": {"c": 3}, "download": {"d": 4}})").value();
    CHECK(config.unknown_members == std::vector<std::string>{"lowers[1].b", "upper.c", "download.d", "a"});
}

TEST_CASE("members of the wrong type are refused by name") {
    struct wrong {
        const char* text;
        const char* member;
    };
    const wrong table[] = {
        {R"({"repoBlobUrl": 1})", "repoBlobUrl"},
        {R"({"lowers": {}})", "lowers"},
        {R"({"lowers": ["x"]})", "lowers"},
        {R"({"lowers": [{"size": "9"}]})", "size"},
        {R"({"lowers": [{"size": -1}]})", "size"},
        {R"({"lowers": [{"file": 3}]})", "file"},
        {R"({"upper": []})", "upper"},
        {R"({"upper": {"data": true}})", "data"},
        {R"({"resultFile": {}})", "resultFile"},
        {R"({"accelerationLayer": "yes"})", "accelerationLayer"},
        {R"({"download": {"enable": 1}})", "enable"},
        {R"({"download": {"blockSize": 0}})", "blockSize"},
        {R"({"recordTracePath": 0})", "recordTracePath"},
        {"[]", "c.json"},
        {"{", "c.json"},
    };
    for (const auto& row : table) {
        INFO(row.text);
        const auto config = parse(row.text);
        REQUIRE(!config.has_value());
        INFO(config.error().message());
        CHECK(config.error().message().find(row.member) != std::string::npos);
        CHECK(config.error().message().starts_with("c.json"));
    }
}

TEST_CASE("a config that lists absurdly many layers is refused") {
    std::string text = R"({"lowers": [{})";
    for (int i = 0; i < 300; ++i) text += ",{}";
    const auto config = parse(text + "]}");
    REQUIRE(!config.has_value());
    CHECK(config.error().is(errc::limit_exceeded));
}

}  // namespace obd::layers

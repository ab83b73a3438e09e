// overlaybdctl's parts that need no daemon.
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "base/json/fields.hpp"
#include "tests/unit/server/fakes.hpp"
#include "tools/ctl/api_client.hpp"
#include "tools/ctl/request_body.hpp"
#include "tools/ctl/tables.hpp"

using namespace obd;
using namespace obd::ctl;

TEST_CASE("sizes for people, and from people") {
    CHECK(human_size(0) == "0 B");
    CHECK(human_size(1023) == "1023 B");
    CHECK(human_size(1024) == "1.0 KiB");
    CHECK(human_size(64ull << 20) == "64.0 MiB");
    CHECK(human_size(~0ull) == "16.0 EiB");
    struct row {
        const char* text;
        std::uint64_t bytes;
    };
    const auto good = GENERATE(values<row>({{"4096", 4096},
                                            {"1K", 1024},
                                            {"2m", 2 << 20},
                                            {"1.5G", 3ull << 29},
                                            {"20GiB", 20ull << 30},
                                            {"1TB", 1ull << 40}}));
    std::uint64_t bytes = 0;
    CHECK(parse_size(good.text, bytes));
    CHECK(bytes == good.bytes);
    for (const char* bad : {"", "x", "-1", "1Q", "1GG", "nan", "1e30", "5iB"}) {
        INFO(bad);
        CHECK_FALSE(parse_size(bad, bytes));
    }
}

TEST_CASE("tables line up") {
    table some({"A", "LONG"});
    some.row({"value", "x"});
    some.row({"v", ""});
    CHECK(some.text() == "A      LONG\nvalue  x\nv\n");
}

TEST_CASE("path segments are encoded") {
    CHECK(percent_encoded("a-b:/ %") == "a-b%3A%2F%20%25");
}

TEST_CASE("attach bodies carry absolute paths and what was asked for, nothing else") {
    attach_options what;
    what.config = "dir/../config.v1.json";
    what.lun = 3;
    what.writable = "append";
    const auto body = json::parse(attach_body(what).value(), "body").value();
    CHECK(body["config"].GetString() == (std::filesystem::current_path() / "config.v1.json").native());
    CHECK(body["lun"].GetInt64() == 3);
    CHECK(body["writable"].GetString() == std::string("append"));
    CHECK(body.MemberCount() == 3);
}

TEST_CASE("with clones, --writable and --upper are theirs") {
    attach_options what;
    what.reference = "a";
    what.clones = "discard";
    what.writable = "sparse";
    what.upper = "/clones";
    what.quota = "2K";
    what.redirect = "host:1";
    const auto body = json::parse(attach_body(what).value(), "body").value();
    CHECK_FALSE(body.HasMember("writable"));
    CHECK(body["clones"]["mode"].GetString() == std::string("discard"));
    CHECK(body["clones"]["writable"].GetString() == std::string("sparse"));
    CHECK(body["clones"]["root"].GetString() == std::string("/clones"));
    CHECK(body["quota_bytes"].GetUint64() == 2048);
    CHECK(body["redirect"]["address"].GetString() == std::string("host:1"));
    what.quota = "much";
    CHECK_FALSE(attach_body(what).has_value());
    CHECK(redirect_body({"x", "none", false}) == "{}");
}

TEST_CASE("secrets come from a file") {
    const server::test::scratch_directory folder;
    attach_options what;
    what.reference = "a";
    what.chap_file = folder / "chap.json";
    CHECK_FALSE(attach_body(what));
    std::ofstream(what.chap_file) << R"({"user": "u", "secret": "s"})";
    const auto body = json::parse(attach_body(what).value(), "body").value();
    CHECK(body["auth"]["user"].GetString() == std::string("u"));
}

// Log lines, rotation, reopening, the audit log.
#include <catch2/catch.hpp>
#include <fstream>
#include <regex>
#include <sstream>

#include "server/logging/audit.hpp"
#include "server/logging/log_file.hpp"
#include "server/logging/logs.hpp"
#include "tests/unit/server/fakes.hpp"

using namespace obd;
using namespace obd::server;

namespace {

std::string content(const std::filesystem::path& path) {
    std::stringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
}

log_config into(const std::filesystem::path& path) {
    log_config config;
    config.level = 0;
    config.file = {.path = path, .max_bytes = 10 << 20, .rotations = 3, .named = true};
    return config;
}

}  // namespace

TEST_CASE("log lines have the reference's form, one line a record") {
    const server::test::scratch_directory folder;
    auto all = logs::open(into(folder / "log/overlaybd.log")).value();
    all->iscsi().info("hello\nworld");
    all->server().log(spdlog::source_loc{"/some/file.cpp", 7, "function"}, spdlog::level::warn, "x");
    all->layers().debug("d");
    all->registry().error("e");
    std::istringstream lines(content(folder / "log/overlaybd.log"));
    const std::string head = R"(\d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d{6}\|)";
    for (const auto& rest :
         {R"(INFO \|th=[0-9A-F]+\|iscsi:0\|-:hello world)", R"(WARN \|th=[0-9A-F]+\|file\.cpp:7\|function:x)",
          R"(DEBUG\|th=[0-9A-F]+\|layers:0\|-:d)", R"(ERROR\|th=[0-9A-F]+\|registry:0\|-:e)"}) {
        std::string line;
        REQUIRE(std::getline(lines, line));
        INFO(line);
        CHECK(std::regex_match(line, std::regex(head + rest)));
    }
}

TEST_CASE("the level is obeyed") {
    const server::test::scratch_directory folder;
    auto config = into(folder / "log");
    config.level = 2;
    auto all = logs::open(config).value();
    all->server().info("quiet");
    all->server().warn("loud");
    CHECK_THAT(content(folder / "log"), !Catch::Contains("quiet") && Catch::Contains("loud"));
}

TEST_CASE("a log is rotated by size and keeps as many as it should") {
    const server::test::scratch_directory folder;
    auto file = rotated_file::open({.path = folder / "log", .max_bytes = 10, .rotations = 2, .named = true}).value();
    for (const char* line : {"first..\n", "second.\n", "third..\n", "fourth.\n"}) file.append(line);
    CHECK(content(folder / "log") == "fourth.\n");
    CHECK(content(folder / "log.1") == "third..\n");
    CHECK(content(folder / "log.2") == "second.\n");
    CHECK_FALSE(std::filesystem::exists(folder / "log.3"));
}

TEST_CASE("a rotation count of zero starts the file anew") {
    const server::test::scratch_directory folder;
    auto file = rotated_file::open({.path = folder / "log", .max_bytes = 10, .rotations = 0, .named = true}).value();
    file.append("first..\n");
    file.append("second.\n");
    CHECK(content(folder / "log") == "second.\n");
}

TEST_CASE("a file that was moved away is left alone after reopen") {
    const server::test::scratch_directory folder;
    auto all = logs::open(into(folder / "log")).value();
    all->server().info("before");
    std::filesystem::rename(folder / "log", folder / "moved");
    all->server().info("between");
    all->reopen();
    all->server().info("after");
    CHECK_THAT(content(folder / "moved"), Catch::Contains("between") && !Catch::Contains("after"));
    CHECK_THAT(content(folder / "log"), Catch::Contains("after") && !Catch::Contains("before"));
}

TEST_CASE("a log that the config names and cannot be written is an error") {
    const server::test::scratch_directory folder;
    std::ofstream(folder / "file").flush();
    const auto opened = logs::open(into(folder / "file/log"));
    REQUIRE_FALSE(opened);
    CHECK_THAT(opened.error().message(), Catch::Contains("file/log"));
}

TEST_CASE("audit lines") {
    const server::test::scratch_directory folder;
    auto audit =
        audit_log::open({.path = folder / "audit", .max_bytes = 1 << 20, .rotations = 1, .named = true}).value();
    audit->write("attach", {{"pathname", "web"}, {"by", "evil][x=1\nline"}});
    const auto line = content(folder / "audit");
    INFO(line);
    CHECK(std::regex_match(
        line,
        std::regex(
            R"(\d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d{6}\|AUDIT\|th=[0-9A-F]+\|attach\[pathname=web\]\[by=evil\?\?x=1\?line\]\n)")));
    audit_log off;
    CHECK_FALSE(off.enabled());
    off.write("attach", {});
}

// The admin API over a real Unix socket, asked by overlaybdctl's own code and by a client that misbehaves.
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <catch2/catch.hpp>
#include <fstream>
#include <sstream>
#include <thread>

#include "base/json/fields.hpp"
#include "server/admin/http_server.hpp"
#include "server/admin/routes.hpp"
#include "server/admin/snapshot_service.hpp"
#include "tests/unit/server/fakes.hpp"
#include "tools/ctl/api_client.hpp"
#include "tools/ctl/command_line.hpp"
#include "tools/ctl/exit_codes.hpp"

using namespace obd;
using namespace obd::server;
using namespace obd::server::test;

namespace {

using local = asio::local::stream_protocol;

/// A catalog behind an admin socket, served by a thread of its own.
struct admin_fixture {
    admin_fixture() : fix(folder / "state"), routes(fix.exports, fix.target, fix.audit) {
        http_server_options options;
        options.body_bytes = 4096;
        options.header_bytes = 1024;
        options.connections = 2;
        server = http_server::start(listen_on_unix(socket).value(), options, fix.control.get_executor(), routes,
                                    quiet_log());
        fix.opener.images["host:1/web:1"] = std::make_shared<fake_image>(std::byte{1}, 1 << 20);
        thread = std::thread([this] {
            const auto work = asio::make_work_guard(fix.control);
            fix.control.run();
        });
    }
    ~admin_fixture() {
        fix.control.stop();
        thread.join();
    }

    ctl::api_answer call(const std::string& method, const std::string& target, const std::string& body = "") {
        return ctl::call_daemon(socket, {method, target, body}).value();
    }
    struct ran {
        int code;
        std::string out;
        std::string err;
    };
    ran ctl(std::vector<std::string> words) {
        std::ostringstream out, err;
        words.insert(words.begin(), {"--socket", socket.native()});
        const int code = ctl::run(std::move(words), out, err);
        return {code, out.str(), err.str()};
    }

    scratch_directory folder;
    std::filesystem::path socket = folder / "admin.sock";
    catalog_fixture fix;
    admin_routes routes;
    std::unique_ptr<http_server> server;
    std::thread thread;
};

std::string error_code_of(const ctl::api_answer& answer) {
    const auto document = json::parse(answer.body, "answer").value();
    return document["error"]["code"].GetString();
}

}  // namespace

TEST_CASE("the API's paths, methods and errors") {
    admin_fixture admin;
    CHECK(admin.call("GET", "/v1/version").status == 200);
    CHECK(admin.call("GET", "/v1/exports").body == "[]\n");
    CHECK(admin.call("GET", "/v1/sessions").body == "[]\n");
    struct row {
        const char* method;
        const char* target;
        const char* body;
        unsigned status;
        const char* code;
    };
    const std::vector<row> rows{
        {"GET", "/", "", 404, "not_found"},
        {"GET", "/v2/exports", "", 404, "not_found"},
        {"PUT", "/v1/exports", "", 405, "method_not_allowed"},
        {"GET", "/v1/exports/none", "", 404, "not_found"},
        {"DELETE", "/v1/exports/none", "", 404, "not_found"},
        {"POST", "/v1/exports", "", 400, "invalid_argument"},
        {"POST", "/v1/exports", "[]", 400, "invalid_argument"},
        {"POST", "/v1/exports", "{}", 400, "invalid_argument"},
        {"POST", "/v1/exports", R"({"reference": "a", "config": "/b"})", 400, "invalid_argument"},
        {"POST", "/v1/exports", R"({"config": "relative"})", 400, "invalid_argument"},
        {"POST", "/v1/exports", R"({"reference": "a", "insecur": true})", 400, "invalid_argument"},
        {"POST", "/v1/exports", R"({"reference": 1})", 400, "invalid_argument"},
        {"POST", "/v1/exports", R"({"reference": "a", "lun": 16384})", 400, "invalid_argument"},
        {"POST", "/v1/exports", R"({"reference": "a", "writable": "yes"})", 400, "invalid_argument"},
        {"POST", "/v1/exports", R"({"reference": "a", "upper": "/u"})", 400, "invalid_argument"},
        {"POST", "/v1/exports", R"({"reference": "a", "auth": {"user": "u", "secret": "short"}})", 400,
         "invalid_argument"},
        {"POST", "/v1/exports", R"({"reference": "missing"})", 404, "not_found"},
        {"POST", "/v1/exports/none/snapshot", "", 404, "not_found"},
        {"POST", "/v1/exports/none/resize", R"({"size_bytes": 4096})", 404, "not_found"},
        {"POST", "/v1/exports/none/resize", R"({"size": 4096})", 400, "invalid_argument"},
    };
    for (const auto& one : rows) {
        const auto answer = admin.call(one.method, one.target, one.body);
        INFO(one.method << " " << one.target << " " << one.body << " -> " << answer.body);
        CHECK(answer.status == one.status);
        CHECK(error_code_of(answer) == one.code);
    }
}

TEST_CASE("an export's JSON has the members that scripts rely on") {
    admin_fixture admin;
    const auto answer = admin.call("POST", "/v1/exports", R"({"reference": "host:1/web:1", "name": "web"})");
    REQUIRE(answer.status == 201);
    const auto one = json::parse(answer.body, "answer").value();
    CHECK(one["name"].GetString() == std::string("web"));
    CHECK(one["target"].GetString() == std::string("iqn.2026-11.io.overlaybd:web"));
    CHECK(one["lun"].GetInt64() == 0);
    CHECK(one["portals"][0].GetString() == std::string("127.0.0.1:3260"));
    CHECK(one["size_bytes"].GetInt64() == 1 << 20);
    CHECK(one["read_only"].GetBool() == true);
    CHECK(one["image"].GetString() == std::string("host:1/web:1"));
    CHECK(one["layers"].Size() == 1);
    CHECK(one["fetched_bytes"].GetInt64() == 4096);
    CHECK(one["initiators"].Size() == 0);
    CHECK(one["state"].GetString() == std::string("ready"));
    CHECK(one["naa"].GetString() == std::string("3010101010101010"));
    const auto all = json::parse(admin.call("GET", "/v1/exports").body, "answer").value();
    REQUIRE(all.IsArray());
    CHECK(json_text(all[0]) == json_text(one));
    CHECK(admin.call("POST", "/v1/exports", R"({"reference": "host:1/web:1", "name": "web"})").status == 409);
    CHECK(admin.call("POST", "/v1/exports/web/snapshot").status == 403);
    CHECK(admin.call("POST", "/v1/exports/web/resize", R"({"size_bytes": 2097152})").status == 403);
    CHECK(admin.call("DELETE", "/v1/exports/web").status == 200);
    CHECK(admin.call("GET", "/v1/exports/web").status == 404);
}

TEST_CASE("the socket is for owner and group, goes at the end, and replaces a dead one") {
    const scratch_directory folder;
    catalog_fixture fix(folder / "state");
    admin_routes routes(fix.exports, fix.target, fix.audit);
    const auto path = folder / "run/admin.sock";
    {
        const auto server =
            http_server::start(listen_on_unix(path).value(), {}, fix.control.get_executor(), routes, quiet_log());
        const auto mode = std::filesystem::status(path).permissions();
        CHECK(mode == std::filesystem::perms(0660));
        CHECK(listen_on_unix(path).error().is(errc::busy));
    }
    CHECK_FALSE(std::filesystem::exists(path));
    {
        asio::io_context context(1);
        const local::acceptor dead(context, local::endpoint(path.native()));
    }
    CHECK(std::filesystem::exists(path));  // as a killed daemon leaves it
    const auto again = listen_on_unix(path);
    REQUIRE(again);
    ::close(again->descriptor);
    std::filesystem::remove(path);
    std::ofstream(path) << "a file";
    CHECK(listen_on_unix(path).error().is(errc::already_exists));
    CHECK(listen_on_unix(std::string(200, 'x')).error().is(errc::invalid_argument));
}

TEST_CASE("the snapshot service listens on loopback only") {
    const auto good = GENERATE("http://127.0.0.1:0", "http://localhost:0/");
    const auto socket = listen_on_loopback(good);
    REQUIRE(socket);
    ::close(socket->descriptor);
    for (const std::string bad :
         {"https://127.0.0.1:0", "http://127.0.0.1", "http://127.0.0.1:x", "http://0.0.0.0:0", "http://owl:1"}) {
        INFO(bad);
        CHECK(listen_on_loopback(bad).error().is(errc::invalid_argument));
    }
}

TEST_CASE("the snapshot service answers as the reference does") {
    const scratch_directory folder;
    catalog_fixture fix(folder / "state");
    snapshot_service service(fix.exports, fix.audit);
    const auto status_of = [&](const std::string& path, const std::string& name, const std::string& config) {
        api_request request;
        request.path = path;
        if (!name.empty()) request.query["dev_id"] = name;
        if (!config.empty()) request.query["config"] = config;
        return fix.run(service.handle(request)).status;
    };
    CHECK(status_of("/other", "a", "/c") == 404);
    CHECK(status_of("/snapshot", "", "/c") == 400);
    CHECK(status_of("/snapshot", "a", "") == 400);
    CHECK(status_of("/snapshot", "a", "relative") == 400);
    CHECK(status_of("/snapshot", "a", "/c") == 404);
    fix.opener.images["a"] = std::make_shared<fake_image>(std::byte{1}, 1 << 20);
    REQUIRE(fix.run(fix.exports.attach(fix.by_reference("a"))));
    CHECK(status_of("/snapshot", "a", "/c") == 500);
}

TEST_CASE("requests beyond the limits are refused, the next client is served") {
    admin_fixture admin;
    CHECK(admin.call("POST", "/v1/exports", std::string(5000, ' ')).status == 413);
    asio::io_context context(1);
    const auto send = [&](const std::string& bytes) {
        local::socket socket(context);
        socket.connect(local::endpoint(admin.socket.native()));
        boost::system::error_code error;
        asio::write(socket, asio::buffer(bytes), error);
        std::string answer;
        asio::read(socket, asio::dynamic_buffer(answer), error);
        return answer;
    };
    CHECK_THAT(send("GET /" + std::string(2000, 'x') + " HTTP/1.1\r\n\r\n"), Catch::Contains("413"));
    CHECK(send("garbage\r\n\r\n").empty());
    // A client that sends nothing holds one of the two places, no more.
    local::socket silent(context);
    silent.connect(local::endpoint(admin.socket.native()));
    CHECK(admin.call("GET", "/v1/version").status == 200);
}

TEST_CASE("overlaybdctl: the whole tour") {
    admin_fixture admin;
    auto ran = admin.ctl({"--json", "attach", "host:1/web:1", "--name", "web"});
    CHECK(ran.code == ctl::done);
    CHECK(json::parse(ran.out, "out").value()["target"].GetString() == std::string("iqn.2026-11.io.overlaybd:web"));
    CHECK(ran.err.empty());
    ran = admin.ctl({"list", "--json"});
    CHECK(json::parse(ran.out, "out").value().Size() == 1);
    ran = admin.ctl({"list"});
    CHECK_THAT(ran.out, Catch::Contains("NAME") && Catch::Contains("1.0 MiB") && Catch::Contains("4.0 KiB"));
    ran = admin.ctl({"show", "web"});
    CHECK_THAT(ran.out, Catch::Contains("host:1/web:1") && Catch::Contains("sha256:fake"));
    ran = admin.ctl({"sessions"});
    CHECK(ran.code == ctl::done);
    CHECK_THAT(ran.out, Catch::Contains("INITIATOR"));
    ran = admin.ctl({"version"});
    CHECK_THAT(ran.out, Catch::Contains("overlaybd-iscsid"));
    ran = admin.ctl({"detach", "web"});
    CHECK(ran.code == ctl::done);
    ran = admin.ctl({"attach", "host:1/web:1"});
    CHECK_THAT(ran.out,
               Catch::Contains("iscsiadm -m node -T iqn.2026-11.io.overlaybd:web-1 -p 127.0.0.1:3260 --login"));
}

TEST_CASE("overlaybdctl: exit codes and errors") {
    admin_fixture admin;
    auto ran = admin.ctl({"show", "none"});
    CHECK(ran.code == ctl::failed);
    CHECK(ran.out.empty());
    CHECK_THAT(ran.err, Catch::Contains("overlaybdctl: ") && Catch::Contains("none"));
    CHECK(admin.ctl({}).code == ctl::wrong_usage);
    CHECK(admin.ctl({"fly"}).code == ctl::wrong_usage);
    CHECK(admin.ctl({"attach"}).code == ctl::wrong_usage);
    CHECK(admin.ctl({"attach", "a", "--config", "b"}).code == ctl::wrong_usage);
    CHECK(admin.ctl({"attach", "a", "--lun", "x"}).code == ctl::wrong_usage);
    CHECK(admin.ctl({"attach", "a", "--upper", "x"}).code == ctl::wrong_usage);
    CHECK(admin.ctl({"attach", "a", "--writable=thick"}).code == ctl::wrong_usage);
    CHECK(admin.ctl({"attach", "a", "--chap-file", "/nonexistent"}).code == ctl::wrong_usage);
    CHECK(admin.ctl({"resize", "a", "big"}).code == ctl::wrong_usage);
    ran = admin.ctl({"--help"});
    CHECK(ran.code == ctl::done);
    CHECK_THAT(ran.out, Catch::Contains("attach") && Catch::Contains("Exit status"));
    std::ostringstream out, err;
    CHECK(ctl::run({"--socket", "/nonexistent/admin.sock", "list"}, out, err) == ctl::unreachable);
    CHECK_THAT(err.str(), Catch::Contains("/nonexistent/admin.sock"));
}

// overlaybd.json: every key, wrong types, unknown keys, what is not supported yet.
#include "server/config/config.hpp"

#include <catch2/catch.hpp>
#include <fstream>

#include "tests/unit/server/fakes.hpp"

using namespace obd;
using namespace obd::server;

namespace {

daemon_config config_of(const std::string& text) {
    const auto loaded = parse_config(text, "test.json");
    INFO(text);
    INFO((loaded ? std::string() : loaded.error().message()));
    REQUIRE(loaded);
    return loaded->config;
}

std::string all_warnings(const std::string& text) {
    const auto loaded = parse_config(text, "test.json");
    INFO(text);
    REQUIRE(loaded);
    std::string all;
    for (const auto& warning : loaded->warnings) all += warning + "\n";
    return all;
}

}  // namespace

TEST_CASE("an empty config gives the reference's defaults") {
    const auto config = config_of("{}");
    CHECK(config.registry.cache_dir == "/opt/overlaybd/registry_cache");
    CHECK(config.registry.cache_capacity.value == 4ull << 30);
    CHECK(config.registry.refill_bytes == 262144);
    CHECK(config.registry.credential_file == "/opt/overlaybd/cred.json");
    CHECK(config.log.level == 1);
    CHECK(config.log.file.path == "/var/log/overlaybd.log");
    CHECK(config.log.file.max_bytes == 10u << 20);
    CHECK(config.log.file.rotations == 3);
    CHECK_FALSE(config.log.file.named);
    CHECK(config.audit.enable);
    CHECK(config.audit.file.path == "/var/log/overlaybd-audit.log");
    CHECK(config.iscsi.portals == std::vector<std::string>{"127.0.0.1:3260"});
    CHECK(config.iscsi.target_prefix == "iqn.2026-11.io.overlaybd");
    CHECK(config.admin_socket == "/run/overlaybd/admin.sock");
    CHECK(config.state_dir == "/var/lib/overlaybd");
    CHECK(all_warnings("{}").empty());
}

TEST_CASE("writable layers, clones and redirection") {
    const auto plain = config_of("{}");
    CHECK(plain.writable.quota.value == 0);
    CHECK(plain.writable.clones == 4096);
    CHECK(plain.writable.discard_after_loss == std::chrono::minutes(15));
    CHECK_FALSE(plain.iscsi.redirect);
    const auto config = config_of(R"({"writable": {"quotaMB": 3, "clonesPerExport": 7, "clonesDir": "/c",
        "closeAfterMs": 1, "discardAfterLogoutMs": 2, "discardAfterLossMs": 3},
        "iscsi": {"redirect": {"address": "host:3260", "permanent": true}}})");
    CHECK(config.writable.quota.value == 3 << 20);
    CHECK(config.writable.clones == 7);
    CHECK(config.writable.clone_dir == "/c");
    CHECK(config.writable.close_after.count() == 1);
    CHECK(config.writable.discard_after_logout.count() == 2);
    CHECK(config.writable.discard_after_loss.count() == 3);
    REQUIRE(config.iscsi.redirect);
    CHECK(config.iscsi.redirect->address == "host:3260");
    for (const char* bad : {R"({"writable": {"clonesDir": "relative"}})", R"({"writable": {"clonesPerExport": 0}})",
                            R"({"iscsi": {"redirect": {"address": "host:1,1"}}})"}) {
        INFO(bad);
        CHECK_FALSE(parse_config(bad, "test.json").has_value());
    }
}

TEST_CASE("old flat keys") {
    const auto config = config_of(R"({"registryCacheDir": "/c", "registryCacheSizeGB": 7, "cacheType": "file",
        "credentialFilePath": "/cred", "logLevel": 3, "logPath": "/l", "enableAudit": false, "auditPath": "/a",
        "registryFsVersion": "v1", "ioEngine": 0, "userAgent": "me/1"})");
    CHECK(config.registry.cache_dir == "/c");
    CHECK(config.registry.cache_capacity.value == 7ull << 30);
    CHECK(config.registry.credential_file == "/cred");
    CHECK(config.log.level == 3);
    CHECK(config.log.file.path == "/l");
    CHECK(config.log.file.named);
    CHECK_FALSE(config.audit.enable);
    CHECK(config.registry.user_agent == "me/1");
    CHECK(config.snapshot_service.empty());
    CHECK(config_of(R"({"serviceConfig": {"enable": true}})").snapshot_service == "http://127.0.0.1:9862");
}

TEST_CASE("nested keys win over flat ones") {
    const auto config =
        config_of(R"({"registryCacheDir": "/old", "registryCacheSizeGB": 1, "logPath": "/old", "logLevel": 3,
        "credentialFilePath": "/old",
        "logConfig": {"logLevel": 0, "logPath": "/new", "logSizeMB": 2, "logRotateNum": 9},
        "cacheConfig": {"cacheType": "file", "cacheDir": "/new", "cacheSizeGB": 8, "refillSize": 65536, "blockSize": 4096},
        "credentialConfig": {"mode": "file", "path": "/new", "timeout": 2},
        "certConfig": {"certFile": "/crt", "keyFile": "/key"}})");
    CHECK(config.registry.cache_dir == "/new");
    CHECK(config.registry.cache_capacity.value == 8ull << 30);
    CHECK(config.registry.refill_bytes == 65536);
    CHECK(config.registry.credential_file == "/new");
    CHECK(config.registry.client_cert_file == "/crt");
    CHECK(config.registry.client_key_file == "/key");
    CHECK(config.log.level == 0);
    CHECK(config.log.file.path == "/new");
    CHECK(config.log.file.max_bytes == 2u << 20);
    CHECK(config.log.file.rotations == 9);
}

TEST_CASE("nested sections without their deciding key leave the flat ones in force") {
    const auto config = config_of(R"({"registryCacheDir": "/old", "cacheConfig": {"cacheDir": "/new"},
        "credentialFilePath": "/old", "credentialConfig": {"path": "/new"}, "logPath": "/old", "logConfig": {"logLevel": 2}})");
    CHECK(config.registry.cache_dir == "/old");
    CHECK(config.registry.credential_file == "/old");
    CHECK(config.log.file.path == "/old");
    CHECK(config.log.level == 2);
}

TEST_CASE("our own keys") {
    const auto config = config_of(R"({"adminSocket": "/s", "stateDir": "/d", "workers": 5,
        "registryConfig": {"caFile": "/ca", "insecureRegistries": ["a:1"], "connectTimeoutMs": 1000, "deadlineMs": 2000, "tries": 3},
        "iscsi": {"portals": ["0.0.0.0:0", "[::1]:3261"], "targetPrefix": "iqn.2001-01.test:x", "portalGroupTag": 9, "threads": 3,
                  "spinUs": 0, "loginTimeoutMs": 200, "keepaliveIdleMs": 0, "keepaliveTimeoutMs": 300, "commandDeadlineMs": 400,
                  "discoveryAuth": {"user": "u", "secret": "123456789012", "mutualUser": "m", "mutualSecret": "abcdefghijkl"}}})");
    CHECK(config.admin_socket == "/s");
    CHECK(config.state_dir == "/d");
    CHECK(config.workers == 5);
    CHECK(config.registry.ca_file == "/ca");
    CHECK(config.registry.connect_timeout.count() == 1000);
    CHECK(config.registry.operation_deadline.count() == 2000);
    CHECK(config.registry.tries == 3);
    CHECK(config.registry.insecure == std::vector<std::string>{"a:1"});
    CHECK(config.iscsi.portals == std::vector<std::string>{"0.0.0.0:0", "[::1]:3261"});
    CHECK(config.iscsi.target_prefix == "iqn.2001-01.test:x");
    CHECK(config.iscsi.portal_group_tag == 9);
    CHECK(config.iscsi.threads == 3);
    CHECK(config.iscsi.spin.count() == 0);
    CHECK(config.iscsi.login_timeout.count() == 200);
    CHECK(config.iscsi.keepalive_idle.count() == 0);
    CHECK(config.iscsi.keepalive_timeout.count() == 300);
    CHECK(config.iscsi.command_deadline.count() == 400);
    REQUIRE(config.iscsi.discovery_auth);
    CHECK(config.iscsi.discovery_auth->mutual_user == "m");
}

TEST_CASE("what is wrong is refused with the key's name and the file") {
    struct row {
        const char* text;
        const char* named;
    };
    const auto wrong = GENERATE(values<row>({
        {R"([])", "the root must be an object"},
        {R"({)", "line 1 column"},
        {R"({"logLevel": 1, "logLevel": 2})", "occurs twice"},
        {R"({"registryCacheDir": 1})", "\"registryCacheDir\" must be a string"},
        {R"({"registryCacheSizeGB": "4"})", "\"registryCacheSizeGB\" must be an integer"},
        {R"({"registryCacheSizeGB": -1})", "\"registryCacheSizeGB\""},
        {R"({"cacheType": "tape"})", "\"cacheType\""},
        {R"({"cacheConfig": []})", "\"cacheConfig\" must be an object"},
        {R"({"cacheConfig": {"cacheSizeGB": true}})", "cacheConfig: \"cacheSizeGB\""},
        {R"({"cacheConfig": {"refillSize": 5000}})", "cacheConfig: \"refillSize\" must be a power of two"},
        {R"({"cacheConfig": {"blockSize": "x"}})", "cacheConfig: \"blockSize\""},
        {R"({"credentialFilePath": {}})", "\"credentialFilePath\""},
        {R"({"credentialConfig": {"mode": "http"}})", "credentialConfig: \"mode\": \"http\" is not supported yet"},
        {R"({"credentialConfig": {"mode": "https"}})", "not supported yet"},
        {R"({"credentialConfig": {"mode": "uds"}})", "not supported yet"},
        {R"({"credentialConfig": {"mode": "owl"}})", "credentialConfig: \"mode\""},
        {R"({"credentialConfig": {"mode": "file"}})", "credentialConfig: \"path\""},
        {R"({"credentialConfig": {"timeout": "1"}})", "credentialConfig: \"timeout\""},
        {R"({"ioEngine": 3})", "\"ioEngine\""},
        {R"({"ioEngine": "0"})", "\"ioEngine\""},
        {R"({"logLevel": 4})", "\"logLevel\""},
        {R"({"logPath": 1})", "\"logPath\""},
        {R"({"logConfig": {"logSizeMB": 0}})", "logConfig: \"logSizeMB\""},
        {R"({"logConfig": {"logRotateNum": "3"}})", "logConfig: \"logRotateNum\""},
        {R"({"download": {"enable": 1}})", "download: \"enable\" must be true or false"},
        {R"({"download": {"maxMBps": "fast"}})", "download: \"maxMBps\""},
        {R"({"enableAudit": "yes"})", "\"enableAudit\""},
        {R"({"auditPath": 5})", "\"auditPath\""},
        {R"({"enableThread": 1})", "\"enableThread\""},
        {R"({"p2pConfig": {"address": 1}})", "p2pConfig: \"address\""},
        {R"({"exporterConfig": {"port": "9863"}})", "exporterConfig: \"port\""},
        {R"({"gzipCacheConfig": {"cacheSizeGB": "4"}})", "gzipCacheConfig: \"cacheSizeGB\""},
        {R"({"registryFsVersion": 2})", "\"registryFsVersion\""},
        {R"({"prefetchConfig": {"concurrency": "16"}})", "prefetchConfig: \"concurrency\""},
        {R"({"certConfig": {"certFile": "/crt"}})", "certConfig: \"certFile\""},
        {R"({"userAgent": "a\nb"})", "\"userAgent\""},
        {R"({"serviceConfig": {"address": 1}})", "serviceConfig: \"address\""},
        {R"({"adminSocket": ""})", "\"adminSocket\""},
        {R"({"stateDir": 7})", "\"stateDir\""},
        {R"({"workers": -1})", "\"workers\""},
        {R"({"registryConfig": {"insecureRegistries": "a"}})", "registryConfig: \"insecureRegistries\""},
        {R"({"registryConfig": {"tries": 0}})", "registryConfig: \"tries\""},
        {R"({"iscsi": {"portals": "127.0.0.1:3260"}})", "iscsi: \"portals\""},
        {R"({"iscsi": {"portals": []}})", "iscsi: \"portals\""},
        {R"({"iscsi": {"portals": ["localhost"]}})", "iscsi: \"portals\""},
        {R"({"iscsi": {"portals": ["::1:3260"]}})", "iscsi: \"portals\""},
        {R"({"iscsi": {"portals": ["1.2.3.4:99999"]}})", "iscsi: \"portals\""},
        {R"({"iscsi": {"targetPrefix": "Iqn.X"}})", "iscsi: \"targetPrefix\""},
        {R"({"iscsi": {"threads": 1.5}})", "iscsi: \"threads\""},
        {R"({"iscsi": {"spinUs": -1}})", "iscsi: \"spinUs\""},
        {R"({"iscsi": {"discoveryAuth": {"user": "u", "secret": "short"}}})", "discoveryAuth: \"secret\""},
        {R"({"iscsi": {"discoveryAuth": {"secret": "123456789012"}}})", "discoveryAuth: \"user\""},
    }));
    const auto loaded = parse_config(wrong.text, "test.json");
    INFO(wrong.text);
    REQUIRE_FALSE(loaded);
    CHECK_THAT(loaded.error().message(), Catch::Contains(wrong.named) && Catch::Contains("test.json"));
}

TEST_CASE("what is unknown or not supported yet is said, not swallowed") {
    struct row {
        const char* text;
        const char* named;
    };
    const auto odd = GENERATE(values<row>({
        {R"({"colour": 1})", "unknown key \"colour\""},
        {R"({"logConfig": {"colour": 1}})", "logConfig: unknown key \"colour\""},
        {R"({"iscsi": {"portal": "x"}})", "iscsi: unknown key \"portal\""},
        {R"({"p2pConfig": {"colour": 1}})", "p2pConfig: unknown key \"colour\""},
        {R"({"ioEngine": 1})", "\"ioEngine\" asks for what is not supported yet"},
        {R"({"ioEngine": 2})", "\"ioEngine\""},
        {R"({"cacheType": "ocf"})", "\"cacheType\" asks for what is not supported yet"},
        {R"({"cacheConfig": {"cacheType": "download"}})", "cacheConfig: \"cacheType\""},
        {R"({"enableThread": true})", "\"enableThread\""},
        {R"({"p2pConfig": {"enable": true, "address": "http://localhost:9731/accelerator"}})", "p2pConfig: \"enable\""},
        {R"({"gzipCacheConfig": {"enable": true}})", "gzipCacheConfig: \"enable\""},
        {R"({"download": {"enable": true, "delay": 1}})", "download: \"enable\""},
        {R"({"exporterConfig": {"enable": true, "port": 9863}})", "exporterConfig: \"enable\""},
    }));
    CHECK_THAT(all_warnings(odd.text), Catch::Contains(odd.named) && Catch::Contains("test.json"));
}

TEST_CASE("later work that is switched off is no reason for a warning") {
    CHECK(all_warnings(R"({"ioEngine": 0, "cacheType": "file", "enableThread": false, "p2pConfig": {"enable": false},
        "gzipCacheConfig": {"enable": false, "cacheDir": "/x", "cacheSizeGB": 1, "refillSize": 1},
        "download": {"enable": false, "delay": 1, "delayExtra": 1, "maxMBps": 1, "tryCnt": 1, "blockSize": 1},
        "exporterConfig": {"enable": false, "uriPrefix": "/m", "port": 1, "updateInterval": 1},
        "serviceConfig": {"enable": false, "address": "x"}, "prefetchConfig": {"concurrency": 4}})")
              .empty());
}

TEST_CASE("a config file that is missing or empty is an error") {
    const server::test::scratch_directory folder;
    CHECK(load_config(folder / "none.json").error().is(errc::not_found));
    std::ofstream(folder / "empty.json").flush();
    CHECK_FALSE(load_config(folder / "empty.json"));
    std::ofstream(folder / "good.json") << R"({"stateDir": "/d"})";
    CHECK(load_config(folder / "good.json")->config.state_dir == "/d");
}

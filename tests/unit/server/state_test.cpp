// The state folder: what comes back, what a crash may leave, what is refused.
#include "server/state/state_store.hpp"

#include <catch2/catch.hpp>
#include <fstream>
#include <sstream>

#include "server/state/codec.hpp"
#include "tests/unit/server/fakes.hpp"

using namespace obd;
using namespace obd::server;

namespace {

export_record sample(const std::string& name) {
    export_record record;
    record.name = name;
    record.target = "iqn.2026-11.io.overlaybd:" + name;
    record.lun = 3;
    record.origin.reference = "localhost:5000/" + name;
    record.origin.security = registry::transport_security::insecure;
    record.origin.upper = upper_kind::sparse;
    record.origin.upper_dir = "/uppers/" + name;
    record.access.auth = iscsi::chap_credentials{"u", "secret-secret", "m", "other-secret"};
    record.access.initiators = {"iqn.a", "iqn.b"};
    record.removable = true;
    pinned_image pinned{"http://localhost:5000/v2/x/blobs", "sha256:" + std::string(64, '1'), {}};
    pinned.layers.push_back({"type", "sha256:" + std::string(64, '2'), {77}, {}});
    record.pinned = pinned;
    device_geometry geometry;
    geometry.size = {1 << 20};
    geometry.access = access_mode::read_write;
    geometry.discard_granularity_bytes = 512;
    record.seen = seen_unit{std::string(64, 'a'), std::string(64, 'b'), geometry};
    return record;
}

scsi::persistent_state sample_state() {
    scsi::persistent_state state;
    state.reservations.aptpl = true;
    state.reservations.registrations.resize(2);
    state.reservations.registrations[0].port.name = "iqn.a";
    state.reservations.registrations[1].port.name = "iqn.b";
    state.reservations.registrations[1].port.isid[5] = std::byte{9};
    state.reservations.registrations[1].key = 0xfedcba9876543210ull;
    state.reservations.held = scsi::reservation_type::exclusive_access;
    state.reservations.holder = 1;
    state.saved_mode.write_cache_enabled = false;
    state.sanitize = scsi::unfinished_sanitize::unrestricted;
    return state;
}

void write(const std::filesystem::path& path, const std::string& text) {
    std::ofstream(path, std::ios::trunc) << text;
}

std::string content(const std::filesystem::path& path) {
    std::stringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
}

}  // namespace

TEST_CASE("clones, quotas and redirections survive encoding") {
    auto record = sample("a");
    record.origin.upper = upper_kind::none;
    record.clones = clone_settings{clone_mode::discard, upper_kind::sparse, "/clones"};
    record.quota = {1 << 20};
    record.redirect = iscsi::redirection{"[::1]:3260", iscsi::redirection::kind::permanent};
    const auto text = encode_exports({record, sample("b")});
    const auto decoded = decode_exports(text, "test").value();
    REQUIRE(decoded.size() == 2);
    CHECK(encode_exports(decoded) == text);
    REQUIRE(decoded[0].clones);
    CHECK(decoded[0].clones->mode == clone_mode::discard);
    CHECK(decoded[0].clones->kind == upper_kind::sparse);
    CHECK(decoded[0].clones->root == "/clones");
    CHECK(decoded[0].quota.value == 1 << 20);
    REQUIRE(decoded[0].redirect);
    CHECK(decoded[0].redirect->address == "[::1]:3260");
    CHECK_FALSE(decoded[1].clones);
    CHECK_FALSE(decoded[1].redirect);
}

TEST_CASE("exports survive encoding") {
    const auto text = encode_exports({sample("a"), sample("b")});
    const auto decoded = decode_exports(text, "test").value();
    REQUIRE(decoded.size() == 2);
    CHECK(encode_exports(decoded) == text);
    CHECK(decoded[0].origin.upper == upper_kind::sparse);
    CHECK(decoded[0].removable);
    CHECK(decoded[0].access.auth->mutual_secret == "other-secret");
    CHECK(decoded[0].pinned->layers.at(0).size.value == 77);
    CHECK(decoded[0].seen->designator == std::string(64, 'b'));
    CHECK(decoded[0].seen->geometry.access == access_mode::read_write);
}

TEST_CASE("reservations survive encoding") {
    const auto state = sample_state();
    CHECK(decode_unit_state(encode_unit_state(state), "test").value() == state);
    CHECK(decode_unit_state(encode_unit_state({}), "test").value() == scsi::persistent_state{});
}

TEST_CASE("a state file is not trusted") {
    const auto good = encode_exports({sample("a")});
    const auto changed = [&](const std::string& from, const std::string& to) {
        auto text = good;
        const auto place = text.find(from);
        REQUIRE(place != std::string::npos);
        return decode_exports(text.replace(place, from.size(), to), "test");
    };
    CHECK(changed("\"version\": 1", "\"version\": 2").error().is(errc::unsupported));
    CHECK_FALSE(changed("\"version\": 1", "\"version\": 0"));
    CHECK_FALSE(changed("\"a\"", "\"../a\""));
    CHECK_FALSE(changed("\"lun\": 3", "\"lun\": 70000"));
    CHECK_FALSE(changed("sha256:2222", "sha256:zzzz"));
    CHECK_FALSE(changed("\"upper\": \"sparse\"", "\"upper\": \"thick\""));
    CHECK_FALSE(changed("\"size\": 1048576", "\"size\": 1048577"));
    CHECK_FALSE(changed("aaaa", "aaa"));
    CHECK_FALSE(decode_exports(encode_exports({sample("a"), sample("a")}), "test"));
    CHECK_FALSE(decode_unit_state(R"({"version": 1, "held": 2, "registrations": []})", "test"));
    CHECK_FALSE(decode_unit_state(R"({"version": 1, "held": 1, "holder": 0, "registrations": []})", "test"));
}

TEST_CASE("a folder has one daemon") {
    const server::test::scratch_directory folder;
    {
        const auto first = state_store::open(folder / "state");
        REQUIRE(first);
        CHECK(state_store::open(folder / "state").error().is(errc::busy));
    }
    CHECK(state_store::open(folder / "state"));
}

TEST_CASE("a folder that cannot be made is an error with its name") {
    const server::test::scratch_directory folder;
    write(folder / "file", "");
    const auto store = state_store::open(folder / "file/state");
    REQUIRE_FALSE(store);
    CHECK_THAT(store.error().message(), Catch::Contains("file/state"));
}

TEST_CASE("whatever a crash leaves of the exports file, the last whole one comes back") {
    const server::test::scratch_directory folder;
    const auto store = state_store::open(folder.path()).value();
    CHECK(store.load_exports()->records.empty());
    REQUIRE(store.save_exports({sample("a")}));
    REQUIRE(store.save_exports({sample("a"), sample("b")}));
    const auto path = folder / "exports.json";
    const auto whole = content(path);

    SECTION("killed while writing the new file") {
        write(folder / "exports.json.tmp", whole.substr(0, 100));
        CHECK(store.load_exports()->records.size() == 2);
        CHECK(store.save_exports({sample("c")}));
        CHECK(store.load_exports()->records.size() == 1);
    }
    SECTION("the file itself is torn at any place") {
        for (std::size_t length = 0; length < whole.size() - 3; length += 7) {
            write(path, whole.substr(0, length));
            const auto loaded = store.load_exports();
            INFO(length);
            REQUIRE(loaded);
            CHECK(loaded->records.size() == 1);
            CHECK_FALSE(loaded->warning.empty());
        }
    }
    SECTION("the file reads as zeros") {
        write(path, std::string(whole.size(), '\0'));
        CHECK(store.load_exports()->records.size() == 1);
    }
    SECTION("both are damaged: refused, nothing is overwritten") {
        write(path, "x");
        write(folder / "exports.json.previous", "y");
        CHECK_FALSE(store.load_exports());
        CHECK(content(path) == "x");
    }
    SECTION("a later version is left alone") {
        write(path, R"({"version": 9})");
        CHECK(store.load_exports().error().is(errc::unsupported));
    }
}

TEST_CASE("reservations per export") {
    const server::test::scratch_directory folder;
    const auto store = state_store::open(folder.path()).value();
    CHECK_FALSE(store.load_unit("a").value());
    REQUIRE(store.save_unit("a", sample_state()));
    CHECK(store.load_unit("a").value() == sample_state());
    REQUIRE(store.forget_unit("a"));
    CHECK_FALSE(store.load_unit("a").value());
    CHECK(store.forget_unit("a"));
    write(folder / "units/b.json", "{");
    CHECK_FALSE(store.load_unit("b"));
}

TEST_CASE("files with secrets are for their owner alone") {
    const server::test::scratch_directory folder;
    const auto store = state_store::open(folder.path()).value();
    REQUIRE(store.save_exports({sample("a")}));
    const auto mode = std::filesystem::status(folder / "exports.json").permissions();
    CHECK((mode & std::filesystem::perms(077)) == std::filesystem::perms::none);
}

// Attach, detach, restart, with a target and an opener that are told what to do.
#include "server/catalog/catalog.hpp"

#include <catch2/catch.hpp>

#include "server/catalog/export_device.hpp"
#include "tests/unit/server/fakes.hpp"

using namespace obd;
using namespace obd::server;
using namespace obd::server::test;

namespace {

constexpr auto prefix = "iqn.2026-11.io.overlaybd:";

std::shared_ptr<fake_image> image(int filling = 1, std::uint64_t size = 1 << 20) {
    return std::make_shared<fake_image>(std::byte(filling), size);
}

}  // namespace

TEST_CASE("an attached image is a target of its own with LUN 0") {
    const scratch_directory state;
    catalog_fixture fix(state.path());
    fix.opener.images["host:1/web:1"] = image();
    const auto view = fix.run(fix.exports.attach(fix.by_reference("host:1/web:1")));
    INFO((view ? std::string() : view.error().message()));
    REQUIRE(view);
    CHECK(view->record.name == "web-1");
    CHECK(view->record.target == std::string(prefix) + "web-1");
    CHECK(view->state == export_state::ready);
    CHECK(view->record.seen->geometry.size.value == 1 << 20);
    CHECK(view->layers.size() == 1);
    const auto& target = fix.target.targets.at(view->record.target);
    REQUIRE(target.luns.contains(0));
    CHECK(target.luns.at(0).identity.serial == view->serial);
    CHECK(view->serial == "01010101010101010101010101010101");
    CHECK(fix.exports.list().size() == 1);
    CHECK(fix.exports.show("web-1"));
    CHECK(fix.exports.show("other").error().is(errc::not_found));
}

TEST_CASE("several LUNs of one target") {
    const scratch_directory state;
    catalog_fixture fix(state.path());
    fix.opener.images["a"] = image(1);
    fix.opener.images["b"] = image(2);
    fix.opener.images["c"] = image(3);
    auto request = fix.by_reference("a");
    request.target = "disks";
    request.lun = 1;
    REQUIRE(fix.run(fix.exports.attach(request)));
    request.origin.reference = "b";
    SECTION("a LUN that is taken is refused") {
        CHECK(fix.run(fix.exports.attach(request)).error().is(errc::already_exists));
        CHECK(fix.exports.list().size() == 1);
    }
    SECTION("the lowest free LUN is chosen") {
        request.lun.reset();
        CHECK(fix.run(fix.exports.attach(request))->record.lun == 0);
        request.origin.reference = "c";
        CHECK(fix.run(fix.exports.attach(request))->record.lun == 2);
        const auto& disks = fix.target.targets.at(std::string(prefix) + "disks");
        CHECK(disks.luns.size() == 3);
        // The target stays until its last unit goes.
        REQUIRE(fix.run(fix.exports.detach("a")));
        CHECK(disks.luns.size() == 2);
        REQUIRE(fix.run(fix.exports.detach("b")));
        REQUIRE(fix.run(fix.exports.detach("c")));
        CHECK(fix.target.targets.empty());
    }
    SECTION("who may log in is settled with the first LUN") {
        request.lun = 7;
        request.access.initiators = {"iqn.x"};
        CHECK(fix.run(fix.exports.attach(request)).error().is(errc::invalid_argument));
    }
}

TEST_CASE("a failed attach leaves nothing behind") {
    const scratch_directory state;
    catalog_fixture fix(state.path());
    fix.opener.images["a"] = image();
    auto request = fix.by_reference("a");
    SECTION("no such image") {
        request.origin.reference = "missing";
    }
    SECTION("a bad name") {
        request.name = "Bad Name";
    }
    SECTION("a bad target") {
        request.target = "iqn.bad name";
    }
    SECTION("the registry is down") {
        fix.opener.failures = 1;
    }
    SECTION("the target refuses") {
        fix.target.refuse_luns = true;
    }
    SECTION("the state cannot be kept") {
        std::filesystem::create_directory(state / "exports.json.tmp");
    }
    CHECK_FALSE(fix.run(fix.exports.attach(request)));
    CHECK(fix.exports.list().empty());
    CHECK(fix.target.targets.empty());
    CHECK(fix.store.load_exports()->records.empty());
}

TEST_CASE("a name is used once, also while the first is still being opened") {
    const scratch_directory state;
    catalog_fixture fix(state.path());
    fix.opener.images["a"] = image();
    fix.opener.hold = true;
    bool attached = false;
    asio::co_spawn(fix.control, fix.exports.attach(fix.by_reference("a")),
                   [&](std::exception_ptr, const result<export_view>& view) { attached = view.has_value(); });
    fix.run_until([&] { return fix.opener.inside == 1; });
    CHECK(fix.exports.list().at(0).state == export_state::starting);
    CHECK(fix.run(fix.exports.attach(fix.by_reference("a"))).error().is(errc::already_exists));
    CHECK(fix.run(fix.exports.detach("a")).error().is(errc::busy));
    fix.opener.release();
    fix.run_until([&] { return attached; });
    CHECK(fix.exports.list().at(0).state == export_state::ready);
}

TEST_CASE("few images open at a time, all of them in the end") {
    const scratch_directory state;
    catalog_fixture fix(state.path());
    fix.opener.hold = true;
    int attached = 0;
    for (int n = 0; n < 10; ++n) {
        const auto name = "image" + std::to_string(n);
        fix.opener.images[name] = image(n);
        asio::co_spawn(fix.control, fix.exports.attach(fix.by_reference(name)),
                       [&](std::exception_ptr, const result<export_view>& view) { attached += view ? 1 : 0; });
    }
    fix.run_until([&] { return fix.opener.inside == 2; });
    fix.opener.release();
    fix.run_until([&] { return attached == 10; });
    CHECK(fix.opener.most_inside == 2);
    CHECK(fix.store.load_exports()->records.size() == 10);
}

TEST_CASE("detach closes the image and forgets the export") {
    const scratch_directory state;
    catalog_fixture fix(state.path());
    const auto disk = image();
    fix.opener.images["a"] = disk;
    REQUIRE(fix.run(fix.exports.attach(fix.by_reference("a"))));
    REQUIRE(fix.target.targets.begin()->second.luns.at(0).persist({}));
    CHECK(fix.store.load_unit("a").value());
    REQUIRE(fix.run(fix.exports.detach("a")));
    CHECK(disk->closed);
    CHECK(fix.target.targets.empty());
    CHECK(fix.store.load_exports()->records.empty());
    CHECK_FALSE(fix.store.load_unit("a").value());
    CHECK(fix.run(fix.exports.detach("a")).error().is(errc::not_found));
}

TEST_CASE("initiators are listed once each") {
    const scratch_directory state;
    catalog_fixture fix(state.path());
    fix.opener.images["a"] = image();
    REQUIRE(fix.run(fix.exports.attach(fix.by_reference("a"))));
    iscsi::session_info session{};
    session.initiator_name = "iqn.x";
    session.target_name = std::string(prefix) + "a";
    fix.target.session_list = {session, session};
    session.target_name = "iqn.other";
    session.initiator_name = "iqn.y";
    fix.target.session_list.push_back(session);
    CHECK(fix.exports.show("a")->initiators == std::vector<std::string>{"iqn.x"});
}

namespace {

/// A daemon attached "a" and was killed.
void leave_behind(const std::filesystem::path& state, int filling) {
    catalog_fixture before(state);
    before.opener.images["a"] = image(filling);
    REQUIRE(before.run(before.exports.attach(before.by_reference("a"))));
    scsi::persistent_state kept;
    kept.reservations.aptpl = true;
    REQUIRE(before.target.targets.begin()->second.luns.at(0).persist(kept));
}

}  // namespace

TEST_CASE("after a restart the unit is there at once and its image follows, registry or not") {
    const scratch_directory state;
    leave_behind(state.path(), 5);
    catalog_fixture fix(state.path());
    fix.opener.images["a"] = image(5);
    fix.opener.failures = 3;
    REQUIRE(fix.exports.restore());
    REQUIRE(fix.target.targets.size() == 1);
    const auto lun = fix.target.targets.begin()->second.luns.at(0);
    CHECK(lun.identity.serial == "05050505050505050505050505050505");
    CHECK(lun.device->geometry().size.value == 1 << 20);
    REQUIRE(lun.restored);
    CHECK(lun.restored->reservations.aptpl);
    std::array<std::byte, 512> block{};
    CHECK(lun.device->try_read({0}, block) == attempt::would_block);
    CHECK(fix.exports.list().at(0).state == export_state::starting);

    // A command that came too early waits and is served.
    bool served = false;
    asio::co_spawn(fix.control, lun.device->read({0}, block),
                   [&](std::exception_ptr, const result<void>& outcome) { served = outcome.has_value(); });
    fix.run_until([&] { return fix.exports.list().at(0).state == export_state::failed; });
    CHECK_THAT(fix.exports.list().at(0).reason, Catch::Contains("registry"));
    fix.run_until([&] { return served; });
    CHECK(block[0] == std::byte{5});
    CHECK(fix.exports.list().at(0).state == export_state::ready);
    CHECK(fix.opener.calls == 4);
    CHECK(fix.opener.last_opening == opening::again);
    REQUIRE(fix.opener.last_pinned);
    CHECK(fix.opener.last_pinned->manifest_digest == "sha256:" + std::string(64, 'a'));
}

TEST_CASE("another image under the old name is never served") {
    const scratch_directory state;
    leave_behind(state.path(), 5);
    catalog_fixture fix(state.path());
    const auto other = image(6);
    fix.opener.images["a"] = other;
    REQUIRE(fix.exports.restore());
    fix.run_until([&] { return fix.exports.list().at(0).state == export_state::failed; });
    fix.run_until([&] { return other->closed; });
    CHECK_THAT(fix.exports.list().at(0).reason, Catch::Contains("not the one"));
    REQUIRE(fix.run(fix.exports.detach("a")));
    CHECK(fix.target.targets.empty());
}

TEST_CASE("an export whose image never opens can be detached") {
    const scratch_directory state;
    leave_behind(state.path(), 5);
    catalog_fixture fix(state.path());
    fix.opener.failures = 1'000'000;
    REQUIRE(fix.exports.restore());
    fix.run_until([&] { return fix.exports.list().at(0).state == export_state::failed; });
    REQUIRE(fix.run(fix.exports.detach("a")));
    CHECK(fix.exports.list().empty());
    CHECK(fix.store.load_exports()->records.empty());
    fix.run(fix.exports.close());
}

TEST_CASE("damaged reservations keep the unit away rather than lose them") {
    const scratch_directory state;
    leave_behind(state.path(), 5);
    std::filesystem::resize_file(state / "units/a.json", 10);
    catalog_fixture fix(state.path());
    REQUIRE(fix.exports.restore());
    CHECK(fix.target.targets.empty());
    CHECK(fix.exports.list().at(0).state == export_state::failed);
    REQUIRE(fix.run(fix.exports.detach("a")));
}

TEST_CASE("a stop in the middle of opening ends cleanly") {
    const scratch_directory state;
    leave_behind(state.path(), 5);
    catalog_fixture fix(state.path());
    const auto disk = image(5);
    fix.opener.images["a"] = disk;
    fix.opener.hold = true;
    REQUIRE(fix.exports.restore());
    fix.run_until([&] { return fix.opener.inside == 1; });
    bool closed = false;
    asio::co_spawn(fix.control, fix.exports.close(), [&](std::exception_ptr) { closed = true; });
    fix.opener.release();
    fix.run_until([&] { return closed; });
    CHECK(disk->closed);
    CHECK(fix.run(fix.exports.attach(fix.by_reference("a"))).error().is(errc::unavailable));
}

TEST_CASE("a command that waits for an image fails in time, and at once when the export goes") {
    const scratch_directory state;
    asio::io_context loop(1);
    export_device_options options;
    options.name = "web";
    options.patience = std::chrono::milliseconds(5);
    std::array<std::byte, 512> block{};
    std::optional<result<void>> outcome;
    const auto note = [&](std::exception_ptr, result<void> value) { outcome = std::move(value); };
    SECTION("in time") {
        export_device device(options);
        device.explain("the registry is down");
        asio::co_spawn(loop, device.read({0}, block), note);
        loop.run();
        CHECK(outcome->error().is(errc::unavailable));
        CHECK_THAT(outcome->error().message(), Catch::Contains("the registry is down"));
    }
    SECTION("when it goes") {
        options.patience = std::chrono::hours(1);
        export_device device(options);
        asio::co_spawn(loop, device.read({0}, block), note);
        loop.poll();
        device.give_up();
        loop.run();
        CHECK(outcome->error().is(errc::cancelled));
    }
}

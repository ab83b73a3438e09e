// Exports whose initiators have clones, on real layers; sessions begin and end as the target server says.
#include <catch2/catch.hpp>

#include "server/clones/clone_store.hpp"
#include "tests/unit/server/real_catalog.hpp"

using namespace obd;
using namespace obd::server;
using namespace obd::server::test;
using iscsi::session_end;

namespace {

constexpr auto base = std::byte{0x11};
constexpr auto mine = std::byte{0x22};
constexpr auto others = std::byte{0x33};
const std::string a = "iqn.2000-01.test:a";
const std::string b = "iqn.2000-01.test:b";

/// Short waits, so that a test sees the end of them; a session that must outlive them is not ended.
catalog_options quick() {
    auto options = catalog_fixture::options();
    options.clones.close_after = std::chrono::milliseconds(0);
    options.clones.discard_after_logout = std::chrono::milliseconds(0);
    options.clones.discard_after_loss = std::chrono::hours(1);
    options.clones.clones = 3;
    return options;
}

struct clone_export {
    explicit clone_export(clone_mode mode = clone_mode::keep) : rig(quick()) {
        auto asked = rig.request("farm");
        asked.clones.emplace();
        asked.clones->mode = mode;
        const auto attached = rig.run(rig->attach(std::move(asked)));
        REQUIRE(attached.has_value());
        root = attached->record.clones->root;
    }
    iscsi::initiator_units& units() {
        return *rig.target.targets.at("iqn.2026-11.io.overlaybd:farm").options.per_initiator;
    }
    result<std::vector<iscsi::lun_options>> try_login(const std::string& who) { return rig.run(units().open(who)); }
    iscsi::lun_options login(const std::string& who) {
        auto opened = try_login(who);
        REQUIRE(opened.has_value());
        REQUIRE(opened->size() == 1);
        return std::move(opened->front());
    }
    std::vector<clone_view> list() { return rig.run(rig->clones("farm")).value(); }
    /// How many of them are open, and how many there are.
    std::pair<std::size_t, std::size_t> counts() {
        const auto now = rig->show("farm")->clones;
        return {now.open, now.all};
    }
    void restart() {
        rig.restart();
        rig.run_until([&] { return rig->show("farm")->state == export_state::ready; });
    }

    real_catalog rig;
    std::filesystem::path root;
};

using pair = std::pair<std::size_t, std::size_t>;

}  // namespace

TEST_CASE("clones: each initiator writes for itself, with a serial number of its own") {
    clone_export farm;
    const auto one = farm.login(a);
    const auto two = farm.login(b);
    CHECK(farm.rig.read(*one.device, 0) == base);
    REQUIRE(farm.rig.write(*one.device, 0, mine).has_value());
    REQUIRE(farm.rig.write(*two.device, 0, others).has_value());
    CHECK(farm.rig.read(*one.device, 0) == mine);
    CHECK(farm.rig.read(*two.device, 0) == others);
    CHECK(one.identity.serial != two.identity.serial);
    CHECK(one.identity.naa != two.identity.naa);
    CHECK(farm.counts() == pair(2, 2));
    const auto views = farm.list();
    REQUIRE(views.size() == 2);
    CHECK(views[0].initiator == a);
    CHECK(views[0].serial == one.identity.serial);
    CHECK(views[0].used.value > 0);
}

TEST_CASE("clones: kept ones are closed after the last session and found again, also after a restart") {
    clone_export farm;
    const auto first = farm.login(a);
    REQUIRE(farm.rig.write(*first.device, 0, mine).has_value());
    farm.units().closed(a, session_end::logged_out);
    farm.rig.run_until([&] { return farm.counts() == pair(0, 1); });
    auto again = farm.login(a);
    CHECK(farm.rig.read(*again.device, 0) == mine);
    CHECK(again.identity.serial == first.identity.serial);
    REQUIRE(again.persist);
    scsi::persistent_state state;
    state.saved_mode.write_cache_enabled = false;
    REQUIRE(again.persist(state).has_value());

    farm.restart();
    CHECK(farm.counts() == pair(0, 1));
    const auto later = farm.login(a);
    CHECK(farm.rig.read(*later.device, 0) == mine);
    CHECK(later.identity.naa == first.identity.naa);
    REQUIRE(later.restored);
    CHECK(*later.restored == state);
}

TEST_CASE("clones: discarded after a logout, not after a lost connection or a restart") {
    clone_export farm(clone_mode::discard);
    auto unit = farm.login(a);
    REQUIRE(farm.rig.write(*unit.device, 0, mine).has_value());
    SECTION("a logout") {
        farm.units().closed(a, session_end::logged_out);
        farm.rig.run_until([&] { return farm.counts() == pair(0, 0); });
        CHECK(std::filesystem::is_empty(farm.root));
        unit = farm.login(a);
        CHECK(farm.rig.read(*unit.device, 0) == base);
    }
    SECTION("a login right after the logout finds it") {
        farm.units().closed(a, session_end::logged_out);
        unit = farm.login(a);
        CHECK(farm.rig.read(*unit.device, 0).has_value());
        CHECK(farm.counts() == pair(1, 1));
    }
    SECTION("a lost connection, and a restart") {
        farm.units().closed(a, session_end::lost);
        farm.rig.run_until([&] { return farm.counts() == pair(0, 1); });
        farm.restart();
        unit = farm.login(a);
        CHECK(farm.rig.read(*unit.device, 0) == mine);
    }
    SECTION("it is told to be kept") {
        REQUIRE(farm.rig.run(farm.rig->keep_clone("farm", a)).has_value());
        farm.units().closed(a, session_end::logged_out);
        farm.rig.run_until([&] { return farm.counts() == pair(0, 1); });
        farm.restart();
        unit = farm.login(a);
        CHECK(farm.rig.read(*unit.device, 0) == mine);
    }
    SECTION("a detach") {
        farm.units().closed(a, session_end::lost);
        REQUIRE(farm.rig.run(farm.rig->detach("farm")).has_value());
        CHECK_FALSE(std::filesystem::exists(farm.root));
    }
}

TEST_CASE("clones: removed when nobody uses them") {
    clone_export farm;
    farm.login(a);
    const auto refused = farm.rig.run(farm.rig->remove_clone("farm", a, catalog::removal::when_unused));
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().is(errc::busy));
    farm.units().closed(a, session_end::lost);
    farm.rig.run_until([&] { return farm.counts() == pair(0, 1); });
    CHECK(
        farm.rig.run(farm.rig->remove_clone("farm", "IQN.2000-01.test:A", catalog::removal::when_unused)).has_value());
    CHECK(farm.list().empty());
    const auto none = farm.rig.run(farm.rig->remove_clone("farm", a, catalog::removal::when_unused));
    CHECK(none.error().is(errc::not_found));
}

TEST_CASE("clones: a commit is a layer on top of the image, and the clone goes on") {
    clone_export farm;
    auto unit = farm.login(a);
    REQUIRE(farm.rig.write(*unit.device, 0, mine).has_value());
    for (int i = 1; i <= 2; ++i) {  // the second holds what the first does
        const auto made = farm.rig.run(farm.rig->commit_clone("farm", a, {}));
        REQUIRE(made.has_value());
        CHECK(made->digest.starts_with("sha256:"));
        REQUIRE(farm.rig.write(*unit.device, 4096, others).has_value());
        auto asked = farm.rig.request("committed" + std::to_string(i));
        asked.origin.config = farm.rig.folder.write(
            "committed.json", R"({"lowers": [{"file": ")" + (farm.rig.folder / "base.obd").native() +
                                  R"("}, {"file": ")" + made->file.native() + R"("}]})");
        REQUIRE(farm.rig.run(farm.rig->attach(std::move(asked))).has_value());
        auto& disk =
            *farm.rig.target.targets.at("iqn.2026-11.io.overlaybd:committed" + std::to_string(i)).luns.at(0).device;
        CHECK(farm.rig.read(disk, 0) == mine);
        CHECK(farm.rig.read(disk, 4096) == (i == 1 ? base : others));
    }
    farm.units().closed(a, session_end::logged_out);
    farm.restart();
    unit = farm.login(a);
    CHECK(farm.rig.read(*unit.device, 0) == mine);
    CHECK(farm.rig.read(*unit.device, 4096) == others);
}

TEST_CASE("clones: quotas are each clone's own") {
    clone_export farm;
    REQUIRE(farm.rig.run(farm.rig->set_quota("farm", "", {256 << 10})).has_value());
    const auto one = farm.login(a);
    const auto two = farm.login(b);
    CHECK(farm.rig.write(*one.device, 0, mine, 512 << 10).error().is(errc::out_of_space));
    REQUIRE(farm.rig.run(farm.rig->set_quota("farm", a, {0})).has_value());
    CHECK(farm.rig.write(*one.device, 0, mine, 512 << 10).has_value());
    CHECK(farm.rig.write(*two.device, 0, others, 512 << 10).error().is(errc::out_of_space));
}

TEST_CASE("clones: what cannot be is refused") {
    clone_export farm;
    for (const auto* name : {"1", "2", "3"}) farm.login(name);
    const auto full = farm.try_login(a);
    REQUIRE_FALSE(full.has_value());
    CHECK(full.error().is(errc::limit_exceeded));
    CHECK_FALSE(farm.rig.run(farm.rig->snapshot("farm", {})).has_value());
    auto beside = farm.rig.request("beside");
    beside.target = "farm";
    CHECK(farm.rig.run(farm.rig->attach(std::move(beside))).error().is(errc::already_exists));
    auto both = farm.rig.request("both");
    both.clones.emplace();
    both.origin.upper = upper_kind::append;
    CHECK(farm.rig.run(farm.rig->attach(std::move(both))).error().is(errc::invalid_argument));
    CHECK(farm.rig.run(farm.rig->clones("none")).error().is(errc::not_found));
}

TEST_CASE("clone folders: names that no folder may have, and what a crash leaves") {
    scratch_directory folder;
    const std::string hostile = "iqn.2000-01.test:../../etc/" + std::string(300, 'x');
    for (const auto& name : {hostile, std::string("."), std::string("..a"), std::string("a\0b", 3), std::string()}) {
        const auto safe = clone_folder_name(name);
        CHECK(safe.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_-.") == std::string::npos);
        CHECK(safe.front() != '.');
        CHECK(safe.size() < 128);
    }
    CHECK(clone_folder_name("a:b") != clone_folder_name("a_b"));

    const clone_store store(folder.path());
    layers::image_config image;
    image.lowers.emplace_back().file = "/base";
    clone_record record;
    record.initiator = hostile;
    record.designator = clone_designator("base", hostile);
    record.quota = {5};
    const auto made = store.make(record, upper_kind::append, image);
    REQUIRE(made.has_value());
    CHECK(store.make(record, upper_kind::append, image).error().is(errc::already_exists));
    std::filesystem::create_directories(folder / ".half-made/x");
    std::filesystem::create_directories(folder / "damaged");
    auto found = store.load();
    REQUIRE(found.has_value());
    REQUIRE(found->clones.size() == 1);
    CHECK(found->clones[0].record.initiator == hostile);
    CHECK(found->clones[0].record.quota.value == 5);
    CHECK(found->damaged.size() == 1);
    CHECK_FALSE(std::filesystem::exists(folder / ".half-made"));
    // Another initiator's name in the folder: not served to either.
    std::filesystem::rename(made->folder, folder / clone_folder_name("other"));
    CHECK(store.load()->clones.empty());
}

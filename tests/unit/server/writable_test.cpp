// What writable exports can, on real layers: snapshots by both APIs, growing, quotas. Data is checked after each step
// and once more after a restart.
#include <catch2/catch.hpp>
#include <fstream>

#include "layers/image_config.hpp"
#include "server/admin/snapshot_service.hpp"
#include "server/catalog/upper_folder.hpp"
#include "tests/unit/server/real_catalog.hpp"

using namespace obd;
using namespace obd::server;
using namespace obd::server::test;

namespace {

struct writable_export {
    explicit writable_export(upper_kind kind = upper_kind::append) {
        auto asked = rig.request("disk");
        asked.origin.upper = kind;
        asked.quota = byte_count{512 << 10};
        const auto attached = rig.run(rig->attach(std::move(asked)));
        REQUIRE(attached.has_value());
        folder = attached->record.origin.upper_dir;
    }
    block_device& disk() { return *rig.target.targets.begin()->second.luns.at(0).device; }
    layers::image_config stack() const { return layers::load_image_config(upper_config_path(folder)).value(); }
    void restart() {
        rig.restart();
        rig.run_until([&] { return rig->show("disk")->state == export_state::ready; });
    }

    real_catalog rig;
    std::filesystem::path folder;
};

constexpr auto base = std::byte{0x11};
constexpr auto old = std::byte{0x22};
constexpr auto fresh = std::byte{0x33};

}  // namespace

TEST_CASE("a snapshot seals the upper, stacks a new one and rewrites the config") {
    writable_export one(GENERATE(upper_kind::append, upper_kind::sparse));
    REQUIRE(one.rig.write(one.disk(), 0, old).has_value());
    const auto made = one.rig.run(one.rig->snapshot("disk", {}));
    REQUIRE(made.has_value());
    CHECK(made->sealed == one.folder / "writable_data");
    CHECK(made->data == one.folder / "writable_data.1");
    REQUIRE(one.rig.write(one.disk(), 4096, fresh).has_value());
    const auto stack = one.stack();
    REQUIRE(stack.lowers.size() == 2);
    CHECK(stack.lowers.back().file == made->sealed.native());
    CHECK(stack.upper.data == made->data.native());
    CHECK(one.rig->show("disk")->layers.size() == 3);

    const auto check = [&] {
        CHECK(one.rig.read(one.disk(), 0) == old);
        CHECK(one.rig.read(one.disk(), 4096) == fresh);
        CHECK(one.rig.read(one.disk(), 8192) == base);
    };
    check();
    one.restart();
    check();
    // The sealed layer is one like any other: the stack without the new upper shows the disk as it was.
    auto asked = one.rig.request("before");
    asked.origin.config =
        one.rig.folder.write("before.json", R"({"lowers": [{"file": ")" + stack.lowers[0].file + R"("}, {"file": ")" +
                                                made->sealed.native() + R"("}]})");
    REQUIRE(one.rig.run(one.rig->attach(std::move(asked))).has_value());
    auto& before = *one.rig.target.targets.at("iqn.2026-11.io.overlaybd:before").luns.at(0).device;
    CHECK(one.rig.read(before, 0) == old);
    CHECK(one.rig.read(before, 4096) == base);
}

TEST_CASE("a snapshot into a folder of one's own, twice") {
    writable_export one;
    for (int i = 0; i < 2; ++i) {
        REQUIRE(one.rig.write(one.disk(), 0, static_cast<std::byte>(i)).has_value());
        const auto made = one.rig.run(one.rig->snapshot("disk", one.rig.folder / "next"));
        REQUIRE(made.has_value());
        CHECK(made->data.parent_path() == one.rig.folder / "next");
    }
    CHECK(one.stack().lowers.size() == 3);
    CHECK(one.rig.read(one.disk(), 0) == std::byte{1});
    one.restart();
    CHECK(one.rig.read(one.disk(), 0) == std::byte{1});
}

TEST_CASE("the reference's snapshot service takes a config with a new upper") {
    writable_export one;
    REQUIRE(one.rig.write(one.disk(), 0, old).has_value());
    audit_log audit;
    snapshot_service service(*one.rig.exports, audit);
    const auto ask = [&](const std::filesystem::path& config) {
        api_request request;
        request.method = "POST";
        request.path = "/snapshot";
        request.query = {{"dev_id", "disk"}, {"config", config.native()}};
        return one.rig.run(service.handle(std::move(request))).status;
    };
    const auto write_next = [&](const std::string& topmost) {
        std::filesystem::create_directories(one.rig.folder / "next");
        return one.rig.folder.write("next.json", R"({"lowers": [{"file": ")" + one.stack().lowers[0].file +
                                                     R"("}, {"file": ")" + topmost +
                                                     R"("}], "upper": {"data": "next/data", "index": "next/index"}})");
    };
    const auto present = (one.folder / "writable_data").native();
    CHECK(ask(write_next((one.rig.folder / "base.obd").native())) == 500);  // the wrong topmost lower
    CHECK(one.rig.read(one.disk(), 0) == old);
    const auto next = write_next(present);
    CHECK(ask(next) == 200);
    CHECK_FALSE(std::filesystem::exists(next));
    CHECK(one.stack().upper.data == (one.rig.folder / "next/data").native());
    CHECK(one.stack().lowers.back().file == present);
    REQUIRE(one.rig.write(one.disk(), 4096, fresh).has_value());
    one.restart();
    CHECK(one.rig.read(one.disk(), 0) == old);
    CHECK(one.rig.read(one.disk(), 4096) == fresh);
}

TEST_CASE("a disk grows, initiators are told, and stays so") {
    writable_export one;
    const auto told = one.rig.target.capacity_changes;
    const auto grown = one.rig.run(one.rig->resize("disk", {2 * disk_bytes}));
    REQUIRE(grown.has_value());
    CHECK(grown->record.seen->geometry.size.value == 2 * disk_bytes);
    CHECK(one.rig.target.capacity_changes == told + 1);
    CHECK(one.disk().geometry().size.value == 2 * disk_bytes);
    CHECK(one.rig.read(one.disk(), 2 * disk_bytes - 4096) == std::byte{0});
    REQUIRE(one.rig.write(one.disk(), 2 * disk_bytes - 4096, fresh).has_value());
    CHECK_FALSE(one.rig.run(one.rig->resize("disk", {disk_bytes})).has_value());
    one.restart();
    CHECK(one.disk().geometry().size.value == 2 * disk_bytes);
    CHECK(one.rig.read(one.disk(), 2 * disk_bytes - 4096) == fresh);
}

TEST_CASE("a full quota fails writes as a full disk does; a larger one lets them go on") {
    writable_export one;
    const auto fails_full = [&] {
        const auto written = one.rig.write(one.disk(), 0, fresh, 640 << 10);
        return !written && written.error().is(errc::out_of_space);
    };
    REQUIRE(one.rig.write(one.disk(), 768 << 10, old).has_value());
    CHECK(fails_full());
    CHECK(one.rig.read(one.disk(), 768 << 10) == old);
    one.restart();
    CHECK(fails_full());  // the quota is remembered
    REQUIRE(one.rig.run(one.rig->set_quota("disk", "", {4 << 20})).has_value());
    CHECK(one.rig.write(one.disk(), 0, fresh, 640 << 10).has_value());
    CHECK(one.rig->show("disk")->record.quota.value == 4 << 20);
    CHECK(one.rig->show("disk")->upper_used.value >= 640 << 10);
    CHECK(one.rig.read(one.disk(), 768 << 10) == old);
}

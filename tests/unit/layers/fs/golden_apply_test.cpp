// Three layers that the reference unpacked too: ours must give the file tree that its test data expects.
#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <map>

#include "base/digest.hpp"
#include "base/json/fields.hpp"
#include "layers/fs/byte_stream.hpp"
#include "tests/unit/layers/fs/image_fixture.hpp"

using namespace obd;
using namespace obd::fs;
using namespace obd::fs::test;

namespace {

std::filesystem::path golden_directory() {
    const char* from_environment = std::getenv("OBD_GOLDEN_DIR");
    return from_environment != nullptr ? from_environment : "../shared/golden";
}

/// path → inode, the root left out.
std::map<std::string, inode_number> all_paths(ext4_volume& volume) {
    std::map<std::string, inode_number> paths;
    std::vector<std::pair<std::string, inode_number>> rest{{"", root_inode}};
    while (!rest.empty()) {
        const auto [prefix, number] = rest.back();
        rest.pop_back();
        for (const auto& entry : volume.list(number).value()) {
            if (number == root_inode && entry.name == "lost+found") continue;
            paths.emplace(prefix + entry.name, entry.inode);
            if (entry.kind == node_kind::directory) rest.emplace_back(prefix + entry.name + "/", entry.inode);
        }
    }
    return paths;
}

const std::map<std::string, node_kind> kinds{{"file", node_kind::file},          {"dir", node_kind::directory},
                                             {"symlink", node_kind::symlink},    {"char", node_kind::character_device},
                                             {"block", node_kind::block_device}, {"fifo", node_kind::fifo}};

void check_node(ext4_volume& volume, inode_number inode, const rapidjson::Value& expected) {
    const auto status = volume.status(inode).value();
    CHECK(status.kind == kinds.at(expected["type"].GetString()));
    CHECK(status.attrs.uid == expected["uid"].GetUint());
    CHECK(status.attrs.gid == expected["gid"].GetUint());
    if (expected.HasMember("mode")) CHECK(status.attrs.permissions == expected["mode"].GetUint());
    if (expected.HasMember("target")) CHECK(volume.symlink_target(inode).value() == expected["target"].GetString());
    if (expected.HasMember("major")) CHECK(status.device.major == expected["major"].GetUint());
    if (expected.HasMember("minor")) CHECK(status.device.minor == expected["minor"].GetUint());
    if (expected.HasMember("sha256")) {
        CHECK(status.size.value == expected["size"].GetUint64());
        CHECK(sha256_digest(as_bytes(contents(volume, inode))) ==
              std::string("sha256:") + expected["sha256"].GetString());
    }
    const auto xattrs = volume.xattrs(inode).value();
    const bool some_expected = expected.HasMember("xattrs");
    CHECK(xattrs.size() == (some_expected ? expected["xattrs"].MemberCount() : 0));
    if (!some_expected) return;
    for (const auto& xattr : expected["xattrs"].GetObject()) {
        REQUIRE(xattrs.contains(xattr.name.GetString()));
        CHECK(xattrs.at(xattr.name.GetString()) == xattr.value.GetString());
    }
}

}  // namespace

TEST_CASE("the reference's layers give the reference's file tree", "[golden]") {
    const auto folder = golden_directory() / "70_ext4_apply";
    if (!std::filesystem::exists(folder)) {
        WARN("skipped: no golden data at " << folder << "; set OBD_GOLDEN_DIR");
        return;
    }
    ext4_image image({std::uint64_t{1} << 30});
    REQUIRE(image.complaints() == "");
    for (const char* name : {"layer0.tar.gz", "layer1.tar.gz", "layer2.tar.gz"}) {
        INFO(name);
        const auto input = open_stream(folder / "src" / name).value();
        image.change([&](ext4_volume& volume) { apply_layer(volume, *input, {}).value(); });
        REQUIRE(image.complaints() == "");
    }
    const auto expected = json::parse_file(folder / "tree.json").value();
    image.change([&](ext4_volume& volume) {
        const auto paths = all_paths(volume);
        for (const auto& node : expected.GetObject()) {
            INFO(node.name.GetString());
            REQUIRE(paths.contains(node.name.GetString()));
            check_node(volume, paths.at(node.name.GetString()), node.value);
            // A name that a later layer gave to a new file is no longer one of the old file's.
            if (node.value.HasMember("hardlink_of") &&
                expected[node.value["hardlink_of"].GetString()]["sha256"] == node.value["sha256"])
                CHECK(paths.at(node.name.GetString()) == paths.at(node.value["hardlink_of"].GetString()));
        }
        CHECK(paths.size() == expected.MemberCount());
    });
}

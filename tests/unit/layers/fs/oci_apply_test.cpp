// Layers of every shape, hostile ones too, against what OCI's specification says the tree must be.
#include <sys/stat.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdio>
#include <map>
#include <random>
#include <thread>

#include "base/digest.hpp"
#include "layers/fs/byte_stream.hpp"
#include "layers/fs/ext4_mkfs.hpp"
#include "tests/unit/layers/fs/image_fixture.hpp"
#include "tests/unit/layers/fs/tar_builder.hpp"

using namespace obd;
using namespace obd::fs;
using namespace obd::fs::test;

namespace {

/// Paths only, and what symlinks point to.
std::vector<std::string> tree_after(const std::vector<std::string>& layers) {
    ext4_image image;
    for (const auto& layer : layers) {
        image.apply(layer).value();
        REQUIRE(image.complaints() == "");
    }
    std::vector<std::string> paths;
    image.change([&paths](ext4_volume& volume) {
        for (const auto& line : listing(volume)) paths.push_back(line.substr(0, line.find(' ')));
    });
    return paths;
}

std::string refusal(const std::string& tar) {
    const auto disk = make_memory_disk({16u << 20});
    make_ext4(*disk, {}).value();
    auto volume = ext4_volume::open(*disk).value();
    const auto input = stream_of(as_bytes(tar));
    const auto outcome = apply_layer(*volume, *input, {});
    return outcome ? "" : outcome.error().message();
}

using paths = std::vector<std::string>;

}  // namespace

TEST_CASE("whiteouts hide what lies below, not what the layer itself brings") {
    const auto base =
        tar_builder().dir("d").file("d/old", "1").dir("d/sub").file("d/sub/x", "2").file("top", "3").finish();
    struct row {
        const char* what;
        std::string layer;
        paths expected;
    };
    const auto rows = std::vector<row>{
        {"a file", tar_builder().whiteout("d/.wh.old").finish(), {"d", "d/sub", "d/sub/x", "top"}},
        {"a directory", tar_builder().whiteout(".wh.d").finish(), {"top"}},
        {"nothing that exists",
         tar_builder().whiteout("d/.wh.nothing").whiteout("no/.wh.thing").finish(),
         {"d", "d/old", "d/sub", "d/sub/x", "top"}},
        {"before the new one",
         tar_builder().whiteout("d/.wh.old").file("d/old", "new").finish(),
         {"d", "d/old", "d/sub", "d/sub/x", "top"}},
        {"after the new one",
         tar_builder().file("d/old", "new").whiteout("d/.wh.old").finish(),
         {"d", "d/old", "d/sub", "d/sub/x", "top"}},
        {"a directory that is new too",
         tar_builder().file("d/new", "n").whiteout(".wh.d").finish(),
         {"d", "d/new", "top"}},
        {"opaque first",
         tar_builder().dir("d").whiteout("d/.wh..wh..opq").file("d/new", "n").finish(),
         {"d", "d/new", "top"}},
        {"opaque last",
         tar_builder().dir("d").file("d/sub/new", "n").whiteout("d/.wh..wh..opq").finish(),
         {"d", "d/sub", "d/sub/new", "top"}},
        {"opaque root", tar_builder().file("n", "n").whiteout(".wh..wh..opq").finish(), {"n"}},
        {"AUFS's own names",
         tar_builder().whiteout(".wh..wh.plnk").whiteout("d/.wh..wh.aufs").finish(),
         {"d", "d/old", "d/sub", "d/sub/x", "top"}},
    };
    for (const auto& [what, layer, expected] : rows) {
        INFO(what);
        auto found = tree_after({base, layer});
        std::erase(found, "lost+found");
        CHECK(found == expected);
    }
}

TEST_CASE("kinds replace one another") {
    const auto base = tar_builder().dir("d").file("d/x", "1").file("f", "2").symlink("l", "d").finish();
    struct row {
        const char* what;
        std::string layer;
        paths expected;
    };
    const auto rows = std::vector<row>{
        {"directory by file", tar_builder().file("d", "n").finish(), {"d", "f", "l"}},
        {"file by directory", tar_builder().dir("f").file("f/y", "n").finish(), {"d", "d/x", "f", "f/y", "l"}},
        {"directory by directory", tar_builder().dir("d", 0700).finish(), {"d", "d/x", "f", "l"}},
        {"symlink to a directory by directory",
         tar_builder().dir("l").file("l/z", "n").finish(),
         {"d", "d/x", "f", "l", "l/z"}},
        {"through a symlink to a directory", tar_builder().file("l/z", "n").finish(), {"d", "d/x", "d/z", "f", "l"}},
        {"directory by symlink", tar_builder().symlink("d", "f").finish(), {"d", "f", "l"}},
    };
    for (const auto& [what, layer, expected] : rows) {
        INFO(what);
        CHECK(tree_after({base, layer}) == expected);
    }
}

TEST_CASE("no path leads out of the root") {
    struct row {
        const char* what;
        std::string layer;
        paths expected;
    };
    const auto rows = std::vector<row>{
        {"dots in front", tar_builder().file("../../../etc/passwd", "x").finish(), {"etc", "etc/passwd"}},
        {"dots inside", tar_builder().file("a/b/../../../../c", "x").finish(), {"c"}},
        {"absolute", tar_builder().file("/abs", "x").finish(), {"abs"}},
        {"empty components", tar_builder().file("./a//b/./c", "x").finish(), {"a", "a/b", "a/b/c"}},
        {"absolute symlink parent",
         tar_builder().dir("in").symlink("s", "/in").file("s/f", "x").finish(),
         {"in", "in/f", "s"}},
        {"symlink parent above the root",
         tar_builder().symlink("s", "../../../..").file("s/f", "x").finish(),
         {"f", "s"}},
        {"symlink to a place that is missing",
         tar_builder().symlink("s", "/new/dir").file("s/f", "x").finish(),
         {"new", "new/dir", "new/dir/f", "s"}},
        {"hard link with dots", tar_builder().file("a", "x").hard_link("b", "../../a").finish(), {"a", "b"}},
        {"whiteout with dots", tar_builder().file("a", "x").whiteout("../../.wh.b").finish(), {"a"}},
    };
    for (const auto& [what, layer, expected] : rows) {
        INFO(what);
        CHECK(tree_after({layer}) == expected);
    }
}

TEST_CASE("what cannot be right is refused, and says why") {
    const auto plain = tar_builder().file("a", "x").finish();
    struct row {
        const char* what;
        std::string layer;
        const char* reason;
    };
    auto bad_sum = plain;
    bad_sum[0] = 'b';
    const auto rows = std::vector<row>{
        {"nothing", "", "archive format"},
        {"text", std::string(2000, 't'), "archive format"},
        {"a checksum that is wrong", bad_sum, "archive format"},
        {"cut in a file", tar_builder().file("long", std::string(5000, 'x')).so_far().substr(0, 3000), "long"},
        {"a whiteout of nothing", tar_builder().whiteout("d/.wh.").dir("d").whiteout("d/.wh.").finish(),
         "names no file"},
        {"a whiteout of the parent", tar_builder().dir("d").whiteout("d/.wh...").finish(), "names no file"},
        {"a hard link to nothing", tar_builder().hard_link("b", "a").finish(), "not there"},
        {"a hard link to a directory", tar_builder().dir("d").hard_link("b", "d").finish(), "directory"},
        {"a hard link over its target's directory", tar_builder().file("d/a", "x").hard_link("d", "d/a").finish(),
         "takes the place"},
        {"a file where a directory must be", tar_builder().file("a", "x").file("a/b", "y").finish(), "no directory"},
        {"a file in place of the root", tar_builder().file(".", "x").finish(), "root"},
        {"symlinks in a circle", tar_builder().symlink("a", "b").symlink("b", "a").file("a/x", "y").finish(), "circle"},
        {"a long component", tar_builder().add({.name = "x", .pax = {{"path", std::string(256, 'n')}}}).finish(),
         "255"},
        {"a long path",
         tar_builder()
             .add({.name = "x",
                   .pax = {{"path",
                            [] {
                                std::string deep;
                                for (int i = 0; i < 3000; ++i) deep += "a/";
                                return deep + "f";
                            }()}}})
             .finish(),
         "4096"},
        {"an owner that cannot be", tar_builder().add({.name = "x", .pax = {{"uid", "4294967295"}}}).finish(), "owner"},
        {"more than the disk holds", tar_builder().file("x", std::string(20u << 20, 'x')).finish(), "full"},
        {"attributes that do not fit",
         tar_builder().add({.name = "x", .pax = {{"SCHILY.xattr.user.big", std::string(8000, 'v')}}}).finish(),
         "attributes"},
    };
    for (const auto& [what, layer, reason] : rows) {
        INFO(what);
        const auto message = refusal(layer);
        INFO(message);
        CHECK(message.find(reason) != std::string::npos);
    }
}

TEST_CASE("everything that a tar member can say arrives") {
    ext4_image image;
    const std::string long_name(200, 'n');
    const auto layer = tar_builder()
                           .add({.name = "suid", .data = "x", .mode = 04755, .uid = 1000, .gid = 1001})
                           .add({.name = "x", .data = "x", .pax = {{"path", long_name + "/" + long_name}}})
                           .add({.name = "utf8",
                                 .pax = {{"path",
                                          "gr\xc3\xbc\xc3\x9f"
                                          "e"}}})
                           .file("latin-\xfc", "raw bytes")
                           .add({.name = "big-ids", .pax = {{"uid", "3000000"}, {"gid", "4000000000"}}})
                           .add({.name = "char", .type = '3', .mode = 0600, .major = 10, .minor = 229})
                           .add({.name = "block", .type = '4', .mode = 0660, .major = 8, .minor = 300})
                           .add({.name = "fifo", .type = '6', .mode = 0644})
                           .add({.name = "caps",
                                 .data = "x",
                                 .mode = 0755,
                                 .pax = {{"SCHILY.xattr.security.capability", "0123456789"},
                                         {"SCHILY.xattr.user.a", "b"},
                                         {"SCHILY.xattr.other.c", "d"}}})
                           .add({.name = "time", .pax = {{"mtime", "1700000000.987654321"}}})
                           .dir("sticky", 01777)
                           .finish();
    const auto report = image.apply(layer).value();
    CHECK(report.members == 11);
    CHECK(report.digest == sha256_digest(as_bytes(layer)));
    REQUIRE(image.complaints() == "");
    image.change([&](ext4_volume& volume) {
        auto lines = listing(volume);
        const auto has = [&lines](const std::string& line) { return std::ranges::count(lines, line) == 1; };
        const std::string x = "1 2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";
        const std::string none = "0 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        for (const auto& line : lines) UNSCOPED_INFO(line);
        CHECK(has("suid file 4755 1000:1001 " + x));
        CHECK(has(long_name + "/" + long_name + " file 0644 0:0 " + x));
        CHECK(
            has("gr\xc3\xbc\xc3\x9f"
                "e file 0644 0:0 " +
                none));
        CHECK(std::ranges::any_of(lines, [](const std::string& line) { return line.starts_with("latin-\xfc file"); }));
        CHECK(has("big-ids file 0644 3000000:4000000000 " + none));
        CHECK(has("char char 0600 0:0 10,229"));
        CHECK(has("block block 0660 0:0 8,300"));
        CHECK(has("fifo fifo 0644 0:0"));
        CHECK(has("caps file 0755 0:0 " + x + " security.capability=0123456789 user.a=b"));
        CHECK(has("sticky dir 1777 0:0"));
        const auto time = volume.find(root_inode, "time").value()->inode;
        CHECK(volume.status(time).value().attrs.modified == timestamp{1'700'000'000, 987'654'321});
    });
}

TEST_CASE("ACLs given as text become attributes, and the mask the group's bits") {
    ext4_image image;
    const std::string access = "user::rw-,user:lisa:r--:1000,group::r--,group:staff:rwx:50,mask::rw-,other::---";
    const auto layer = tar_builder()
                           .add({.name = "acl", .mode = 0640, .pax = {{"SCHILY.acl.access", access}}})
                           .add({.name = "dir",
                                 .type = '5',
                                 .mode = 0755,
                                 .pax = {{"SCHILY.acl.default", "user::rwx,group::r-x,other::r-x"}}})
                           .add({.name = "plain", .pax = {{"SCHILY.acl.access", "user::rw-,group::r--,other::r--"}}})
                           .add({.name = "nobody",
                                 .pax = {{"SCHILY.acl.access",
                                          "user::rw-,user:nobody-knows:rwx,group::r--,"
                                          "mask::rwx,other::r--"}}})
                           .finish();
    image.apply(layer).value();
    REQUIRE(image.complaints() == "");
    image.change([&](ext4_volume& volume) {
        const auto xattrs = [&](const std::string& name) {
            return volume.xattrs(volume.find(root_inode, name).value()->inode).value();
        };
        const auto hex = [](const std::string& value) { return to_hex(as_bytes(value)); };
        // On disk there is no number where nobody is named; libext2fs says 0 then.
        CHECK(hex(xattrs("acl")["system.posix_acl_access"]) ==
              "02000000"
              "0100060000000000"
              "02000400e8030000"
              "0400040000000000"
              "0800070032000000"
              "1000060000000000"
              "2000000000000000");
        CHECK(volume.status(volume.find(root_inode, "acl").value()->inode).value().attrs.permissions == 0660);
        CHECK(hex(xattrs("dir")["system.posix_acl_default"]) ==
              "02000000"
              "0100070000000000"
              "0400050000000000"
              "2000050000000000");
        CHECK(xattrs("plain").empty());
        CHECK(xattrs("nobody").empty());
    });
}

TEST_CASE("layers made by GNU tar: sparse, long names, hard links, compressed") {
    scratch_directory work;
    const auto root = (work / "root").string();
    const auto made = run_command("set -e; mkdir -p " + root + "/d; cd " + root +
                                  "; truncate -s 5G big; printf tail | dd of=big bs=1 seek=5000000000 conv=notrunc; "
                                  "printf one > d/a; ln d/a d/b; ln -s ../d/a d/s; mkdir -p $(printf '%0120d/%0120d' 1 "
                                  "2); printf x > $(printf '%0120d/%0120d' 1 2)/f; "
                                  "tar --format=gnu -S -cf ../gnu.tar . ; tar --format=pax -S -cf ../pax.tar . ; gzip "
                                  "-k ../gnu.tar; zstd -q ../pax.tar");
    INFO(made.output);
    REQUIRE(made.status == 0);
    std::vector<std::vector<std::string>> seen;
    for (const char* name : {"gnu.tar", "pax.tar", "gnu.tar.gz", "pax.tar.zst"}) {
        ext4_image image;
        const auto input = open_stream(work / name).value();
        image.change([&](ext4_volume& volume) {
            apply_layer(volume, *input, {}).value();
            const auto big = volume.find(root_inode, "big").value()->inode;
            CHECK(volume.status(big).value().size.value == std::uint64_t{5} << 30);
            std::string tail(6, 'x');
            volume.read(big, {4'999'999'999}, std::as_writable_bytes(std::span(tail))).value();
            CHECK(tail == std::string("\0tail\0", 6));
            volume.remove(root_inode, "big").value();
            volume.sync().value();
            seen.push_back(listing(volume));
        });
        CHECK(image.complaints() == "");
    }
    CHECK(seen[0].size() == 7);
    CHECK(seen[0] == seen[1]);
    CHECK(seen[0] == seen[2]);
    CHECK(seen[0] == seen[3]);
}

TEST_CASE("the same layer gives the same bytes") {
    const auto base = tar_builder().dir("d").file("d/a", std::string(10000, 'a')).file("b", "b").finish();
    const auto next = tar_builder().whiteout(".wh.b").file("d/c", "c").finish();
    std::string first;
    for (int round = 0; round < 2; ++round) {
        ext4_image image;
        image.apply(base).value();
        image.apply(next).value();
        if (round == 0) first = image.sha256();
        CHECK(image.sha256() == first);
    }
}

TEST_CASE("the uncompressed digest is checked") {
    const auto layer = tar_builder().file("a", "x").finish() + std::string(10240, '\0');
    ext4_image image;
    apply_options right;
    right.expected_digest = sha256_digest(as_bytes(layer));
    CHECK(image.apply(layer, right).has_value());
    apply_options wrong;
    wrong.expected_digest = sha256_digest(as_bytes("other"));
    const auto outcome = image.apply(layer, wrong);
    REQUIRE(outcome.has_error());
    CHECK(outcome.error().is(errc::corrupt));
}

TEST_CASE("a FIFO is read to its end, and one that ends early is an error") {
    scratch_directory work;
    const auto fifo = work / "fifo";
    REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
    auto layer = tar_builder().file("a", std::string(300'000, 'x')).finish();
    const bool complete = GENERATE(true, false);
    if (!complete) layer.resize(100'000);
    std::thread writer([&] {
        std::FILE* out = std::fopen(fifo.c_str(), "w");
        for (std::size_t done = 0; done < layer.size();)
            done += std::fwrite(layer.data() + done, 1, std::min<std::size_t>(7'777, layer.size() - done), out);
        std::fclose(out);
    });
    const auto disk = make_memory_disk({16u << 20});
    make_ext4(*disk, {}).value();
    auto volume = ext4_volume::open(*disk).value();
    const auto input = open_stream(fifo).value();
    const auto outcome = apply_layer(*volume, *input, {});
    writer.join();
    CHECK(outcome.has_value() == complete);
    if (complete) CHECK(volume->list(root_inode).value().size() == 2);
}

TEST_CASE("random layers agree with a model") {
    const auto seed = GENERATE(11u, 12u, 13u);
    INFO("seed " << seed);
    std::mt19937 random(seed);
    ext4_image image;
    std::map<std::string, std::string> model;  // path → contents; directories are implied
    for (int layer = 0; layer < 6; ++layer) {
        tar_builder tar;
        std::map<std::string, std::string> brought;
        const auto below = model;
        for (int step = 0; step < 40; ++step) {
            const auto dir = "d" + std::to_string(random() % 5);
            const auto path = dir + "/f" + std::to_string(random() % 12);
            switch (random() % 4) {
                case 0:
                    tar.whiteout(dir + "/.wh." + path.substr(dir.size() + 1));
                    if (!brought.contains(path)) model.erase(path);
                    break;
                case 1:
                    if (random() % 4 != 0) break;
                    tar.whiteout(dir + "/.wh..wh..opq");
                    std::erase_if(model, [&](const auto& item) {
                        return item.first.starts_with(dir + "/") && !brought.contains(item.first);
                    });
                    break;
                default: {
                    const std::string data(random() % 9000, static_cast<char>('a' + random() % 26));
                    tar.file(path, data);
                    model[path] = brought[path] = data;
                }
            }
        }
        image.apply(tar.finish()).value();
        REQUIRE(image.complaints() == "");
        image.change([&](ext4_volume& volume) {
            std::map<std::string, std::string> found;
            for (const auto& dir : volume.list(root_inode).value()) {
                if (dir.name == "lost+found") continue;
                for (const auto& file : volume.list(dir.inode).value())
                    found[dir.name + "/" + file.name] = contents(volume, file.inode);
            }
            REQUIRE(found == model);
        });
    }
}

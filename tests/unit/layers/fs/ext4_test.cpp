// The ext4 volume by itself: e2fsck judges, debugfs and our own reading compare.
#include <catch2/catch.hpp>
#include <map>
#include <random>

#include "layers/fs/ext4_mkfs.hpp"
#include "tests/unit/layers/fs/image_fixture.hpp"

using namespace obd;
using namespace obd::fs;
using namespace obd::fs::test;

namespace {

const attributes plain{0644, 1000, 100000, {1'700'000'000, 123'456'789}};

new_node of_kind(node_kind kind) {
    new_node node;
    node.kind = kind;
    node.attrs = plain;
    return node;
}

std::string pattern(std::size_t bytes, unsigned seed) {
    std::mt19937 random(seed);
    std::string data(bytes, '\0');
    for (auto& c : data) c = static_cast<char>(random());
    return data;
}

inode_number make_file(ext4_volume& volume, inode_number in, const std::string& name, const std::string& data) {
    const auto file = volume.make(in, name, of_kind(node_kind::file)).value();
    file_writer writer(volume, file);
    writer.write({0}, as_bytes(data)).value();
    writer.finish({data.size()}).value();
    return file;
}

}  // namespace

TEST_CASE("an empty file system is clean and the same bytes each time") {
    const auto size = GENERATE(1u << 20, 8u << 20, 129u << 20, 1u << 30);
    ext4_image one({size}), two({size});
    INFO(size);
    CHECK(one.complaints() == "");
    CHECK(one.sha256() == two.sha256());
}

TEST_CASE("UUID and hash seed come from the seed") {
    const auto disk = make_memory_disk({8u << 20});
    mkfs_options options;
    options.seed.fill(std::byte{0xab});
    make_ext4(*disk, options).value();
    std::vector<std::byte> super(1024);
    disk->read({1024}, super).value();
    CHECK(to_hex(const_bytes(super).subspan(0x68, 16)) == "abababababab8bababababababababab");
}

TEST_CASE("a disk that is too small is refused") {
    const auto disk = make_memory_disk({512 << 10});
    const auto made = make_ext4(*disk, {});
    REQUIRE(made.has_error());
    CHECK(made.error().is(errc::invalid_argument));
}

TEST_CASE("a huge disk costs little") {
    // 64 GiB, as containers' base layers have; the sparse file shows how much was written.
    ext4_image image({std::uint64_t{64} << 30});
    CHECK(image.complaints() == "");
    const auto blocks = run_command("stat -c %b '" + image.path().string() + "'").output;
    CHECK(std::stoull(blocks) * 512 < (8u << 20));
}

TEST_CASE("with a journal") {
    const auto disk = make_memory_disk({std::uint64_t{1} << 30});
    mkfs_options options;
    options.with_journal = journal::present;
    make_ext4(*disk, options).value();
    auto volume = ext4_volume::open(*disk);
    REQUIRE(volume.has_value());
}

TEST_CASE("every kind of node, with owners, times and permissions") {
    ext4_image image;
    image.change([](ext4_volume& volume) {
        make_file(volume, root_inode, "file", "hello");
        volume.make(root_inode, "dir", of_kind(node_kind::directory)).value();
        volume.make(root_inode, "fifo", of_kind(node_kind::fifo)).value();
        volume.make(root_inode, "socket", of_kind(node_kind::socket)).value();
        auto node = of_kind(node_kind::character_device);
        node.device = {5, 1};
        volume.make(root_inode, "char", node).value();
        node = of_kind(node_kind::block_device);
        node.device = {259, 70000};
        volume.make(root_inode, "block", node).value();
        node = of_kind(node_kind::symlink);
        node.symlink_target = std::string(59, 'f');
        volume.make(root_inode, "fast", node).value();
        node.symlink_target = std::string(60, 's');
        volume.make(root_inode, "slow", node).value();
        node.symlink_target = std::string(4095, 'l');
        volume.make(root_inode, "longest", node).value();
        volume.sync().value();
    });
    REQUIRE(image.complaints() == "");
    image.change([](ext4_volume& volume) {
        const auto status = volume.status(volume.find(root_inode, "file").value()->inode).value();
        CHECK(status.attrs == plain);
        CHECK(listing(volume) ==
              std::vector<std::string>{
                  "block block 0644 1000:100000 259,70000", "char char 0644 1000:100000 5,1",
                  "dir dir 0644 1000:100000", "fast symlink 0644 1000:100000 -> " + std::string(59, 'f'),
                  "fifo fifo 0644 1000:100000",
                  "file file 0644 1000:100000 5 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
                  "longest symlink 0644 1000:100000 -> " + std::string(4095, 'l'),
                  "slow symlink 0644 1000:100000 -> " + std::string(60, 's'), "socket socket 0644 1000:100000"});
    });
    CHECK(image.debugfs("stat file").find("mtime: 0x6553f100:1d6f3454") != std::string::npos);
}

TEST_CASE("times before 1970 and after 2038 survive") {
    const auto seconds = GENERATE(std::int64_t{-1}, std::int64_t{-2'000'000'000}, std::int64_t{2'147'483'648},
                                  std::int64_t{4'294'967'296}, std::int64_t{10'000'000'000});
    const auto disk = make_memory_disk({8u << 20});
    make_ext4(*disk, {}).value();
    auto volume = ext4_volume::open(*disk).value();
    auto node = of_kind(node_kind::fifo);
    node.attrs.modified.seconds = seconds;
    const auto made = volume->make(root_inode, "x", node).value();
    CHECK(volume->status(made).value().attrs == node.attrs);
}

TEST_CASE("big files, holes and odd lengths") {
    ext4_image image({std::uint64_t{128} << 20});
    const auto big = pattern(20'000'001, 7);
    const auto piece = pattern(5000, 8);
    const std::uint64_t far = (std::uint64_t{5} << 30) + 1000;
    image.change([&](ext4_volume& volume) {
        make_file(volume, root_inode, "big", big);
        const auto sparse = volume.make(root_inode, "sparse", of_kind(node_kind::file)).value();
        file_writer writer(volume, sparse);
        writer.write({100}, as_bytes(piece)).value();
        writer.write({5100 + 20}, as_bytes(piece)).value();
        writer.write({far}, as_bytes(piece)).value();
        writer.finish({far + 1'000'000}).value();
        volume.sync().value();
    });
    REQUIRE(image.complaints() == "");
    image.change([&](ext4_volume& volume) {
        CHECK(contents(volume, volume.find(root_inode, "big").value()->inode) == big);
        const auto sparse = volume.find(root_inode, "sparse").value()->inode;
        CHECK(volume.status(sparse).value().size.value == far + 1'000'000);
        std::string head(20000, 'x'), tail(10000, 'x');
        volume.read(sparse, {0}, std::as_writable_bytes(std::span(head))).value();
        volume.read(sparse, {far - 2000}, std::as_writable_bytes(std::span(tail))).value();
        const std::string gap(20, '\0');
        CHECK(head.substr(0, 100) == std::string(100, '\0'));
        CHECK(head.substr(100, 10020) == piece + gap + piece);
        CHECK(head.substr(10120) == std::string(20000 - 10120, '\0'));
        CHECK(tail == std::string(2000, '\0') + piece + std::string(3000, '\0'));
    });
}

TEST_CASE("a fragmented disk gives a file of many extents") {
    ext4_image image({std::uint64_t{64} << 20});
    const auto block = pattern(4 * 4096, 1);
    const auto big = pattern(4096 * 1500, 2);
    image.change([&](ext4_volume& volume) {
        std::vector<std::string> names;
        while (volume.used().free_blocks > 1000) {
            names.push_back("f" + std::to_string(names.size()));
            make_file(volume, root_inode, names.back(), block);
        }
        for (std::size_t i = 0; i < names.size(); i += 2) volume.remove(root_inode, names[i]).value();
        make_file(volume, root_inode, "big", big);
        volume.sync().value();
        CHECK(contents(volume, volume.find(root_inode, "big").value()->inode) == big);
    });
    REQUIRE(image.complaints() == "");
}

TEST_CASE("a full disk says so") {
    const auto disk = make_memory_disk({2u << 20});
    make_ext4(*disk, {}).value();
    auto volume = ext4_volume::open(*disk).value();
    const auto file = volume->make(root_inode, "x", of_kind(node_kind::file)).value();
    file_writer writer(*volume, file);
    const std::string data(4u << 20, 'x');
    auto outcome = writer.write({0}, as_bytes(data));
    if (outcome) outcome = writer.finish({data.size()});
    REQUIRE(outcome.has_error());
    CHECK(outcome.error().is(errc::out_of_space));
    CHECK(outcome.error().message().find("file system is full") != std::string::npos);
}

TEST_CASE("directories of every size are right, before and after entries go") {
    const auto count = GENERATE(1, 100, 5000, 60000);
    ext4_image image({std::uint64_t{1} << 30});
    const auto name_of = [](int i) { return "entry-with-a-name-of-some-length-" + std::to_string(i); };
    image.change([&](ext4_volume& volume) {
        const auto dir = volume.make(root_inode, "dir", of_kind(node_kind::directory)).value();
        const auto file = make_file(volume, root_inode, "target", "x");
        for (int i = 0; i < count; ++i) {
            if (i % 7 == 0)
                volume.make(dir, name_of(i), of_kind(node_kind::directory)).value();
            else if (i % 7 == 1)
                volume.make(dir, name_of(i), of_kind(node_kind::fifo)).value();
            else if (i < 60000)
                volume.link(dir, name_of(i), file).value();
        }
        volume.sync().value();
    });
    INFO(count);
    REQUIRE(image.complaints() == "");
    image.change([&](ext4_volume& volume) {
        const auto dir = volume.find(root_inode, "dir").value()->inode;
        CHECK(volume.list(dir).value().size() == static_cast<std::size_t>(count));
        for (int i = 0; i < count; i += 2) volume.remove(dir, name_of(i)).value();
        volume.sync().value();
    });
    REQUIRE(image.complaints() == "");
    image.change([&](ext4_volume& volume) {
        const auto dir = volume.find(root_inode, "dir").value()->inode;
        for (int i = 0; i < count; ++i) REQUIRE(volume.find(dir, name_of(i)).value().has_value() == (i % 2 == 1));
        volume.remove(root_inode, "dir").value();
        volume.sync().value();
        CHECK(listing(volume).size() == 1);
    });
    CHECK(image.complaints() == "");
}

TEST_CASE("the hash tree finds what the kernel's algorithm looks for") {
    ext4_image image;
    image.change([](ext4_volume& volume) {
        for (int i = 0; i < 3000; ++i)
            volume.make(root_inode, "n" + std::to_string(i), of_kind(node_kind::fifo)).value();
        volume.sync().value();
    });
    // debugfs checks the tree while it prints it; e2fsck has checked the order of the hashes.
    CHECK(image.complaints() == "");
    const auto dump = image.debugfs("htree_dump /");
    CHECK(dump.find("Number of entries (count)") != std::string::npos);
    CHECK(dump.find("n2999") != std::string::npos);
}

TEST_CASE("more subdirectories than a link count can hold") {
    ext4_image image({std::uint64_t{2} << 30});
    image.change([](ext4_volume& volume) {
        const auto dir = volume.make(root_inode, "dir", of_kind(node_kind::directory)).value();
        for (int i = 0; i < 65100; ++i) volume.make(dir, std::to_string(i), of_kind(node_kind::directory)).value();
        volume.sync().value();
        CHECK(volume.status(dir).value().links == 1);
    });
    CHECK(image.complaints() == "");
}

TEST_CASE("extended attributes, in the inode and in a block") {
    ext4_image image;
    extended_attributes values{
        {"user.short", "v"},
        {"security.capability", std::string("\x01\0\0\x02\x00\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20)},
        {"trusted.long", std::string(2000, 't')}};
    image.change([&](ext4_volume& volume) {
        const auto file = make_file(volume, root_inode, "f", "x");
        volume.set_xattrs(file, values).value();
        volume.sync().value();
    });
    REQUIRE(image.complaints() == "");
    image.change([&](ext4_volume& volume) {
        const auto file = volume.find(root_inode, "f").value()->inode;
        CHECK(volume.xattrs(file).value() == values);
        const auto too_much = volume.set_xattrs(file, {{"user.huge", std::string(5000, 'x')}});
        REQUIRE(too_much.has_error());
        CHECK(too_much.error().is(errc::out_of_space));
    });
}

TEST_CASE("ACLs go through libext2fs's conversion") {
    // struct posix_acl_xattr: version 2; user::rw-, user:1000:r--, group::r--, mask::r--, other::---
    const std::string acl(
        "\2\0\0\0"
        "\1\0\6\0\xff\xff\xff\xff"
        "\2\0\4\0\xe8\3\0\0"
        "\4\0\4\0\xff\xff\xff\xff"
        "\x10\0\4\0\xff\xff\xff\xff"
        "\x20\0\0\0\xff\xff\xff\xff",
        44);
    ext4_image image;
    image.change([&](ext4_volume& volume) {
        const auto file = make_file(volume, root_inode, "f", "x");
        volume.set_xattrs(file, {{"system.posix_acl_access", acl}}).value();
        volume.sync().value();
        // What comes back has no identifier in entries that need none.
        auto back = volume.xattrs(file).value().at("system.posix_acl_access");
        REQUIRE(back.size() == acl.size());
        for (const std::size_t entry : {4u, 20u, 28u, 36u}) back.replace(entry + 4, 4, "\xff\xff\xff\xff");
        CHECK(to_hex(as_bytes(back)) == to_hex(as_bytes(acl)));
    });
    CHECK(image.complaints() == "");
}

TEST_CASE("hard links keep the file until the last name goes") {
    ext4_image image;
    image.change([](ext4_volume& volume) {
        const auto before = volume.used();
        const auto file = make_file(volume, root_inode, "a", pattern(100000, 3));
        volume.link(root_inode, "b", file).value();
        CHECK(volume.status(file).value().links == 2);
        volume.remove(root_inode, "a").value();
        CHECK(volume.status(file).value().links == 1);
        CHECK(contents(volume, file) == pattern(100000, 3));
        volume.remove(root_inode, "b").value();
        volume.sync().value();
        CHECK(volume.used().free_inodes == before.free_inodes);
        CHECK(volume.used().free_blocks == before.free_blocks);
    });
    CHECK(image.complaints() == "");
}

TEST_CASE("wrong names and wrong uses are refused") {
    const auto disk = make_memory_disk({8u << 20});
    make_ext4(*disk, {}).value();
    auto volume = ext4_volume::open(*disk).value();
    for (const auto& name : {std::string(), std::string("."), std::string(".."), std::string("a/b"),
                             std::string("a\0b", 3), std::string(256, 'n')}) {
        const auto made = volume->make(root_inode, name, of_kind(node_kind::file));
        REQUIRE(made.has_error());
        CHECK(made.error().is(errc::invalid_argument));
    }
    volume->make(root_inode, std::string(255, 'n'), of_kind(node_kind::file)).value();
    CHECK(volume->make(root_inode, std::string(255, 'n'), of_kind(node_kind::file)).error().is(errc::already_exists));
    CHECK(volume->remove(root_inode, "nothing").error().is(errc::not_found));
    const auto dir = volume->make(root_inode, "dir", of_kind(node_kind::directory)).value();
    CHECK(volume->link(root_inode, "again", dir).error().is(errc::invalid_argument));
}

TEST_CASE("what is no usable file system is refused with the reason") {
    const auto disk = make_memory_disk({8u << 20});
    CHECK(ext4_volume::open(*disk).error().message().find("no ext4 file system") != std::string::npos);
    make_ext4(*disk, {}).value();
    std::vector<std::byte> super(1024);
    disk->read({1024}, super).value();
    SECTION("a feature that is not known") {
        super[0x60] |= std::byte{0x00};
        super[0x61] |= std::byte{0x80};  // inline data
        disk->write({1024}, super).value();
        CHECK(ext4_volume::open(*disk).has_error());
    }
    SECTION("a damaged checksum") {
        super[0x0c] ^= std::byte{1};
        disk->write({1024}, super).value();
        CHECK(ext4_volume::open(*disk).has_error());
    }
}

TEST_CASE("random changes keep the file system clean") {
    const auto seed = GENERATE(1u, 2u, 3u);
    INFO("seed " << seed);
    std::mt19937 random(seed);
    ext4_image image({std::uint64_t{64} << 20});
    std::map<std::string, std::string> expected;
    for (int round = 0; round < 5; ++round) {
        image.change([&](ext4_volume& volume) {
            for (int step = 0; step < 150; ++step) {
                const auto name = "f" + std::to_string(random() % 60);
                if (expected.contains(name)) {
                    volume.remove(root_inode, name).value();
                    expected.erase(name);
                } else {
                    expected[name] = pattern(random() % 60000, static_cast<unsigned>(random()));
                    make_file(volume, root_inode, name, expected[name]);
                }
            }
            volume.sync().value();
        });
        REQUIRE(image.complaints() == "");
    }
    image.change([&](ext4_volume& volume) {
        for (const auto& [name, data] : expected)
            CHECK(contents(volume, volume.find(root_inode, name).value()->inode) == data);
    });
}

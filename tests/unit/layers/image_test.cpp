#include "layers/image.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <catch2/catch.hpp>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <random>

#include "base/digest.hpp"
#include "layers/writable_hook.hpp"
#include "tests/support/await.hpp"
#include "tests/support/fault_blob.hpp"
#include "tests/support/layer_fixtures.hpp"
#include "tests/support/layer_writer.hpp"

namespace obd::test {
namespace {

using layers::image;
using layers::image_config;

/// Blobs in memory by digest; counts how often it is asked.
class memory_provider final : public blob_provider {
public:
    std::string add(byte_vector content) {
        const std::string digest = sha256_digest(content);
        blobs[digest] = std::make_shared<fault_blob>(std::move(content), fault_blob::place::far, digest);
        return digest;
    }
    asio::awaitable<result<std::shared_ptr<blob_source>>> open(remote_blob blob) override {
        ++opens;
        const auto found = blobs.find(blob.digest);
        if (found == blobs.end()) co_return fail(errc::not_found, blob.digest);
        co_return found->second;
    }
    std::map<std::string, std::shared_ptr<fault_blob>> blobs;
    int opens = 0;
};

layers::lower_config local(const std::filesystem::path& file) {
    return {.file = file.string()};
}

result<std::shared_ptr<image>> open(image_config config, layer_services& services) {
    return await(layers::open_image(std::move(config), services.get()));
}

lsmt_builder random_changes(std::mt19937_64& random, std::uint64_t sectors) {
    lsmt_builder changes;
    for (int i = 0; i < 40; ++i) {
        const std::uint64_t start = random() % sectors;
        const std::uint64_t count = 1 + random() % 60;
        if (random() % 4 == 0) {
            changes.discard(start, count);
        } else {
            changes.write(start, sample_bytes(count * 512, random(), random() % 2 == 0 ? 3 : 8));
        }
    }
    return changes;
}

/// One of the forms that a layer may come in.
byte_vector in_some_form(std::mt19937_64& random, const lsmt_builder& changes, const lsmt_options& options) {
    byte_vector file;
    switch (random() % 3) {
        case 0:
            file = changes.committed(options);
            break;
        case 1:
            file = changes.sealed(options);
            break;
        default:
            file = changes.sealed_sparse(options);
            break;
    }
    if (random() % 3 != 0) {
        zfile_options coding;
        coding.coding = random() % 2 == 0 ? zfile_coding::lz4 : zfile_coding::zstd;
        coding.block_bytes = 512u << (random() % 8);
        coding.verify = random() % 4 != 0;
        coding.index = random() % 2 == 0 ? zfile_index_place::header : zfile_index_place::trailer;
        file = zfile(file, coding);
    }
    switch (random() % 4) {
        case 0:
            return tar_with_one_header(file);
        case 1:
            return tar_with_pax(file, random() % 3000);
        default:
            return file;
    }
}

std::string text_of(const std::filesystem::path& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

}  // namespace

TEST_CASE("random stacks of every form read as the model, near and far") {
    const auto seed = std::random_device{}();
    INFO("seed " << seed);
    std::mt19937_64 random(seed);
    for (int round = 0; round < 12; ++round) {
        layer_services services;
        memory_provider provider;
        services.registry = &provider;
        scratch_directory dir;
        constexpr std::uint64_t disk_bytes = 1 << 20;
        byte_vector model(disk_bytes);
        image_config config;
        config.repo_blob_url = "http://localhost/v2/x/blobs";
        const std::size_t count = 1 + random() % 8;
        for (std::size_t i = 0; i < count; ++i) {
            const auto changes = random_changes(random, disk_bytes / 512 - 60);
            changes.apply_to(model);
            auto file = in_some_form(random, changes, {.virtual_bytes = disk_bytes});
            if (random() % 2 == 0) {
                config.lowers.push_back({.digest = provider.add(std::move(file))});
            } else {
                config.lowers.push_back(local(dir.write("layer" + std::to_string(i), file)));
            }
        }
        const auto opened = open(config, services);
        if (!opened) FAIL(opened.error().message());
        image& disk = **opened;
        REQUIRE(first_difference(model, read_all(disk).value()).empty());
        byte_vector out;
        for (int i = 0; i < 60; ++i) {
            const std::uint64_t start = random() % (disk_bytes / 512);
            out.assign(std::min<std::uint64_t>(1 + random() % 300, disk_bytes / 512 - start) * 512, std::byte{0xa5});
            REQUIRE(read_device(disk, {start * 512}, out).has_value());
            REQUIRE(first_difference(const_bytes(model).subspan(start * 512, out.size()), out).empty());
        }
    }
}

TEST_CASE("the topmost layer with a size gives the disk its size") {
    layer_services services;
    scratch_directory dir;
    const auto layer = [&](const std::string& name, std::uint64_t virtual_bytes) {
        lsmt_builder changes;
        changes.write(0, sample_bytes(8192, 1));
        return local(dir.write(name, changes.committed({.virtual_bytes = virtual_bytes})));
    };
    image_config config;
    config.lowers = {layer("a", 1 << 20), layer("b", 4096 + 100), layer("c", 0)};
    const auto opened = open(config, services).value();
    CHECK(opened->geometry().size.value == 4096);
    CHECK(opened->geometry().access == access_mode::read_only);
    byte_vector out(512);
    CHECK(await(opened->read({4096}, out)).error().is(errc::out_of_range));
    CHECK(opened->try_read({4096}, out) == attempt::would_block);
    config.lowers = {layer("d", 0)};
    CHECK(open(config, services).error().is(errc::invalid_argument));
}

TEST_CASE("a disk of 4 TiB reads right at its far end") {
    layer_services services;
    scratch_directory dir;
    const std::uint64_t far = (std::uint64_t{4} << 40) / 512 - 8;
    const byte_vector data = sample_bytes(4096, 3);
    lsmt_builder changes;
    changes.write(0, sample_bytes(512, 4)).write(far, data).write(far - (std::uint64_t{1} << 32), sample_bytes(512, 5));
    image_config config;
    config.lowers = {local(dir.write("a", changes.committed({.virtual_bytes = std::uint64_t{4} << 40})))};
    const auto opened = open(config, services).value();
    byte_vector out(4096);
    REQUIRE(read_device(*opened, {far * 512}, out).has_value());
    CHECK(first_difference(data, out).empty());
}

TEST_CASE("extents tell data from what is not there") {
    layer_services services;
    scratch_directory dir;
    lsmt_builder bottom;
    bottom.write(10, sample_bytes(10 * 512, 1));
    lsmt_builder top;
    top.discard(12, 2).write(20, sample_bytes(512, 2));
    image_config config;
    config.lowers = {local(dir.write("a", bottom.committed({}))), local(dir.write("b", top.committed({})))};
    const auto opened = open(config, services).value();
    using kind = device_extent::kind;
    struct expected {
        std::uint64_t sector, length;
        kind state;
    };
    const expected all[] = {{0, 10, kind::deallocated},
                            {10, 2, kind::data},
                            {12, 2, kind::deallocated},
                            {14, 7, kind::data},
                            {21, 2048 - 21, kind::deallocated}};
    const auto found = await(opened->extents({0}, opened->geometry().size, 100)).value();
    REQUIRE(found.size() == std::size(all));
    for (std::size_t i = 0; i < found.size(); ++i) {
        CHECK(found[i].offset.value == all[i].sector * 512);
        CHECK(found[i].length.value == all[i].length * 512);
        CHECK(found[i].state == all[i].state);
    }
    CHECK(await(opened->extents({0}, opened->geometry().size, 2)).value().size() == 2);
}

TEST_CASE("an image without a writable layer refuses to be written, and closes") {
    layer_services services;
    scratch_directory dir;
    image_config config;
    lsmt_builder changes;
    changes.write(0, sample_bytes(4096, 1));
    config.lowers = {local(dir.write("a", changes.committed({})))};
    const auto opened = open(config, services).value();
    byte_vector bytes(512);
    CHECK(opened->try_write({0}, bytes) == attempt::would_block);
    CHECK(await(opened->write({0}, bytes, durability::write_back)).error().is(errc::read_only));
    CHECK(await(opened->write_atomic({0}, bytes, durability::write_back)).error().is(errc::read_only));
    CHECK(await(opened->compare_and_write({0}, bytes, bytes, durability::write_back)).error().is(errc::read_only));
    CHECK(await(opened->discard({0}, {512})).error().is(errc::read_only));
    CHECK(await(opened->flush()).has_value());
    CHECK(await(opened->prefetch({0}, {1 << 20})).has_value());
    CHECK(await(opened->read({1}, bytes)).error().is(errc::out_of_range));
    CHECK(await(opened->close()).has_value());
    CHECK(await(opened->close()).has_value());
    CHECK(!await(opened->read({0}, bytes)).has_value());
    CHECK(opened->try_read({0}, bytes) == attempt::would_block);
}

TEST_CASE("images share the layers that they have in common, and close them with the last") {
    layer_services services;
    memory_provider provider;
    services.registry = &provider;
    lsmt_builder changes;
    changes.write(0, sample_bytes(4096, 1));
    image_config config;
    config.repo_blob_url = "http://localhost/v2/x/blobs";
    config.lowers = {{.digest = provider.add(zfile(changes.committed({}), {}))}};
    auto first = open(config, services).value();
    auto second = open(config, services).value();
    CHECK(provider.opens == 1);
    CHECK(services.pool.size() == 1);
    CHECK(first->identity() == second->identity());
    CHECK(first->layers()[0].form == "zfile(lz4,4096)+lsmt");
    CHECK(first->layers()[0].name == config.lowers[0].digest);
    first.reset();
    second.reset();
    CHECK(services.pool.size() == 0);
    open(config, services).value();
    CHECK(provider.opens == 2);
}

TEST_CASE("a layer that many ask for at once is opened once, and its failure reaches all") {
    layer_services services;
    memory_provider provider;
    services.registry = &provider;
    lsmt_builder changes;
    changes.write(0, sample_bytes(4096, 1));
    image_config config;
    config.repo_blob_url = "http://localhost/v2/x/blobs";
    const bool good = GENERATE(true, false);
    byte_vector file = changes.committed({});
    if (!good) file[0] ^= std::byte{1};
    config.lowers = {{.digest = provider.add(std::move(file))}};
    asio::io_context context;
    int ended = 0;
    std::vector<std::shared_ptr<image>> images;
    for (int i = 0; i < 20; ++i) {
        asio::co_spawn(context, layers::open_image(config, services.get()),
                       [&](const std::exception_ptr&, result<std::shared_ptr<image>> opened) {
                           ++ended;
                           CHECK(opened.has_value() == good);
                           if (opened) images.push_back(*opened);
                       });
    }
    context.run();
    CHECK(ended == 20);
    CHECK(provider.opens == 1);
}

TEST_CASE("the identity is that of the content") {
    scratch_directory dir;
    lsmt_builder changes;
    changes.write(0, sample_bytes(4096, 1));
    const auto identity = [&](const std::string& name, const lsmt_options& options) {
        layer_services services;
        image_config config;
        config.lowers = {local(dir.write(name, changes.committed(options)))};
        return open(config, services).value()->identity();
    };
    CHECK(identity("a", {}) == identity("b", {}));
    CHECK(identity("a", {}) != identity("c", {.uuid = "11111111-89AB-CDEF-0123-456789ABCDEF"}));
    CHECK(identity("a", {}) != identity("d", {.virtual_bytes = 2 << 20}));
}

TEST_CASE("a failed read names the layer, the sector and the reason") {
    layer_services services;
    memory_provider provider;
    services.registry = &provider;
    lsmt_builder changes;
    changes.write(0, sample_bytes(1 << 18, 1)).write(1000, sample_bytes(4096, 2));
    image_config config;
    config.repo_blob_url = "http://localhost/v2/x/blobs";
    const byte_vector file = zfile(changes.committed({}), {});
    const std::string digest = provider.add(file);
    config.lowers = {{.digest = digest}};
    const auto opened = open(config, services).value();
    byte_vector out(4096);
    REQUIRE(read_device(*opened, {1000 * 512}, out).has_value());
    for (std::uint64_t at = 512; at < file.size(); ++at) provider.blobs[digest]->fail_at(at, errc::timed_out);
    const auto read = await(opened->read({1000 * 512 + 512 * 4}, mutable_bytes(out).first(512)));
    byte_vector big(1 << 20);
    const auto all = await(opened->read({0}, big));
    REQUIRE(!all.has_value());
    CHECK(all.error().is(errc::timed_out));
    CHECK(all.error().message().starts_with("layer " + digest + " sector "));
    static_cast<void>(read);  // the block may still be at hand, decoded
}

TEST_CASE("configs that can't be opened are refused with the reason, which the result file gets") {
    layer_services services;
    scratch_directory dir;
    lsmt_builder changes;
    changes.write(0, sample_bytes(4096, 1));
    const auto good = local(dir.write("good", changes.committed({})));
    struct refusal {
        std::string name;
        std::function<void(image_config&)> apply;
        errc code;
        std::string expected;
    };
    const std::string digest = "sha256:" + std::string(64, 'a');
    const refusal table[] = {
        {"nothing", [](auto& c) { c.lowers.clear(); }, errc::invalid_argument, "nothing to open"},
        {"half an upper",
         [](auto& c) {
             c.lowers.clear();
             c.upper.data = "/d";
         },
         errc::invalid_argument, "nothing to open"},
        {"empty lower", [](auto& c) { c.lowers.emplace_back(); }, errc::invalid_argument, "lowers[1] names no file"},
        {"missing file", [](auto& c) { c.lowers.push_back({.file = "/nowhere/x"}); }, errc::not_found, "/nowhere/x"},
        {"missing dir", [](auto& c) { c.lowers.push_back({.dir = "/nowhere"}); }, errc::not_found, "overlaybd.commit"},
        {"remote", [&](auto& c) { c.lowers.push_back({.digest = digest}); }, errc::unsupported, "no registry client"},
        {"target file", [](auto& c) { c.lowers[0].target_file = "/nowhere/t"; }, errc::not_found,
         "target: open /nowhere/t"},
        {"target digest", [](auto& c) { c.lowers[0].target_digest = "t"; }, errc::unsupported, "target: layer t"},
        {"gzip index", [](auto& c) { c.lowers[0].gzip_index = "t"; }, errc::invalid_argument, "lowers[0].gzipIndex"},
        {"upper target", [](auto& c) { c.upper.target = "t"; }, errc::unsupported, "upper.target"},
        {"trace", [](auto& c) { c.record_trace_path = "t"; }, errc::unsupported, "recordTracePath"},
        {"both",
         [](auto& c) {
             c.record_trace_path = "t";
             c.acceleration_layer = true;
         },
         errc::invalid_argument, "together"},
        {"no acceleration layer",
         [](auto& c) {
             c.lowers.clear();
             c.acceleration_layer = true;
         },
         errc::invalid_argument, "accelerationLayer"},
        {"writable",
         [](auto& c) {
             c.upper.data = "/d";
             c.upper.index = "/i";
         },
         errc::unsupported, "writable layers"},
        {"folder", [&](auto& c) { c.lowers.push_back({.file = dir.path().string()}); }, errc::invalid_argument,
         "not a regular file"},
    };
    for (const auto& row : table) {
        INFO(row.name);
        image_config config;
        config.lowers = {good};
        config.result_file = (dir.path() / "result").string();
        row.apply(config);
        const auto opened = open(config, services);
        REQUIRE(!opened.has_value());
        INFO(opened.error().message());
        CHECK(opened.error().is(row.code));
        CHECK(opened.error().message().find(row.expected) != std::string::npos);
        CHECK(text_of(config.result_file) == "failed:" + opened.error().message());
    }
}

TEST_CASE("the result file says that an image opened") {
    layer_services services;
    scratch_directory dir;
    image_config config;
    config.lowers = {local(dir.write("good", lsmt_builder().committed({})))};
    config.result_file = (dir.path() / "result").string();
    CHECK(open(config, services).has_value());
    CHECK(text_of(config.result_file) == "success");
}

TEST_CASE("remote layers need a URL and a digest") {
    layer_services services;
    memory_provider provider;
    services.registry = &provider;
    image_config config;
    config.lowers = {{.digest = "sha256:" + std::string(64, 'a')}};
    CHECK(open(config, services).error().message().find("empty repoBlobUrl") != std::string::npos);
    config.repo_blob_url = "http://localhost/v2/x/blobs";
    CHECK(open(config, services).error().is(errc::not_found));
    config.lowers[0].digest = "sha256:../../etc/passwd";
    CHECK(open(config, services).error().is(errc::invalid_argument));
    CHECK(provider.opens == 1);
}

TEST_CASE("a layer's folder is looked through in order, before the registry") {
    layer_services services;
    scratch_directory dir;
    const auto layer = [](std::uint64_t virtual_bytes) {
        return lsmt_builder().committed({.virtual_bytes = virtual_bytes});
    };
    image_config config;
    config.lowers = {{.file = (dir.path() / "absent").string(), .dir = dir.path().string()}};
    const auto size = [&] { return open(config, services).value()->geometry().size.value; };
    dir.write("overlaybd.sealed", layer(512));
    CHECK(size() == 512);
    dir.write(".commit", layer(1024));
    CHECK(size() == 1024);
    dir.write("overlaybd.commit", layer(2048));
    CHECK(size() == 2048);
    dir.write("absent", layer(4096));
    CHECK(size() == 4096);
}

TEST_CASE("a config with a writable layer goes to the opener that the program has") {
    class recording_opener final : public layers::upper_opener {
    public:
        asio::awaitable<result<std::shared_ptr<image>>> open(layers::upper_config upper,
                                                             std::shared_ptr<const layers::read_stack> lowers,
                                                             layers::image_services) override {
            data = upper.data;
            has_stack = lowers != nullptr;
            co_return fail(errc::busy, "recorded");
        }
        std::string data;
        bool has_stack = false;
    } opener;
    layer_services services;
    services.uppers = &opener;
    image_config config;
    config.upper = {.index = "/i", .data = "/d"};
    CHECK(open(config, services).error().is(errc::busy));
    CHECK(opener.data == "/d");
    CHECK(opener.has_stack);
}

}  // namespace obd::test

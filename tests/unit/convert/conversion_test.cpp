// OCI images into overlaybd images, read back through the layer engine.
#include <spdlog/logger.h>
#include <spdlog/sinks/null_sink.h>

#include <catch2/catch.hpp>
#include <fstream>
#include <sstream>

#include "base/digest.hpp"
#include "base/json/fields.hpp"
#include "layers/fs/ext4_volume.hpp"
#include "layers/fs/sync_disk.hpp"
#include "layers/layer_pool.hpp"
#include "layers/write/blocking.hpp"
#include "tests/unit/convert/source_image.hpp"
#include "tests/unit/layers/fs/image_fixture.hpp"
#include "tests/unit/layers/fs/tar_builder.hpp"
#include "tools/convert/conversion.hpp"

using namespace obd;
using namespace obd::convert;
using namespace obd::convert::test;
using fs::test::tar_builder;

namespace {

const std::string first_layer =
    tar_builder().dir("etc").file("etc/a", std::string(300'000, 'a')).file("gone", "g").finish();
const std::string second_layer =
    tar_builder().whiteout(".wh.gone").file("etc/b", "b").hard_link("etc/c", "etc/a").finish();
const std::string third_layer = tar_builder().file("etc/a", "new").symlink("link", "etc/b").finish();

/// A converter with a home of its own.
struct bench {
    fs::test::scratch_directory work;
    worker_pool workers{2};
    spdlog::logger log{"test", std::make_shared<spdlog::sinks::null_sink_mt>()};
    std::ostringstream said;
    progress shown{said, progress_style::lines};
    layer_ledger ledger{work / "ledger.json"};

    store_services stores() {
        store_services services{.workers = workers, .log = log};
        services.work_directory = work.path();
        return services;
    }
    conversion_options options() {
        conversion_options chosen;
        chosen.build.virtual_size = {256u << 20};
        chosen.build.work_directory = work.path();
        chosen.build.zfile.threads = 2;
        return chosen;
    }
    result<conversion_report> convert(const std::string& from, const std::string& to, const conversion_options& how) {
        TRY(const auto reader, open_reader(from, stores()));
        TRY(const auto writer, open_writer(to, stores()));
        return convert_image({*reader, *writer, ledger, workers, log, shown}, how);
    }
    result<conversion_report> convert(const std::string& from, const std::string& to) {
        return convert(from, to, options());
    }

    /// The converted image's tree, and e2fsck's opinion of its disk.
    std::vector<std::string> tree(const std::filesystem::path& layout, const rapidjson::Document& manifest) {
        layers::image_config config;
        for (const auto& layer : manifest["layers"].GetArray()) {
            layers::lower_config lower;
            lower.file = blob_path(layout, layer["digest"].GetString()).string();
            config.lowers.push_back(std::move(lower));
        }
        layers::layer_pool pool(workers);
        const layers::image_services services{.workers = workers, .pool = pool, .registry = nullptr, .log = log};
        const auto image = layers::run_blocking(layers::open_image(std::move(config), services)).value();
        const auto disk = fs::make_device_disk(*image);
        const auto file = work / "disk.img";
        std::ofstream(file).close();
        std::filesystem::resize_file(file, disk->size().value);
        const auto copy = fs::open_file_disk(file).value();
        std::vector<std::byte> buffer(1 << 20);
        for (std::uint64_t at = 0; at < disk->size().value; at += buffer.size()) {
            disk->read({at}, buffer).value();
            copy->write({at}, buffer).value();
        }
        const auto judged = fs::test::run_command("PATH=$PATH:/usr/sbin:/sbin e2fsck -fn '" + file.string() + "'");
        INFO(judged.output);
        CHECK(judged.status == 0);
        return fs::test::listing(*fs::ext4_volume::open(*copy).value());
    }
};

rapidjson::Document document_at(const std::filesystem::path& layout, const std::string& digest) {
    return json::parse(read_file(blob_path(layout, digest)), "test").value();
}

std::vector<source_layer> three_layers() {
    return {{first_layer}, {second_layer, source_layer::compression::gzip}, {third_layer}};
}

std::vector<std::string> expected_tree() {
    fs::test::ext4_image image;
    for (const auto& layer : {first_layer, second_layer, third_layer}) image.apply(layer).value();
    std::vector<std::string> lines;
    image.change([&lines](fs::ext4_volume& volume) { lines = fs::test::listing(volume); });
    return lines;
}

}  // namespace

TEST_CASE("an image is converted layer by layer, as overlaybd's tools expect it") {
    bench on;
    const auto source = on.work / "source", target = on.work / "target";
    write_layout(source, three_layers());
    const auto report = on.convert("oci:" + source.string(), "oci:" + target.string() + ":new").value();
    CHECK(report.images == 1);
    CHECK(report.layers_built == 3);
    const auto manifest = document_at(target, report.digest);
    CHECK(manifest["mediaType"] == "application/vnd.oci.image.manifest.v1+json");
    CHECK(manifest["annotations"]["kept"] == "yes");
    const auto config = document_at(target, manifest["config"]["digest"].GetString());
    CHECK(config["config"]["Env"][0] == "A=B");
    CHECK(config["history"][0]["created_by"] == "test");
    const auto& layers = manifest["layers"];
    REQUIRE(layers.Size() == 3);
    REQUIRE(config["rootfs"]["diff_ids"].Size() == 3);
    for (rapidjson::SizeType number = 0; number < layers.Size(); ++number) {
        const auto& layer = layers[number];
        const auto file = blob_path(target, layer["digest"].GetString());
        CHECK(layer["mediaType"] == "application/vnd.oci.image.layer.v1.tar");
        CHECK(layer["size"].GetUint64() == std::filesystem::file_size(file));
        CHECK(config["rootfs"]["diff_ids"][number] == layer["digest"]);
        const auto& notes = layer["annotations"];
        CHECK(notes["containerd.io/snapshot/overlaybd/version"] == "0.1.0");
        CHECK(notes["containerd.io/snapshot/overlaybd/blob-digest"] == layer["digest"]);
        CHECK(notes["containerd.io/snapshot/overlaybd/blob-size"].GetString() ==
              std::to_string(layer["size"].GetUint64()));
        CHECK(sha256_digest(as_bytes(read_file(file))) == layer["digest"].GetString());
    }
    CHECK(on.tree(target, manifest) == expected_tree());
    CHECK(on.said.str().find("layer 3/3") != std::string::npos);
}

TEST_CASE("the same image gives the same digests") {
    bench one, two;
    for (auto* on : {&one, &two}) write_layout(on->work / "source", three_layers());
    const auto a = one.convert("oci:" + (one.work / "source").string(), "oci:" + (one.work / "t").string()).value();
    const auto b = two.convert("oci:" + (two.work / "source").string(), "oci:" + (two.work / "t").string()).value();
    CHECK(a.digest == b.digest);
}

TEST_CASE("layers converted before are found again, also as the base of new ones") {
    bench on;
    const auto source = on.work / "source", target = on.work / "target";
    write_layout(source, {{first_layer}, {second_layer}});
    CHECK(on.convert("oci:" + source.string(), "oci:" + target.string() + ":two").value().layers_built == 2);
    const auto again = on.convert("oci:" + source.string(), "oci:" + target.string() + ":again").value();
    CHECK(again.layers_built == 0);
    CHECK(again.layers_reused == 2);
    const auto more = on.work / "more";
    write_layout(more, {{first_layer}, {second_layer}, {third_layer}});
    const auto report = on.convert("oci:" + more.string(), "oci:" + target.string() + ":three").value();
    CHECK(report.layers_built == 1);
    CHECK(report.layers_reused == 2);
    CHECK(on.tree(target, document_at(target, report.digest)) == expected_tree());
    SECTION("not with other options") {
        auto other = on.options();
        other.build.zfile.block_bytes = 16384;
        CHECK(on.convert("oci:" + more.string(), "oci:" + target.string() + ":16k", other).value().layers_built == 3);
    }
    SECTION("not when the blob is gone") {
        std::filesystem::remove_all(target);
        CHECK(on.convert("oci:" + more.string(), "oci:" + target.string()).value().layers_built == 3);
    }
}

TEST_CASE("all images of an index, without attestations") {
    bench on;
    const auto source = on.work / "source", target = on.work / "target";
    const auto one = write_layout(source, {{first_layer}});
    const auto two = write_layout(source, {{first_layer}, {third_layer}});
    write_index(source, {{one, "amd64"}, {two, "arm64"}});
    SECTION("all") {
        const auto report = on.convert("oci:" + source.string(), "oci:" + target.string()).value();
        CHECK(report.images == 2);
        CHECK(report.layers_built == 2);
        CHECK(report.layers_reused == 1);
        const auto index = document_at(target, report.digest);
        REQUIRE(index["manifests"].Size() == 2);
        CHECK(index["manifests"][1]["platform"]["architecture"] == "arm64");
        CHECK(document_at(target, index["manifests"][1]["digest"].GetString())["layers"].Size() == 2);
    }
    SECTION("one") {
        auto how = on.options();
        how.platform = "linux/arm64";
        const auto report = on.convert("oci:" + source.string(), "oci:" + target.string(), how).value();
        CHECK(report.images == 1);
        CHECK(document_at(target, report.digest)["layers"].Size() == 2);
        how.platform = "linux/riscv64";
        CHECK(on.convert("oci:" + source.string(), "oci:" + target.string(), how).error().is(errc::not_found));
    }
    SECTION("as referrers") {
        auto how = on.options();
        how.refer = referrer::yes;
        const auto report = on.convert("oci:" + source.string(), "oci:" + target.string(), how).value();
        const auto index = document_at(target, report.digest);
        CHECK(index["artifactType"] == "application/vnd.containerd.overlaybd.native.v1+json");
        const auto manifest = document_at(target, index["manifests"][0]["digest"].GetString());
        CHECK(manifest["subject"]["digest"].GetString() == one);
    }
}

TEST_CASE("a docker-archive") {
    bench on;
    write_docker_archive(on.work / "saved.tar", {first_layer, second_layer, third_layer});
    const auto target = on.work / "target";
    const auto report =
        on.convert("docker-archive:" + (on.work / "saved.tar").string() + ":test:latest", "oci:" + target.string())
            .value();
    CHECK(on.tree(target, document_at(target, report.digest)) == expected_tree());
}

TEST_CASE("with Docker's media types") {
    bench on;
    write_layout(on.work / "source", {{first_layer}});
    auto how = on.options();
    how.types = media_types::docker;
    const auto target = on.work / "target";
    const auto report = on.convert("oci:" + (on.work / "source").string(), "oci:" + target.string(), how).value();
    const auto manifest = document_at(target, report.digest);
    CHECK(manifest["mediaType"] == "application/vnd.docker.distribution.manifest.v2+json");
    CHECK(manifest["layers"][0]["mediaType"] == "application/vnd.docker.image.rootfs.diff.tar");
}

TEST_CASE("damage is found, and told with the layer") {
    bench on;
    const auto source = on.work / "source", target = on.work / "target";
    write_layout(source, three_layers());
    const auto layer = blob_path(source, sha256_digest(as_bytes(third_layer)));
    SECTION("other bytes") {
        auto bytes = read_file(layer);
        bytes[600] = 'X';
        write_file(layer, bytes);
    }
    SECTION("cut") {
        std::filesystem::resize_file(layer, 700);
    }
    SECTION("missing") {
        std::filesystem::remove(layer);
    }
    const auto outcome = on.convert("oci:" + source.string(), "oci:" + target.string());
    REQUIRE(outcome.has_error());
    INFO(outcome.error().message());
    CHECK(outcome.error().message().find(sha256_digest(as_bytes(third_layer)).substr(0, 15)) != std::string::npos);
    CHECK(!std::filesystem::exists(target / "index.json"));
}

TEST_CASE("what is an overlaybd image already is refused") {
    bench on;
    const auto source = on.work / "source", target = on.work / "target";
    write_layout(source, {{first_layer}});
    on.convert("oci:" + source.string(), "oci:" + target.string()).value();
    const auto again = on.convert("oci:" + target.string(), "oci:" + (on.work / "third").string());
    REQUIRE(again.has_error());
    CHECK(again.error().message().find("overlaybd image already") != std::string::npos);
}

TEST_CASE("a finished image is copied as it is") {
    bench on;
    const auto source = on.work / "source", copy = on.work / "copy";
    const auto digest = write_layout(source, three_layers());
    const auto reader = open_reader("oci:" + source.string(), on.stores()).value();
    const auto writer = open_writer("oci:" + copy.string() + ":copy", on.stores()).value();
    CHECK(copy_image(*reader, *writer, on.shown).value() == digest);
    CHECK(read_file(blob_path(copy, digest)) == read_file(blob_path(source, digest)));
    CHECK(open_reader("oci:" + copy.string() + ":copy", on.stores()).value()->root().value().digest == digest);
    CHECK(open_reader("oci:" + copy.string() + ":other", on.stores()).value()->root().error().is(errc::not_found));
}

TEST_CASE("chain IDs", "[oci]") {
    // OCI Image Format Specification, "Layer ChainID": ChainID(L₀|L₁) = Digest(ChainID(L₀) + " " + DiffID(L₁)).
    const std::string a = "sha256:" + std::string(64, 'a'), b = "sha256:" + std::string(64, 'b');
    CHECK(chain_id_of("", a) == a);
    CHECK(chain_id_of(a, b) == sha256_digest(as_bytes(a + " " + b)));
    CHECK(uuid_of_chain("sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef") ==
          "01234567-89ab-cdef-0123-456789abcdef");
}

// Everything that the reference implementation wrote reads back as it should, and what is damaged is refused.
#include <catch2/catch.hpp>
#include <fstream>
#include <iterator>

#include "base/digest.hpp"
#include "base/json/fields.hpp"
#include "layers/image_config.hpp"
#include "layers/local_blob.hpp"
#include "layers/opened_layer.hpp"
#include "tests/golden/golden_case.hpp"
#include "tests/support/await.hpp"

namespace obd::test {
namespace {

result<std::shared_ptr<layers::image>> open_config(const std::filesystem::path& config, layer_services& services) {
    TRY(auto parsed, layers::load_image_config(config));
    return await(layers::open_image(std::move(parsed), services.get()));
}

result<std::shared_ptr<layers::image>> open_single(const std::filesystem::path& file, layer_services& services) {
    layers::image_config config;
    config.lowers.push_back({.file = file.string()});
    return await(layers::open_image(std::move(config), services.get()));
}

std::string text_of(const std::filesystem::path& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

/// Stands for a registry: blobs are files named by their digest.
class folder_provider final : public blob_provider {
public:
    folder_provider(std::filesystem::path dir, worker_pool& workers) : dir_(std::move(dir)), workers_(workers) {}
    asio::awaitable<result<std::shared_ptr<blob_source>>> open(remote_blob blob) override {
        CO_TRY(auto file, layers::local_blob::open(dir_ / blob.digest, workers_));
        co_return file;
    }

private:
    std::filesystem::path dir_;
    worker_pool& workers_;
};

}  // namespace

TEST_CASE("read-only images of the reference read back exactly", "[golden]") {
    if (!golden_dir()) return;
    const std::string name =
        GENERATE("01_raw", "02_lz4_4k", "03_lz4_4k_tar", "04_zstd_4k", "05_lz4_16k_tar", "06_raw_tar", "07_lz4_mt",
                 "08_lz4_noverify", "09_zfile_tool", "11_empty", "12_longruns", "20_stack3_raw", "21_stack5_mixed",
                 "22_vsize_change", "23_manyseg", "40_sealed_append", "41_merge", "70_ext4_apply", "81_turbooci_tar",
                 "90_trace_accel");
    INFO(name);
    golden_case golden(name);
    layer_services services;
    const auto image = open_config(golden.path("config.v1.json"), services);
    if (!image) FAIL(image.error().message());
    check_disk(**image, golden.expected(), std::random_device{}());
    if (std::filesystem::exists(golden.path("result.txt"))) CHECK(text_of(golden.path("result.txt")) == "success");
}

TEST_CASE("the uncompressed form of a merged layer reads as the compressed one", "[golden]") {
    if (!golden_dir()) return;
    golden_case golden("41_merge");
    layer_services services;
    const auto image = open_single(golden.path("merged.lsmt"), services);
    REQUIRE(image.has_value());
    check_disk(**image, golden.expected(), 41);
}

TEST_CASE("the official 64 GiB base layer, whose header holds garbage, opens", "[golden]") {
    if (!golden_dir()) return;
    golden_case golden("71_ext4_64_base");
    const std::string extract = "tar -xzf '" + golden.path("ext4_64.tar.gz").string() + "' --no-same-owner -C '" +
                                golden.path("").string() + "'";
    REQUIRE(std::system(extract.c_str()) == 0);
    layer_services services;
    const auto image = open_config(golden.path("config.v1.json"), services);
    if (!image) FAIL(image.error().message());
    check_disk(**image, golden.expected(), 71);
}

TEST_CASE("layers come from a provider by their digest", "[golden]") {
    if (!golden_dir()) return;
    golden_case golden("91_registry");
    layer_services services;
    folder_provider provider(golden.path("blobs"), services.workers);
    services.registry = &provider;
    const auto image = open_config(golden.path("config.v1.json"), services);
    if (!image) FAIL(image.error().message());
    check_disk(**image, golden.expected(), 91);
    CHECK(services.pool.size() == 5);
}

TEST_CASE("a zfile of any content reads at any byte", "[golden]") {
    if (!golden_dir()) return;
    golden_case golden("10_plain_zfile");
    const std::string file = GENERATE("plain_lz4_4k.zf", "plain_zstd_8k.tar");
    INFO(file);
    layer_services services;
    auto blob = layers::local_blob::open(golden.path(file), services.workers).value();
    const auto unwrapped = await(layers::unwrap(blob, services.workers)).value();
    REQUIRE(unwrapped.content->size().value == 410834);
    std::vector<std::byte> whole(410834);
    REQUIRE(await(unwrapped.content->read({0}, whole)).has_value());
    CHECK(sha256_digest(whole) == "sha256:e1f8028ba2bb185275bfa97206acb27821872001994122b343c4fe7b0bc680f4");
    for (const auto& probe : golden.expected().probes) {
        std::vector<std::byte> bytes(probe.length);
        REQUIRE(await(unwrapped.content->read({probe.offset}, bytes)).has_value());
        CHECK(sha256_digest(bytes) == "sha256:" + probe.sha256);
    }
}

TEST_CASE("damaged layers are refused or fail to read, and give no wrong data", "[golden]") {
    if (!golden_dir()) return;
    golden_case golden("98_negative");
    const auto document = json::parse_file(golden.path("expect.json")).value();
    const json::object root(document, "expect.json");
    const std::string good = root.string("ok_sha256", "").value();
    const auto cases_object = root.child("cases").value();
    const auto cases = cases_object.members();
    REQUIRE(cases.size() > 30);
    for (const auto& [name, value] : cases) {
        INFO(name);
        const std::string expect = json::object(*value, name).string("expect", "").value();
        layer_services services;
        const auto image = open_single(golden.path(name), services);
        INFO((image ? std::string("opened") : image.error().message()));
        if (expect == "open_error") {
            REQUIRE(!image.has_value());
            // The message names the layer.
            CHECK(image.error().message().find(name) != std::string::npos);
            continue;
        }
        if (expect == "any" && !image) continue;
        REQUIRE(image.has_value());
        const auto whole = read_all(**image);
        if (expect == "ok") {
            REQUIRE(whole.has_value());
            CHECK(sha256_digest(*whole) == "sha256:" + good);
        } else if (expect == "read_error") {
            REQUIRE(!whole.has_value());
            CHECK(whole.error().is(errc::corrupt));
        } else {
            CHECK(expect == "any");
        }
    }
}

}  // namespace obd::test

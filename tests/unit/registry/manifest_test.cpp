#include "registry/manifest.hpp"

#include <catch2/catch.hpp>

#include "base/limits.hpp"

using namespace obd;
using namespace obd::registry;

namespace {

const std::string hex_a = "sha256:" + std::string(64, 'a');
const std::string hex_b = "sha256:" + std::string(64, 'b');
const std::string hex_c = "sha256:" + std::string(64, 'c');

std::string layer(const std::string& digest, const std::string& annotations) {
    return R"({"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": ")" + digest +
           R"(", "size": 10, "annotations": {)" + annotations + "}}";
}
std::string overlaybd(const std::string& digest, const std::string& more = "") {
    return layer(digest, R"("containerd.io/snapshot/overlaybd/blob-digest": ")" + digest +
                             R"(", "containerd.io/snapshot/overlaybd/blob-size": "10")" + more);
}
std::string image(const std::string& layers) {
    return R"({"schemaVersion": 2, "config": {"digest": ")" + hex_c + R"(", "size": 3}, "layers": [)" + layers + "]}";
}
std::string entry(const std::string& digest, const std::string& os, const std::string& arch,
                  const std::string& more = "") {
    return R"({"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": ")" + digest +
           R"(", "size": 5, "platform": {"os": ")" + os + R"(", "architecture": ")" + arch + R"(")" + more + "}}";
}
std::string index(const std::string& entries) {
    return R"({"schemaVersion": 2, "manifests": [)" + entries + "]}";
}

std::string layers_error(const std::string& layers) {
    const auto parsed = parse_manifest(image(layers), "", "m").value();
    const auto got = overlaybd_layers_of(std::get<image_manifest>(parsed), "m");
    return got ? "" : got.error().message();
}

}  // namespace

TEST_CASE("an overlaybd image's layers, in order, with their annotations") {
    const auto text =
        image(overlaybd(hex_a, R"(, "containerd.io/snapshot/overlaybd/fs-type": "ext4")") + "," + overlaybd(hex_b));
    const auto type = GENERATE(as<std::string>{}, std::string(media::oci_manifest), std::string(media::docker_manifest),
                               "", "application/vnd.oci.image.manifest.v1+json; charset=utf-8");
    const auto parsed = parse_manifest(text, type, "m");
    REQUIRE(parsed.has_value());
    const auto got = overlaybd_layers_of(std::get<image_manifest>(*parsed), "m");
    REQUIRE(got.has_value());
    REQUIRE(got->layers.size() == 2);
    CHECK(got->layers[0].digest == hex_a);
    CHECK(got->layers[0].size.value == 10);
    CHECK(got->layers[1].digest == hex_b);
    CHECK(got->file_system == "ext4");
    CHECK_FALSE(got->acceleration);
    CHECK(std::get<image_manifest>(*parsed).config.digest == hex_c);
}

TEST_CASE("the acceleration layer is no part of the disk") {
    const auto text = image(overlaybd(hex_a) + "," +
                            overlaybd(hex_b, R"(, "containerd.io/snapshot/overlaybd/acceleration-layer": "yes")"));
    const auto got = overlaybd_layers_of(std::get<image_manifest>(parse_manifest(text, "", "m").value()), "m");
    REQUIRE(got.has_value());
    CHECK(got->layers.size() == 1);
    REQUIRE(got->acceleration);
    CHECK(got->acceleration->digest == hex_b);
}

TEST_CASE("layers that are not overlaybd's are refused with what to do") {
    CHECK(layers_error(layer(hex_a, "")).find("convert the image first") != std::string::npos);
    CHECK(layers_error(overlaybd(hex_a) + "," + layer(hex_b, "")).find("layer 1 (" + hex_b) != std::string::npos);
    CHECK(layers_error("").find("no layers") != std::string::npos);
    CHECK(layers_error(overlaybd(hex_a, R"(, "containerd.io/snapshot/overlaybd/turbo-oci/target-digest": "x")"))
              .find("TurboOCI") != std::string::npos);
    CHECK(layers_error(layer(hex_a, R"("containerd.io/snapshot/overlaybd/blob-digest": "x")")).find("no digest") !=
          std::string::npos);
    CHECK(layers_error(overlaybd(hex_a, R"(, "containerd.io/snapshot/overlaybd/acceleration-layer": "yes")"))
              .find("no layers but") != std::string::npos);
}

TEST_CASE("documents that are not what they should be") {
    const auto [text, type, code] = GENERATE_COPY(table<std::string, std::string, errc>({
        {"{", "", errc::corrupt},
        {"[]", "", errc::corrupt},
        {R"({"schemaVersion": 2})", "", errc::corrupt},
        {R"({"schemaVersion": 1, "fsLayers": []})", "", errc::unsupported},
        {image(""), "application/vnd.docker.distribution.manifest.v1+prettyjws", errc::unsupported},
        {image(""), std::string(media::oci_index), errc::corrupt},
        {index(""), std::string(media::oci_manifest), errc::corrupt},
        {image(""), "text/html", errc::unsupported},
        {R"({"schemaVersion": 2, "layers": [], "manifests": []})", "", errc::corrupt},
        {R"({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "layers": []})", "",
         errc::corrupt},
        {R"({"schemaVersion": 2, "config": {"digest": "md5:1", "size": 1}, "layers": []})", "", errc::unsupported},
        {R"({"schemaVersion": 2, "config": {"digest": ")" + hex_a + R"("}, "layers": []})", "", errc::corrupt},
        {std::string(limits::manifest_bytes + 1, ' '), "", errc::limit_exceeded},
    }));
    INFO(text.substr(0, 100) << " as " << type);
    const auto got = parse_manifest(text, type, "m");
    REQUIRE_FALSE(got.has_value());
    INFO(got.error().message());
    CHECK(got.error().is(code));
}

TEST_CASE("the right platform is chosen, attestations are not") {
    const auto text = index(entry(hex_a, "linux", "arm64", R"(, "variant": "v8")") + "," +
                            entry(hex_b, "linux", "amd64") + "," + entry(hex_c, "unknown", "unknown"));
    const auto parsed = parse_manifest(text, std::string(media::oci_index), "m").value();
    const auto& listed = std::get<image_index>(parsed);
    CHECK(listed.entries.size() == 2);
    const auto [wanted, digest] = GENERATE(table<std::string, std::string>({
        {"linux/amd64", hex_b},
        {"linux/arm64", hex_a},
        {"linux/arm64/v8", hex_a},
        {"linux/arm64/v7", ""},
        {"windows/amd64", ""},
    }));
    INFO(wanted);
    const auto got = choose_platform(listed, parse_platform(wanted).value(), "m");
    if (!digest.empty()) {
        REQUIRE(got.has_value());
        CHECK(got->digest == digest);
        return;
    }
    REQUIRE_FALSE(got.has_value());
    CHECK(got.error().is(errc::not_found));
    CHECK(got.error().context.find("there is linux/arm64/v8, linux/amd64") != std::string::npos);
}

TEST_CASE("platforms have two or three parts") {
    CHECK(parse_platform("linux/arm/v7")->text() == "linux/arm/v7");
    CHECK(this_machine().os == "linux");
    const auto bad = GENERATE(as<std::string>{}, "", "linux", "linux/", "/amd64", "a/b/c/d");
    CHECK_FALSE(parse_platform(bad).has_value());
}

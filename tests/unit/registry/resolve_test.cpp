// From references to layers.
#include <catch2/catch.hpp>

#include "base/digest.hpp"
#include "base/limits.hpp"
#include "registry/manifest.hpp"
#include "tests/support/client_rig.hpp"
#include "tests/support/fake_registry.hpp"

using namespace obd;
using namespace obd::test;

namespace {

const std::string some_digest = "sha256:" + std::string(64, 'a');

std::string image(const std::string& annotations) {
    return R"({"schemaVersion": 2, "config": {"digest": ")" + some_digest +
           R"(", "size": 3}, "layers": [{"digest": ")" + some_digest + R"(", "size": 7, "annotations": {)" +
           annotations + "}}]}";
}
const std::string overlaybd = R"("containerd.io/snapshot/overlaybd/blob-digest": ")" + some_digest +
                              R"(", "containerd.io/snapshot/overlaybd/blob-size": "7")";

std::string index_of(const std::string& digest, const std::string& architecture) {
    return R"({"schemaVersion": 2, "manifests": [{"digest": ")" + digest +
           R"(", "size": 1, "platform": {"os": "linux", "architecture": ")" + architecture + R"("}}]})";
}

struct fixture {
    scratch_directory dir;
    fake_registry registry;
    client_rig rig{client_rig::quick_options(dir.path())};

    result<registry::resolved_image> resolve(const std::string& tag_or_digest,
                                             const std::string& platform = "linux/amd64") {
        registry::resolve_options options;
        options.platform = platform;
        return rig.resolve(registry.host() + "/team/app" + tag_or_digest, options);
    }
    std::string error_of(const std::string& tag_or_digest) {
        const auto got = resolve(tag_or_digest);
        return got ? "" : got.error().message();
    }
};

bool mentions(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE_METHOD(fixture, "a tag, a digest and an index lead to the same layers") {
    const auto digest = registry.add_manifest("v1", image(overlaybd), std::string(registry::media::oci_manifest));
    registry.add_manifest("multi", index_of(digest, "amd64"), std::string(registry::media::docker_index));
    const auto form = GENERATE_COPY(as<std::string>{}, ":v1", "@" + digest, ":v1@" + digest, ":multi");
    INFO(form);
    const auto got = resolve(form);
    REQUIRE(got.has_value());
    CHECK(got->reference == registry.host() + "/team/app" + form);
    CHECK(got->repo_blob_url == registry.base() + "/v2/team/app/blobs");
    CHECK(got->manifest_digest == digest);
    CHECK(got->config_digest == some_digest);
    REQUIRE(got->layers.size() == 1);
    CHECK(got->layers[0].digest == some_digest);
    CHECK(got->layers[0].size.value == 7);
    const auto requests = registry.requests();
    CHECK(mentions(requests.back().header("accept"), std::string(registry::media::docker_manifest)));
    CHECK(requests.back().header("user-agent") == "obd-test/1");
}

TEST_CASE_METHOD(fixture, "what can't be resolved says why") {
    registry.add_manifest("plain", image(""), std::string(registry::media::oci_manifest));
    registry.add_manifest("arm", index_of(some_digest, "arm64"), std::string(registry::media::oci_index));
    registry.add_manifest("old", R"({"schemaVersion": 1})", "application/vnd.docker.distribution.manifest.v1+json");
    registry.add_manifest("huge", std::string(limits::manifest_bytes + 1, ' '),
                          std::string(registry::media::oci_manifest));
    registry.add_manifest("html", "<html>", "text/html");
    const auto [tag, reason] = GENERATE(table<std::string, std::string>({
        {":plain", "convert the image first"},
        {":arm", "no image for linux/amd64; there is linux/arm64"},
        {":old", "schema 1"},
        {":huge", "manifest longer than"},
        {":html", "corrupt"},
        {":none", "status 404 Not Found (NAME_UNKNOWN"},
        {":bad tag", "not a tag"},
    }));
    const auto got = error_of(tag);
    INFO(tag << ": " << got);
    CHECK(mentions(got, reason));
    CHECK(mentions(got, "team/app"));
}

TEST_CASE_METHOD(fixture, "manifest bytes are checked against the digest") {
    const auto digest = registry.add_manifest("v1", image(overlaybd), std::string(registry::media::oci_manifest));
    SECTION("asked for by digest") {
        registry.set_fault([](const fake_request& request, fake_reply& reply) {
            if (mentions(request.target, "/manifests/")) reply.body += " ";
        });
        CHECK(mentions(error_of("@" + digest), "the bytes have digest"));
    }
    SECTION("said by the registry") {
        registry.set_fault(
            [](const fake_request&, fake_reply& reply) { reply.set_header("Docker-Content-Digest", some_digest); });
        CHECK(mentions(error_of(":v1"), "the registry says digest"));
    }
    SECTION("wrong only once") {
        int left = 1;
        registry.set_fault([&left](const fake_request& request, fake_reply& reply) {
            if (mentions(request.target, "/manifests/") && left-- > 0) reply.body += " ";
        });
        CHECK(resolve(":v1").has_value());
    }
}

TEST_CASE_METHOD(fixture, "an index within itself ends") {
    registry.set_fault([](const fake_request& request, fake_reply& reply) {
        if (!mentions(request.target, "/manifests/")) return;
        // Every digest leads to another index: a new one each time, else the digest check ends it.
        reply = {.status = 200, .headers = {}, .body = index_of(some_digest, "amd64")};
    });
    const auto got = error_of(":loop");
    INFO(got);
    CHECK(mentions(got, "digest"));
}

TEST_CASE_METHOD(fixture, "a registry that is down is unavailable") {
    registry.stop();
    const auto got = resolve(":v1");
    REQUIRE_FALSE(got.has_value());
    CHECK(got.error().is(errc::unavailable));
}

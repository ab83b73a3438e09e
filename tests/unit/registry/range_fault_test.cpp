// Answers to range requests that are wrong, short, slow or absent.
#include <catch2/catch.hpp>

#include "tests/support/client_rig.hpp"
#include "tests/support/fake_registry.hpp"

using namespace obd;
using namespace obd::test;

namespace {

struct fixture {
    scratch_directory dir;
    fake_registry registry;
    std::string bytes = random_bytes(100'000, 2);
    std::string digest = registry.add_blob(bytes);
    std::string blobs = registry.base() + "/v2/team/app/blobs";

    std::string read(std::uint64_t offset, std::size_t count, registry::client_options options) const {
        client_rig rig(std::move(options));
        const auto source = rig.open(blobs, digest, bytes.size());
        if (!source) return "failed: " + source.error().message();
        return client_rig::read(**source, offset, count);
    }
    std::string read(std::uint64_t offset, std::size_t count) const {
        return read(offset, count, client_rig::quick_options(dir.path()));
    }
};

bool mentions(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

using mutation = void (*)(fake_reply&);

struct fault_row {
    const char* name;
    mutation change;
    const char* message;   ///< of the failure when the fault stays
    std::size_t requests;  ///< when the fault stays: 1 for what is permanent, else all tries
    bool recovers;         ///< a single occurrence is got over
};

const fault_row faults[] = {
    {"200 for a range",
     [](fake_reply& r) {
         r.status = 200;
         r.body.assign(100'000, 'x');
     },
     "the server ignores Range", 1, false},
    {"200 with exactly the range's bytes", [](fake_reply& r) { r.status = 200; }, "the server ignores Range", 1, false},
    {"no Content-Range", [](fake_reply& r) { r.set_header("Content-Range", ""); }, "asked for bytes", 4, true},
    {"another range", [](fake_reply& r) { r.set_header("Content-Range", "bytes 0-16383/100000"); },
     "asked for bytes 32768-49151", 4, true},
    {"another size", [](fake_reply& r) { r.set_header("Content-Range", "bytes 32768-49151/100001"); },
     "100001 bytes, expected 100000", 4, true},
    {"fewer bytes than said", [](fake_reply& r) { r.body.resize(100); }, "only 100 bytes of 16384", 4, true},
    {"more bytes than said", [](fake_reply& r) { r.body += "more"; }, "more than 16384 bytes", 4, true},
    {"the connection ends early", [](fake_reply& r) { r.end = fake_reply::ending::short_body; }, "unavailable", 4,
     true},
    {"a reset", [](fake_reply& r) { r.end = fake_reply::ending::reset; }, "unavailable", 4, true},
    {"compressed", [](fake_reply& r) { r.set_header("Content-Encoding", "gzip"); }, "content encoding", 1, false},
    {"500", [](fake_reply& r) { r = {.status = 500, .headers = {}, .body = "oops"}; }, "status 500", 4, true},
    {"503", [](fake_reply& r) { r = {.status = 503, .headers = {}, .body = ""}; }, "status 503 Service Unavailable", 4,
     true},
    {"429 with Retry-After",
     [](fake_reply& r) {
         r = {.status = 429, .headers = {{"Retry-After", "0"}}, .body = ""};
     },
     "status 429", 4, true},
    {"429 with a Retry-After past the deadline",
     [](fake_reply& r) {
         r = {.status = 429, .headers = {{"Retry-After", "3000"}}, .body = ""};
     },
     "gave up after 1 try", 1, false},
    {"404",
     [](fake_reply& r) {
         r = {.status = 404, .headers = {}, .body = R"({"errors":[{"code":"BLOB_UNKNOWN","message":"gone"}]})"};
     },
     "status 404 Not Found (BLOB_UNKNOWN: gone): not found", 1, false},
    {"403", [](fake_reply& r) { r = {.status = 403, .headers = {}, .body = ""}; }, "permission denied", 1, false},
};

}  // namespace

TEST_CASE_METHOD(fixture, "a fault that stays ends in an error that says what and where") {
    const auto& row = GENERATE(from_range(std::begin(faults), std::end(faults)));
    INFO(row.name);
    registry.set_fault([&row](const fake_request& request, fake_reply& reply) {
        if (mentions(request.target, "/blobs/")) row.change(reply);
    });
    const auto got = read(40'000, 100);
    INFO(got);
    CHECK(mentions(got, "failed: "));
    CHECK(mentions(got, row.message));
    CHECK(mentions(got, digest));
    CHECK(registry.count("GET", "/v2/team/app/blobs/") == row.requests);
}

TEST_CASE_METHOD(fixture, "a fault that happens once is got over, or is permanent") {
    const auto& row = GENERATE(from_range(std::begin(faults), std::end(faults)));
    INFO(row.name);
    int left = 1;
    registry.set_fault([&row, &left](const fake_request&, fake_reply& reply) {
        if (left-- > 0) row.change(reply);
    });
    const auto got = read(40'000, 100);
    INFO(got.substr(0, 300));
    CHECK((got == bytes.substr(40'000, 100)) == row.recovers);
    CHECK(registry.count("GET", "/v2/team/app/blobs/") == (row.recovers ? 2 : 1));
}

TEST_CASE_METHOD(fixture, "a stalled connection is left at the try's deadline") {
    auto options = client_rig::quick_options(dir.path());
    options.operation_deadline = std::chrono::milliseconds(1'000);
    int left = 1;
    registry.set_fault([&left](const fake_request&, fake_reply& reply) {
        if (left-- > 0) reply.end = fake_reply::ending::stall;
    });
    CHECK(read(40'000, 100, options) == bytes.substr(40'000, 100));
}

TEST_CASE_METHOD(fixture, "a registry that stalls for ever ends in timed out") {
    auto options = client_rig::quick_options(dir.path());
    options.operation_deadline = std::chrono::milliseconds(300);
    registry.set_fault([](const fake_request&, fake_reply& reply) { reply.end = fake_reply::ending::stall; });
    CHECK(mentions(read(40'000, 100, options), "timed out"));
}

TEST_CASE_METHOD(fixture, "nobody listening is unavailable") {
    registry.stop();
    CHECK(mentions(read(0, 100), "unavailable"));
}

TEST_CASE_METHOD(fixture, "a small blob may come whole from a server without ranges") {
    bytes = random_bytes(5'000, 3);
    digest = registry.add_blob(bytes);
    registry.set_fault([this](const fake_request&, fake_reply& reply) {
        reply.status = 200;
        reply.body = bytes;
    });
    CHECK(read(1'000, 100) == bytes.substr(1'000, 100));
}

TEST_CASE_METHOD(fixture, "a blob fetched whole is checked against its digest") {
    bytes = random_bytes(5'000, 3);
    digest = registry.add_blob(bytes);
    registry.set_fault(
        [](const fake_request&, fake_reply& reply) { reply.body[17] = static_cast<char>(reply.body[17] ^ 1); });
    const auto got = read(1'000, 100);
    CHECK(mentions(got, "corrupt"));
    CHECK(mentions(got, "bytes whose digest is sha256:"));
}

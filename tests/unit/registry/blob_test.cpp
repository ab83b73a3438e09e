// Reading blobs: any offset and length, shared fetches, read-ahead, cancellation, shutdown.
#include <catch2/catch.hpp>

#include <algorithm>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <future>

#include "tests/support/client_rig.hpp"
#include "tests/support/fake_registry.hpp"

using namespace obd;
using namespace obd::test;

namespace {

struct fixture {
    scratch_directory dir;
    fake_registry registry;
    std::string bytes = random_bytes(1'000'003, 5);
    std::string digest = registry.add_blob(bytes);
    std::string blobs = registry.base() + "/v2/team/app/blobs";
    std::string path = "/v2/team/app/blobs/" + digest;
    client_rig rig{client_rig::quick_options(dir.path())};

    std::shared_ptr<blob_source> open(std::uint64_t size) { return rig.open(blobs, digest, size).value(); }
};

bool mentions(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

mutable_bytes writable(std::string& text) {
    return std::as_writable_bytes(std::span(text.data(), text.size()));
}

}  // namespace

TEST_CASE_METHOD(fixture, "reads of any offset and length give the blob's bytes") {
    const auto source = open(GENERATE_COPY(std::uint64_t{0}, std::uint64_t{1'000'003}));
    CHECK(source->size().value == bytes.size());
    CHECK(source->name() == digest);
    const auto seed = std::random_device{}();
    INFO("seed " << seed);
    std::mt19937 random(seed);
    for (int i = 0; i < 100; ++i) {
        const auto offset = random() % bytes.size();
        const auto count = random() % std::min<std::size_t>(bytes.size() - offset, 70'000);
        INFO(offset << "+" << count);
        CHECK(client_rig::read(*source, offset, count) == bytes.substr(offset, count));
    }
    CHECK(client_rig::read(*source, 0, bytes.size()) == bytes);
    CHECK(source->fetched().value == bytes.size());  // each extent once
    std::string out(5'000, '?');
    CHECK(source->try_read({123'456}, writable(out)) == attempt::complete);
    CHECK(out == bytes.substr(123'456, 5'000));
}

TEST_CASE_METHOD(fixture, "reads past the end are out of range and ask nobody") {
    const auto source = open(bytes.size());
    const auto [offset, count] =
        GENERATE(table<std::uint64_t, std::size_t>({{1'000'003, 1}, {1'000'000, 4}, {~0ull, 1}, {~0ull - 1, 2}}));
    CHECK(mentions(client_rig::read(*source, offset, count), "out of range"));
    std::string out(count, '?');
    CHECK(source->try_read({offset}, writable(out)) == attempt::would_block);
    CHECK(registry.requests().empty());
}

TEST_CASE_METHOD(fixture, "a partial read fetches only the extents it touches, in one request") {
    const auto source = open(bytes.size());
    CHECK(client_rig::read(*source, 40'000, 30'000) == bytes.substr(40'000, 30'000));
    CHECK(registry.count("GET", path) == 1);
    CHECK(registry.requests()[0].header("range") == "bytes=32768-81919");
    CHECK(source->fetched().value == 3 * 16384);
}

TEST_CASE_METHOD(fixture, "readers of one extent share its fetch, and one that goes does not fail the other") {
    const auto source = open(bytes.size());
    std::promise<void> asked;
    std::promise<void> release;
    auto released = release.get_future().share();
    registry.set_fault([&asked, released, first = true](const fake_request&, fake_reply&) mutable {
        if (first) asked.set_value();
        first = false;
        released.wait();
    });
    asio::io_context context;
    asio::cancellation_signal leave;
    std::string gone(100, '?');
    std::string stays(100, '?');
    std::optional<result<void>> gone_result;
    std::optional<result<void>> stays_result;
    asio::co_spawn(context, source->read({50'000}, writable(gone)),
                   asio::bind_cancellation_slot(leave.slot(), [&](const std::exception_ptr& thrown, result<void> done) {
                       gone_result = thrown ? result<void>(fail(errc::cancelled, "thrown")) : std::move(done);
                       release.set_value();
                   }));
    asio::co_spawn(context, source->read({50'100}, writable(stays)),
                   [&](const std::exception_ptr&, result<void> done) { stays_result = std::move(done); });
    std::thread canceller([&] {
        asked.get_future().wait();
        asio::post(context, [&] { leave.emit(asio::cancellation_type::terminal); });
    });
    context.run();
    canceller.join();
    REQUIRE(gone_result.has_value());
    CHECK(gone_result->has_error());
    CHECK(gone_result->error().is(errc::cancelled));
    REQUIRE(stays_result.has_value());
    CHECK(stays_result->has_value());
    CHECK(stays == bytes.substr(50'100, 100));
    CHECK(registry.count("GET", path) == 1);
}

TEST_CASE_METHOD(fixture, "reading in order fetches ahead in ever bigger requests") {
    const auto source = open(bytes.size());
    constexpr std::size_t step = 4'096;
    for (std::size_t offset = 0; offset < bytes.size(); offset += step) {
        const auto count = std::min(step, bytes.size() - offset);
        std::string out(count, '?');
        if (source->try_read({offset}, writable(out)) != attempt::complete)
            out = client_rig::read(*source, offset, count);
        REQUIRE(out == bytes.substr(offset, count));
    }
    const auto extents = (bytes.size() + 16383) / 16384;
    CHECK(registry.count("GET", path) < extents / 3);
    CHECK(source->fetched().value == bytes.size());
}

TEST_CASE_METHOD(fixture, "reading here and there fetches nothing more") {
    const auto source = open(bytes.size());
    for (const std::uint64_t extent : {7u, 3u, 50u, 20u, 30u, 10u}) {
        CHECK(client_rig::read(*source, extent * 16384 + 5, 10) == bytes.substr(extent * 16384 + 5, 10));
    }
    CHECK(source->fetched().value == 6 * 16384);
}

TEST_CASE_METHOD(fixture, "a prefetched range needs no further request") {
    const auto source = open(bytes.size());
    source->prefetch({100'000}, {100'000});
    CHECK(client_rig::read(*source, 100'000, 100'000) == bytes.substr(100'000, 100'000));
    CHECK(registry.count("GET", path) == 1);
    source->prefetch({~0ull}, {~0ull});
    source->prefetch({bytes.size() - 1}, {~0ull});
    CHECK(client_rig::read(*source, bytes.size() - 1, 1) == bytes.substr(bytes.size() - 1));
}

TEST_CASE_METHOD(fixture, "what is discarded is fetched anew") {
    const auto source = open(bytes.size());
    CHECK(client_rig::read(*source, 50'000, 10) == bytes.substr(50'000, 10));
    CHECK(source->discard_cached({50'000}, {10}));
    CHECK(client_rig::read(*source, 50'000, 10) == bytes.substr(50'000, 10));
    CHECK(source->fetched().value == 2 * 16384);
}

TEST_CASE_METHOD(fixture, "sources of one digest are one, whatever repository named it") {
    const auto first = open(bytes.size());
    const auto second = rig.open(registry.base() + "/v2/other/blobs", digest, 0).value();
    CHECK(first == second);
    // The first place refuses for good: the second one is asked.
    registry.set_fault([](const fake_request& request, fake_reply& reply) {
        if (mentions(request.target, "/team/")) reply = {.status = 404, .headers = {}, .body = ""};
    });
    CHECK(client_rig::read(*first, 0, 10) == bytes.substr(0, 10));
}

TEST_CASE_METHOD(fixture, "what can't be opened is refused") {
    const auto [path_of_blobs, name, code] = GENERATE(table<std::string, std::string, errc>({
        {"/v2/team/app", "sha256:" + std::string(64, 'f'), errc::invalid_argument},
        {"/v2//blobs", "sha256:" + std::string(64, 'f'), errc::invalid_argument},
        {"/v2/team/app/blobs", "sha256:../../etc/passwd", errc::invalid_argument},
        {"/v2/team/app/blobs", "sha256:" + std::string(64, 'f'), errc::not_found},
    }));
    const auto got = rig.open(registry.base() + path_of_blobs, name);
    REQUIRE_FALSE(got.has_value());
    INFO(got.error().message());
    CHECK(got.error().is(code));
}

TEST_CASE_METHOD(fixture, "a registry that claims an absurd size is refused") {
    registry.set_fault([](const fake_request&, fake_reply& reply) {
        reply.set_header("Content-Range", "bytes 0-0/9000000000000000000");
    });
    const auto got = rig.open(blobs, digest);
    REQUIRE_FALSE(got.has_value());
    CHECK(got.error().is(errc::limit_exceeded));
}

TEST_CASE_METHOD(fixture, "shutdown ends reads under way with cancelled, and later ones") {
    const auto source = open(bytes.size());
    std::promise<void> asked;
    registry.set_fault([&asked](const fake_request&, fake_reply& reply) {
        asked.set_value();
        reply.end = fake_reply::ending::stall;
    });
    auto reading = std::async(std::launch::async, [&] { return client_rig::read(*source, 0, 10); });
    asked.get_future().wait();
    rig.shut_down();
    CHECK(mentions(reading.get(), "cancelled"));
    CHECK(mentions(client_rig::read(*source, 500'000, 10), "cancelled"));
}

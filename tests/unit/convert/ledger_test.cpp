#include <catch2/catch.hpp>

#include "tests/unit/convert/source_image.hpp"
#include "tests/unit/layers/fs/image_fixture.hpp"
#include "tools/convert/layer_ledger.hpp"

using namespace obd;
using namespace obd::convert;

namespace {
const std::string digest_a = "sha256:" + std::string(64, 'a');
const std::string digest_b = "sha256:" + std::string(64, 'b');
}  // namespace

TEST_CASE("the ledger remembers by chain, profile and place") {
    fs::test::scratch_directory work;
    const layer_ledger ledger(work / "deep/ledger.json");
    CHECK(ledger.find("c", "p", "here").value().empty());
    ledger.add({"c", "p", "there", digest_a, {10}}).value();
    ledger.add({"c", "p", "here", digest_b, {20}}).value();
    ledger.add({"other", "p", "here", digest_b, {20}}).value();
    const auto found = layer_ledger(work / "deep/ledger.json").find("c", "p", "here").value();
    REQUIRE(found.size() == 2);
    CHECK(found[0].place == "here");
    CHECK(found[0].digest == digest_b);
    CHECK(found[1].place == "there");
    CHECK(ledger.find("c", "other profile", "here").value().empty());
    ledger.add({"c", "p", "here", digest_a, {30}}).value();
    CHECK(ledger.find("c", "p", "here").value()[0].size.value == 30);
}

TEST_CASE("a ledger that is damaged is an error, entries without sense are skipped") {
    fs::test::scratch_directory work;
    const layer_ledger ledger(work / "ledger.json");
    convert::test::write_file(work / "ledger.json", "{");
    CHECK(ledger.find("c", "p", "here").has_error());
    convert::test::write_file(
        work / "ledger.json",
        R"({"layers":[{"chainID":"c","profile":"p","place":"here","digest":"sha256:zz","size":1},7]})");
    CHECK(ledger.find("c", "p", "here").value().empty());
}

TEST_CASE("no file, no memory") {
    const layer_ledger none{std::filesystem::path()};
    none.add({"c", "p", "here", digest_a, {10}}).value();
    CHECK(none.find("c", "p", "here").value().empty());
}

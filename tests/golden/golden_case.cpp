#include "tests/golden/golden_case.hpp"

#include <catch2/catch.hpp>
#include <cstdlib>
#include <random>

#include "base/digest.hpp"
#include "base/json/fields.hpp"
#include "tests/support/await.hpp"

namespace obd::test {
namespace {

constexpr std::uint64_t whole_dump_bytes = 128 << 20;
constexpr std::uint64_t hash_whole_bytes = std::uint64_t{2} << 30;

std::string hex_of(const std::string& digest) {
    return digest.substr(digest.find(':') + 1);
}

golden_expectation load_expectation(const std::filesystem::path& path) {
    const auto document = json::parse_file(path).value();
    const json::object root(document, path.string());
    golden_expectation expected;
    expected.virtual_size = static_cast<std::uint64_t>(root.integer("vsize", 0, {0, INT64_MAX}).value());
    expected.sha256 = root.string("sha256", "").value();
    for (const auto& probe : root.objects("probes").value()) {
        expected.probes.push_back({
            .offset = static_cast<std::uint64_t>(probe.integer("offset", 0, {0, INT64_MAX}).value()),
            .length = static_cast<std::size_t>(probe.integer("length", 0, {0, INT32_MAX}).value()),
            .sha256 = probe.string("sha256", "").value(),
        });
    }
    return expected;
}

std::string hash_of_disk(block_device& device) {
    constexpr std::uint64_t piece = 1 << 20;
    sha256 hash;
    std::vector<std::byte> buffer(piece);
    const std::uint64_t size = device.geometry().size.value;
    for (std::uint64_t done = 0; done < size; done += piece) {
        const auto out = mutable_bytes(buffer).first(std::min(piece, size - done));
        const auto read = read_device(device, {done}, out);
        INFO("offset " << done);
        if (!read) FAIL(read.error().message());
        hash.update(out);
    }
    return hex_of(std::move(hash).finish_digest());
}

}  // namespace

std::optional<std::filesystem::path> golden_dir() {
    const char* named = std::getenv("OBD_GOLDEN_DIR");
    const std::filesystem::path dir = named != nullptr ? named : OBD_DEFAULT_GOLDEN_DIR;
    if (std::filesystem::exists(dir / "MANIFEST.md")) return dir;
    WARN("skipped: no golden data in " << dir << " (set OBD_GOLDEN_DIR)");
    return std::nullopt;
}

golden_case::golden_case(const std::string& name) {
    const auto from = *golden_dir() / name;
    const std::string copy = "cp -r --sparse=always '" + from.string() + "/.' '" + copy_.path().string() +
                             "' && chmod -R u+w '" + copy_.path().string() + "'";
    REQUIRE(std::system(copy.c_str()) == 0);
    expected_ = load_expectation(path("expect.json"));
}

void check_disk(block_device& device, const golden_expectation& expected, std::uint64_t seed) {
    REQUIRE(device.geometry().size.value == expected.virtual_size);
    for (const auto& probe : expected.probes) {
        std::vector<std::byte> bytes(probe.length);
        const auto read = read_device(device, {probe.offset}, bytes);
        INFO("probe at " << probe.offset << " of " << probe.length);
        REQUIRE(read.has_value());
        REQUIRE(hex_of(sha256_digest(bytes)) == probe.sha256);
    }
    if (!expected.sha256.empty() && expected.virtual_size <= hash_whole_bytes) {
        REQUIRE(hash_of_disk(device) == expected.sha256);
    }
    if (expected.virtual_size > whole_dump_bytes) return;

    const auto whole = read_all(device).value();
    std::mt19937_64 random(seed);
    INFO("seed " << seed);
    std::vector<std::byte> buffer;
    const std::uint64_t sectors = whole.size() / sector_bytes;
    for (int i = 0; i < 300; ++i) {
        const std::uint64_t longest = i % 10 == 0 ? 4096 : 64;  // sectors
        const std::uint64_t start = random() % sectors;
        const std::uint64_t count = std::min(1 + random() % longest, sectors - start);
        const byte_offset offset{start * sector_bytes};
        buffer.assign(count * sector_bytes, std::byte{0xa5});
        // Every other one by the awaitable form alone, which must give the same.
        const auto read = i % 2 == 0 ? read_device(device, offset, buffer) : await(device.read(offset, buffer));
        REQUIRE(read.has_value());
        const auto wanted = const_bytes(whole).subspan(offset.value, buffer.size());
        INFO("offset " << offset.value << " length " << buffer.size());
        REQUIRE(first_difference(wanted, buffer).empty());
    }
}

}  // namespace obd::test

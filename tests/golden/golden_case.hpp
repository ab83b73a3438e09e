// One case of the golden data: layer files that the reference implementation made, and what must be seen in them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "tests/support/layer_fixtures.hpp"

namespace obd::test {

/// The folder with the golden data: OBD_GOLDEN_DIR, else ../shared/golden beside the source tree; nothing when absent.
std::optional<std::filesystem::path> golden_dir();

struct golden_probe {
    std::uint64_t offset;
    std::size_t length;
    std::string sha256;
};

struct golden_expectation {
    std::uint64_t virtual_size = 0;
    std::string sha256;  ///< of the whole disk; empty: probes only
    std::vector<golden_probe> probes;
};

/// A private copy of a case, since opening may write to it. Sparse files stay (or become) sparse.
class golden_case {
public:
    explicit golden_case(const std::string& name);
    std::filesystem::path path(const std::string& file) const { return copy_.path() / file; }
    const golden_expectation& expected() const { return expected_; }

private:
    scratch_directory copy_;
    golden_expectation expected_;
};

/// Every probe, the whole disk's sha256, and reads at random offsets and lengths against the whole (up to 128 MiB).
void check_disk(block_device& device, const golden_expectation& expected, std::uint64_t seed);

}  // namespace obd::test

// What kill_writer tells of its work, on its standard output, so that whoever kills it knows what was promised.
#pragma once

#include <cstdint>

namespace obd::test {

struct kill_note {
    enum class kind : std::uint64_t { begun, acknowledged, flushed };
    kind what;
    std::uint64_t start;  ///< sectors
    std::uint64_t count;
    std::uint64_t value;  ///< stamp; 0: discarded
};
static_assert(sizeof(kill_note) == 32);

inline constexpr std::uint64_t kill_disk_sectors = 4096;

}  // namespace obd::test

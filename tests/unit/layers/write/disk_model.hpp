// What a disk must hold: for every sector the value that is certain, and those that a crash may leave instead.
#pragma once

#include <cstdint>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "base/units.hpp"

namespace obd::test {

/// Sectors are filled with a stamp: 0 is all zeros.
using stamp = std::uint64_t;

void fill(mutable_bytes sector_content, stamp with);
/// The stamp of a sector; nothing when it is a mixture.
std::optional<stamp> stamp_of(const_bytes sector_content);

class disk_model {
public:
    explicit disk_model(std::uint64_t sectors) : now_(sectors), possible_(sectors) {}

    std::uint64_t sectors() const { return now_.size(); }
    /// Certain, as if it had been flushed.
    void set(std::uint64_t at, stamp value);
    /// An acknowledged write.
    void write(std::uint64_t at, std::uint64_t count, stamp value);
    /// A write that was begun and not acknowledged.
    void attempt_write(std::uint64_t at, std::uint64_t count, stamp value);
    void flushed();
    void grow(std::uint64_t sectors);

    stamp now(std::uint64_t at) const { return now_[at]; }
    /// "" when `disk` is exactly what was acknowledged, but for writes that were only begun.
    std::string differs(const_bytes disk) const;
    /// "" when `disk` is what a power failure may leave: each sector the flushed value or a later one.
    std::string impossible(const_bytes disk) const;
    /// What is on the disk is certain from now on.
    void adopt(const_bytes disk);

private:
    std::vector<stamp> now_;
    std::vector<std::set<stamp>> possible_;  ///< besides now_
    std::vector<std::set<stamp>> begun_ = std::vector<std::set<stamp>>(now_.size());
};

}  // namespace obd::test

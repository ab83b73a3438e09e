#include "tests/unit/layers/write/disk_model.hpp"

#include <algorithm>
#include <optional>

namespace obd::test {

void fill(mutable_bytes sector_content, stamp with) {
    for (std::size_t at = 0; at < sector_content.size(); at += sizeof(stamp)) {
        store(sector_content, with == 0 ? 0 : with + at % sector_bytes, at);
    }
}

std::optional<stamp> stamp_of(const_bytes sector_content) {
    const auto first = load<stamp>(sector_content);
    std::vector<std::byte> expected(sector_bytes);
    fill(expected, first);
    if (!std::equal(expected.begin(), expected.end(), sector_content.begin())) return std::nullopt;
    return first;
}

void disk_model::set(std::uint64_t at, stamp value) {
    now_[at] = value;
    possible_[at].clear();
    begun_[at].clear();
}

void disk_model::write(std::uint64_t at, std::uint64_t count, stamp value) {
    for (auto i = at; i < at + count; ++i) {
        possible_[i].insert(now_[i]);
        possible_[i].insert(begun_[i].begin(), begun_[i].end());
        now_[i] = value;
        begun_[i].clear();
    }
}

void disk_model::attempt_write(std::uint64_t at, std::uint64_t count, stamp value) {
    for (auto i = at; i < at + count; ++i) begun_[i].insert(value);
}

void disk_model::flushed() {
    for (auto& values : possible_) values.clear();
}

void disk_model::grow(std::uint64_t sectors) {
    now_.resize(sectors);
    possible_.resize(sectors);
    begun_.resize(sectors);
}

namespace {

std::string describe(std::uint64_t at, std::optional<stamp> found, stamp expected) {
    return "sector " + std::to_string(at) + " holds " + (found ? std::to_string(*found) : "a mixture") + ", expected " +
           std::to_string(expected);
}

}  // namespace

std::string disk_model::differs(const_bytes disk) const {
    for (std::uint64_t i = 0; i < sectors(); ++i) {
        const auto found = stamp_of(disk.subspan(i * sector_bytes, sector_bytes));
        if (!found || (*found != now_[i] && begun_[i].count(*found) == 0)) return describe(i, found, now_[i]);
    }
    return "";
}

std::string disk_model::impossible(const_bytes disk) const {
    for (std::uint64_t i = 0; i < sectors(); ++i) {
        const auto found = stamp_of(disk.subspan(i * sector_bytes, sector_bytes));
        const bool good =
            found && (*found == now_[i] || begun_[i].count(*found) != 0 || possible_[i].count(*found) != 0);
        if (!good) return describe(i, found, now_[i]);
    }
    return "";
}

void disk_model::adopt(const_bytes disk) {
    for (std::uint64_t i = 0; i < sectors(); ++i) set(i, *stamp_of(disk.subspan(i * sector_bytes, sector_bytes)));
}

}  // namespace obd::test

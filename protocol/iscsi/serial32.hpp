// Sequence numbers that wrap: RFC 1982 with 32 bits, as RFC 7143 §4.2.2 asks for CmdSN, StatSN and DataSN.
#pragma once

#include <cstdint>

namespace obd::iscsi {

struct serial32 {
    std::uint32_t value = 0;

    friend constexpr bool operator==(serial32 a, serial32 b) { return a.value == b.value; }
    /// Serial order: `a` lies in the 2^31 - 1 numbers before `b`.
    friend constexpr bool before(serial32 a, serial32 b) { return a != b && b.value - a.value < 0x80000000u; }
    friend constexpr serial32 operator+(serial32 a, std::uint32_t n) { return {a.value + n}; }
    friend constexpr std::uint32_t operator-(serial32 a, serial32 b) { return a.value - b.value; }
    constexpr serial32& operator++() {
        ++value;
        return *this;
    }
};

}  // namespace obd::iscsi

#include "base/crc32c.hpp"

#include <array>
#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace obd {
namespace {

constexpr std::uint32_t polynomial = 0x82f63b78;  // reflected

constexpr std::array<std::uint32_t, 256> make_table() {
    std::array<std::uint32_t, 256> table{};
    for (std::uint32_t i = 0; i < 256; ++i) {
        std::uint32_t value = i;
        for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? polynomial : 0);
        table[i] = value;
    }
    return table;
}

constexpr auto table = make_table();

using crc_function = std::uint32_t (*)(const_bytes, std::uint32_t) noexcept;

#if defined(__x86_64__)

// The crc32 instruction has a latency of three cycles and a throughput of one: three independent streams hide the
// latency. Their registers are joined by multiplying with x^(8*stripe) modulo the polynomial, done by table.
constexpr std::size_t stripe_bytes = 1024;

/// value · x^(8·bytes) in the CRC's ring: what `bytes` zero bytes do to the register.
constexpr std::uint32_t shift_by_zeros(std::uint32_t value, std::size_t bytes) {
    for (std::size_t i = 0; i < bytes; ++i) value = (value >> 8) ^ table[value & 0xff];
    return value;
}

struct shift_table {
    std::array<std::array<std::uint32_t, 256>, 4> by_byte{};
    std::uint32_t apply(std::uint32_t value) const {
        return by_byte[0][value & 0xff] ^ by_byte[1][(value >> 8) & 0xff] ^ by_byte[2][(value >> 16) & 0xff] ^
               by_byte[3][value >> 24];
    }
};

shift_table make_shift(std::size_t bytes) {
    std::array<std::uint32_t, 32> of_bit{};
    for (unsigned bit = 0; bit < 32; ++bit) of_bit[bit] = shift_by_zeros(1u << bit, bytes);
    shift_table shift;
    for (unsigned position = 0; position < 4; ++position) {
        for (unsigned value = 0; value < 256; ++value) {
            std::uint32_t sum = 0;
            for (unsigned bit = 0; bit < 8; ++bit) {
                if ((value >> bit & 1) != 0) sum ^= of_bit[position * 8 + bit];
            }
            shift.by_byte[position][value] = sum;
        }
    }
    return shift;
}

std::uint64_t word_at(const std::byte* at) {
    std::uint64_t word;
    std::memcpy(&word, at, sizeof word);
    return word;
}

__attribute__((target("sse4.2"))) std::uint32_t crc32c_hardware(const_bytes bytes, std::uint32_t seed) noexcept {
    static const shift_table one_stripe = make_shift(stripe_bytes);
    static const shift_table two_stripes = make_shift(2 * stripe_bytes);
    const std::byte* at = bytes.data();
    std::size_t left = bytes.size();
    std::uint64_t crc = seed;
    while (left >= 3 * stripe_bytes) {
        std::uint64_t second = 0;
        std::uint64_t third = 0;
        for (std::size_t i = 0; i < stripe_bytes; i += 8) {
            crc = _mm_crc32_u64(crc, word_at(at + i));
            second = _mm_crc32_u64(second, word_at(at + stripe_bytes + i));
            third = _mm_crc32_u64(third, word_at(at + 2 * stripe_bytes + i));
        }
        crc = two_stripes.apply(static_cast<std::uint32_t>(crc)) ^
              one_stripe.apply(static_cast<std::uint32_t>(second)) ^ static_cast<std::uint32_t>(third);
        at += 3 * stripe_bytes;
        left -= 3 * stripe_bytes;
    }
    for (; left >= 8; at += 8, left -= 8) crc = _mm_crc32_u64(crc, word_at(at));
    auto narrow = static_cast<std::uint32_t>(crc);
    for (; left > 0; ++at, --left) narrow = _mm_crc32_u8(narrow, std::to_integer<std::uint8_t>(*at));
    return narrow;
}

crc_function choose() {
    return __builtin_cpu_supports("sse4.2") != 0 ? crc32c_hardware : crc32c_raw_portable;
}

#else

crc_function choose() {
    return crc32c_raw_portable;
}

#endif

}  // namespace

std::uint32_t crc32c_raw_portable(const_bytes bytes, std::uint32_t seed) noexcept {
    std::uint32_t value = seed;
    for (const auto byte : bytes) value = (value >> 8) ^ table[(value ^ std::to_integer<std::uint32_t>(byte)) & 0xff];
    return value;
}

std::uint32_t crc32c_raw(const_bytes bytes, std::uint32_t seed) noexcept {
    static const crc_function chosen = choose();
    return chosen(bytes, seed);
}

}  // namespace obd

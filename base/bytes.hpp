// Bounded reading and writing of byte sequences whose layout is not a fixed struct, and the one place that may view an
// object as bytes. Fixed layouts are structs of boost::endian integers, copied in and out with load() and store().
#pragma once

#include <boost/endian/conversion.hpp>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace obd {

using const_bytes = std::span<const std::byte>;
using mutable_bytes = std::span<std::byte>;

inline const_bytes as_bytes(std::string_view text) {
    return std::as_bytes(std::span(text.data(), text.size()));
}
inline std::string_view as_text(const_bytes bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// A fixed layout out of `from` at `offset`. REQUIRES: offset + sizeof(Wire) <= from.size().
template <typename Wire>
requires std::is_trivially_copyable_v<Wire> Wire load(const_bytes from, std::size_t offset = 0) {
    Wire wire;
    std::memcpy(&wire, from.data() + offset, sizeof(Wire));
    return wire;
}

/// REQUIRES: offset + sizeof(Wire) <= to.size().
template <typename Wire>
requires std::is_trivially_copyable_v<Wire>
void store(mutable_bytes to, const Wire& wire, std::size_t offset = 0) {
    std::memcpy(to.data() + offset, &wire, sizeof(Wire));
}

template <typename Wire>
requires std::is_trivially_copyable_v<Wire> const_bytes bytes_of(const Wire& wire) {
    return std::as_bytes(std::span(&wire, 1));
}

/// Every byte is 0 (so is an empty sequence). Compares the sequence with itself shifted by one byte: at memcmp's speed.
inline bool is_zero(const_bytes bytes) {
    return bytes.empty() ||
           (bytes.front() == std::byte{0} && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

/// Takes integers and slices off the front of a sequence. A read past the end yields nothing and makes `ok()` false for
/// good, so a parser may read several fields and check once.
class byte_reader {
public:
    explicit byte_reader(const_bytes bytes) : rest_(bytes) {}

    template <typename Integer>
    Integer big() {
        return boost::endian::big_to_native(raw<Integer>());
    }
    template <typename Integer>
    Integer little() {
        return boost::endian::little_to_native(raw<Integer>());
    }
    /// The next `count` bytes, or an empty span (and ok() false) when there are fewer.
    const_bytes take(std::size_t count) {
        if (count > rest_.size()) {
            ok_ = false;
            rest_ = {};
            return {};
        }
        const auto front = rest_.first(count);
        rest_ = rest_.subspan(count);
        return front;
    }
    void skip(std::size_t count) { take(count); }
    std::size_t remaining() const { return rest_.size(); }
    bool ok() const { return ok_; }

private:
    template <typename Integer>
    Integer raw() {
        const auto bytes = take(sizeof(Integer));
        Integer value{};
        if (bytes.size() == sizeof(Integer)) std::memcpy(&value, bytes.data(), sizeof(Integer));
        return value;
    }

    const_bytes rest_;
    bool ok_ = true;
};

/// Appends integers and slices to a vector that it owns.
class byte_writer {
public:
    template <typename Integer>
    byte_writer& big(Integer value) {
        return put(bytes_of(boost::endian::native_to_big(value)));
    }
    template <typename Integer>
    byte_writer& little(Integer value) {
        return put(bytes_of(boost::endian::native_to_little(value)));
    }
    byte_writer& put(const_bytes bytes) {
        bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
        return *this;
    }
    byte_writer& zeros(std::size_t count) {
        bytes_.resize(bytes_.size() + count);
        return *this;
    }
    std::size_t size() const { return bytes_.size(); }
    /// For length fields that are known only later. REQUIRES: the range was written before.
    mutable_bytes written() { return bytes_; }
    std::vector<std::byte> finish() && { return std::move(bytes_); }

private:
    std::vector<std::byte> bytes_;
};

std::string to_hex(const_bytes bytes);
/// Nothing when the length is odd or a character is no hex digit.
std::optional<std::vector<std::byte>> from_hex(std::string_view text);

}  // namespace obd

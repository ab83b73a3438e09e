#include "tools/image/tar_meta.hpp"

#include <algorithm>
#include <array>
#include <boost/endian/conversion.hpp>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

namespace obd::tools {
namespace {

constexpr std::size_t block_bytes = 512;
constexpr std::size_t size_at = 124, size_bytes = 12, type_at = 156;
constexpr std::size_t checksum_at = 148, checksum_bytes = 8, place_at = 329;
constexpr std::uint64_t most_extension_bytes = 1 << 20;  // pax records and long names

using header_block = std::array<std::byte, block_bytes>;

failure broken(const std::string& what) {
    return fail(errc::corrupt, "tar: " + what);
}

char type_of(const header_block& header) {
    return static_cast<char>(header[type_at]);
}
bool is_file(char type) {
    return type == '0' || type == '\0' || type == '7';
}
bool is_extension(char type) {
    return type == 'x' || type == 'g' || type == 'L' || type == 'K';
}

/// POSIX.1-2017 pax "ustar Interchange Format"; GNU's binary form where octal digits do not suffice.
result<std::uint64_t> number_in(const header_block& header, std::size_t at, std::size_t bytes) {
    const auto field = const_bytes(header).subspan(at, bytes);
    if ((field.front() & std::byte{0x80}) != std::byte{0}) {
        std::uint64_t value = std::to_integer<std::uint64_t>(field.front() & std::byte{0x7f});
        for (const auto byte : field.subspan(1)) {
            if (value >> 55 != 0) return broken("a number that is too large");
            value = value << 8 | std::to_integer<std::uint64_t>(byte);
        }
        return value;
    }
    std::string_view text(reinterpret_cast<const char*>(field.data()), field.size());
    text = text.substr(0, text.find('\0'));
    const auto begin = text.find_first_not_of(' ');
    if (begin == text.npos) return std::uint64_t{0};
    text = text.substr(begin, text.find(' ', begin) - begin);
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 8);
    if (error != std::errc() || end != text.data() + text.size()) return broken("a field that is no number");
    return value;
}

std::uint64_t sum_of(const header_block& header) {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < block_bytes; ++i) {
        const bool own = i >= checksum_at && i < checksum_at + checksum_bytes;
        sum += own ? ' ' : std::to_integer<std::uint64_t>(header[i]);
    }
    return sum;
}

void set_checksum(header_block& header) {
    std::array<char, checksum_bytes> text{};
    std::snprintf(text.data(), text.size(), "%06o", static_cast<unsigned>(sum_of(header)));
    text[checksum_bytes - 1] = ' ';
    std::memcpy(header.data() + checksum_at, text.data(), text.size());
}

/// The whole of `out`, or false at the end of the stream.
result<bool> read_whole(fs::byte_stream& from, mutable_bytes out) {
    std::size_t done = 0;
    while (done < out.size()) {
        TRY(const auto count, from.read(out.subspan(done)));
        if (count == 0) break;
        done += count;
    }
    if (done == 0 && !out.empty()) return false;
    if (done < out.size()) return broken("cut off");
    return true;
}

/// The record "size" of a pax header, else 0. Refuses sparse files: they have contents in several places.
result<std::uint64_t> pax_size(const_bytes payload) {
    std::string_view text(reinterpret_cast<const char*>(payload.data()), payload.size());
    std::uint64_t size = 0;
    while (!text.empty() && text.front() != '\0') {
        std::size_t length = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), length);
        if (error != std::errc() || length == 0 || length > text.size()) return broken("a pax record that is none");
        auto record = text.substr(0, length);
        record.remove_prefix(std::min(record.size(), static_cast<std::size_t>(end - text.data()) + 1));
        text.remove_prefix(length);
        if (record.ends_with('\n')) record.remove_suffix(1);
        if (record.starts_with("GNU.sparse.")) return fail(errc::unsupported, "tar meta of sparse members");
        if (!record.starts_with("size=")) continue;
        record.remove_prefix(sizeof("size=") - 1);
        const auto [stop, wrong] = std::from_chars(record.data(), record.data() + record.size(), size);
        if (wrong != std::errc() || stop != record.data() + record.size()) return broken("a pax size that is none");
    }
    return size;
}

class exporter {
public:
    exporter(fs::byte_stream& tar, layers::byte_sink& to) : tar_(tar), to_(to) {}

    result<void> run() {
        for (;;) {
            header_block header{};
            TRY(const bool more, read_whole(tar_, header));
            if (!more) return {};
            position_ += block_bytes;
            if (is_zero(header)) {
                if (std::exchange(ended_, true)) return fs::drain(tar_);
                continue;
            }
            ended_ = false;
            TRYV(member(header));
        }
    }

private:
    result<void> member(header_block& header) {
        TRY(const auto sum, number_in(header, checksum_at, checksum_bytes));
        if (sum != sum_of(header)) return broken("check sum of the header before byte " + std::to_string(position_));
        TRY(const auto size, number_in(header, size_at, size_bytes));
        const auto type = type_of(header);
        if (type == 'S') return fail(errc::unsupported, "tar meta of sparse members");
        if (is_extension(type)) return extension(header, size);
        const auto contents = pax_size_ != 0 ? std::exchange(pax_size_, 0) : size;
        if (!is_file(type)) return to_.write(header);
        const auto place = boost::endian::native_to_little(position_);
        std::memcpy(header.data() + place_at, &place, sizeof(place));
        TRYV(to_.write(header));
        return skip(align_up(contents, block_bytes));
    }

    result<void> extension(const header_block& header, std::uint64_t size) {
        if (size > most_extension_bytes) return fail(errc::limit_exceeded, "tar: a header of more than 1 MiB");
        std::vector<std::byte> payload(align_up(size, block_bytes));
        TRY(const bool whole, read_whole(tar_, payload));
        if (!whole && !payload.empty()) return broken("cut off");
        position_ += payload.size();
        if (type_of(header) == 'x') {
            TRY(pax_size_, pax_size(const_bytes(payload).first(size)));
        }
        TRYV(to_.write(header));
        return to_.write(payload);
    }

    result<void> skip(std::uint64_t count) {
        std::vector<std::byte> buffer(std::min<std::uint64_t>(count, 1 << 20));
        position_ += count;
        while (count > 0) {
            const auto part = mutable_bytes(buffer).first(std::min<std::uint64_t>(count, buffer.size()));
            TRY(const bool whole, read_whole(tar_, part));
            if (!whole) return broken("cut off");
            count -= part.size();
        }
        return {};
    }

    fs::byte_stream& tar_;
    layers::byte_sink& to_;
    std::uint64_t position_ = 0;
    std::uint64_t pax_size_ = 0;
    bool ended_ = false;
};

}  // namespace

result<void> export_tar_meta(fs::byte_stream& tar, layers::byte_sink& to) {
    return exporter(tar, to).run();
}

result<byte_offset> tar_meta_places::real(byte_offset made_up) const {
    auto found = runs_.upper_bound(made_up.value);
    if (found == runs_.begin()) return fail(errc::corrupt, "tar meta: contents of no file");
    found = std::prev(found);
    const auto into = made_up.value - found->first;
    if (into >= found->second.bytes) return fail(errc::corrupt, "tar meta: contents of no file");
    return byte_offset{found->second.real + into};
}

result<void> tar_meta_reader::next_header() {
    header_block header{};
    TRY(const bool more, read_whole(meta_, header));
    if (!more) {
        ended_ = true;
        ready_.assign(2 * block_bytes, std::byte{0});
        return {};
    }
    TRY(const auto size, number_in(header, size_at, size_bytes));
    const auto type = type_of(header);
    position_ += block_bytes;
    if (is_extension(type)) {
        if (size > most_extension_bytes) return fail(errc::limit_exceeded, "tar meta: a header of more than 1 MiB");
        std::vector<std::byte> payload(align_up(size, block_bytes));
        TRY(const bool whole, read_whole(meta_, payload));
        if (!whole && !payload.empty()) return broken("cut off");
        if (type == 'x') {
            TRY(pax_size_, pax_size(const_bytes(payload).first(size)));
        }
        position_ += payload.size();
        ready_.assign(header.begin(), header.end());
        ready_.insert(ready_.end(), payload.begin(), payload.end());
        return {};
    }
    const auto contents = pax_size_ != 0 ? std::exchange(pax_size_, 0) : size;
    if (is_file(type)) {
        std::uint64_t place = 0;
        std::memcpy(&place, header.data() + place_at, sizeof(place));
        boost::endian::little_to_native_inplace(place);
        if (place > INT64_MAX || contents > INT64_MAX) return broken("absurd place of contents");
        std::fill_n(header.begin() + place_at, sizeof(place), std::byte{0});
        set_checksum(header);
        zeros_left_ = align_up(contents, block_bytes);
        if (zeros_left_ != 0) places_.add(position_, place, zeros_left_);
        position_ += zeros_left_;
    }
    ready_.assign(header.begin(), header.end());
    return {};
}

result<std::size_t> tar_meta_reader::read(mutable_bytes out) {
    if (out.empty()) return std::size_t{0};
    for (;;) {
        if (given_ < ready_.size()) {
            const auto count = std::min(out.size(), ready_.size() - given_);
            std::copy_n(ready_.begin() + static_cast<std::ptrdiff_t>(given_), count, out.begin());
            given_ += count;
            return count;
        }
        if (zeros_left_ > 0) {
            const auto count = std::min<std::uint64_t>(out.size(), zeros_left_);
            std::ranges::fill(out.first(count), std::byte{0});
            zeros_left_ -= count;
            return count;
        }
        if (ended_) return std::size_t{0};
        given_ = 0;
        ready_.clear();
        TRYV(next_header());
    }
}

}  // namespace obd::tools

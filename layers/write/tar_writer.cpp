#include "layers/write/tar_writer.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <string>
#include <string_view>

namespace obd::layers {
namespace {

constexpr std::size_t block_bytes = 512;

/// POSIX ustar header. IEEE 1003.1 pax, "ustar Interchange Format". All fields are text.
struct ustar_header {
    std::array<char, 100> name;
    std::array<char, 8> mode, uid, gid;
    std::array<char, 12> size, mtime;
    std::array<char, 8> checksum;
    char type;
    std::array<char, 100> link_name;
    std::array<char, 6> magic;
    std::array<char, 2> version;
    std::array<char, 32> user, group;
    std::array<char, 8> device_major, device_minor;
    std::array<char, 155> prefix;
    std::array<char, 12> reserved;
};
static_assert(sizeof(ustar_header) == block_bytes && offsetof(ustar_header, checksum) == 148 &&
              offsetof(ustar_header, magic) == 257);

template <std::size_t Size>
void put(std::array<char, Size>& field, std::string_view text) {
    std::copy_n(text.begin(), std::min(text.size(), Size), field.begin());
}

/// Numbers as overlaybd writes them: right-justified octal and a space, with a NUL behind it in the short fields.
void put_number(std::array<char, 8>& field, unsigned value) {
    std::snprintf(field.data(), field.size(), "%6o ", value);
}
void put_number(std::array<char, 12>& field, std::uint64_t value) {
    std::array<char, 13> text{};
    std::snprintf(text.data(), text.size(), "%11lo ", static_cast<unsigned long>(value));
    std::copy_n(text.begin(), field.size(), field.begin());
}

void put_checksum(ustar_header& header) {
    header.checksum.fill(' ');
    unsigned sum = 0;
    for (const auto byte : bytes_of(header)) sum += std::to_integer<unsigned>(byte);
    put_number(header.checksum, sum);
}

/// "<length> size=<payload>\n", where the length counts its own digits.
std::string pax_size_record(std::uint64_t payload_bytes) {
    const std::string rest = " size=" + std::to_string(payload_bytes) + "\n";
    std::size_t length = rest.size() + 1;
    while (std::to_string(length).size() + rest.size() != length) ++length;
    return std::to_string(length) + rest;
}

ustar_header pax_header(std::size_t record_bytes) {
    ustar_header header{};
    put(header.name, "overlaybd.pax");
    put_number(header.size, record_bytes);
    header.type = 'x';
    put(header.magic, "ustar");
    put(header.version, "00");
    put_checksum(header);
    return header;
}

enum class member { unfinished, finished };

ustar_header member_header(member state) {
    ustar_header header{};
    put(header.name, state == member::finished ? "overlaybd.commit" : "overlaybd.new");
    put_number(header.mode, 0100644);
    put_number(header.uid, 0);
    put_number(header.gid, 0);
    put_number(header.size, 0);  // the length is in the pax record: it may exceed this field
    put_number(header.mtime, 0);
    header.type = '0';
    put(header.magic, state == member::finished ? "ustar" : "xxtar");
    put(header.version, state == member::finished ? "00" : "xx");
    put(header.user, "root");
    put(header.group, "root");
    put_checksum(header);
    return header;
}

using wrapper = std::array<std::byte, tar_writer::payload_offset>;

wrapper make_wrapper(member state, std::uint64_t payload_bytes) {
    const std::string record = pax_size_record(payload_bytes);
    wrapper bytes{};
    store(bytes, pax_header(record.size()));
    std::copy_n(as_bytes(record).begin(), record.size(), bytes.begin() + block_bytes);
    store(bytes, member_header(state), 2 * block_bytes);
    return bytes;
}

}  // namespace

result<std::unique_ptr<tar_writer>> tar_writer::begin(byte_sink& to) {
    TRYV(to.write(make_wrapper(member::unfinished, 0)));
    return std::unique_ptr<tar_writer>(new tar_writer(to));
}

result<void> tar_writer::write(const_bytes bytes) {
    TRYV(to_.write(bytes));
    payload_bytes_ += bytes.size();
    return {};
}

result<void> tar_writer::overwrite(byte_offset position, const_bytes bytes) {
    return to_.overwrite({position.value + payload_offset}, bytes);
}

result<void> tar_writer::finish() {
    const std::array<std::byte, 3 * block_bytes> zeros{};
    const auto padding = align_up(payload_bytes_, block_bytes) - payload_bytes_;
    TRYV(to_.write(const_bytes(zeros).first(padding + 2 * block_bytes)));
    return to_.overwrite({0}, make_wrapper(member::finished, payload_bytes_));
}

}  // namespace obd::layers

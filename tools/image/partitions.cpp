#include "tools/image/partitions.hpp"

#include <algorithm>
#include <array>
#include <boost/endian/arithmetic.hpp>
#include <cstring>
#include <string_view>

namespace obd::tools {
namespace {

using boost::endian::little_uint16_t;
using boost::endian::little_uint32_t;
using boost::endian::little_uint64_t;

constexpr std::uint64_t sector = 512;
constexpr std::uint8_t protective = 0xee;         // an MBR that only covers a GPT
constexpr std::uint32_t most_gpt_entries = 1024;  // tables have 128
constexpr std::uint32_t most_entry_bytes = 4096;

struct mbr_entry {
    std::uint8_t status;
    std::array<std::uint8_t, 3> first_chs;
    std::uint8_t type;
    std::array<std::uint8_t, 3> last_chs;
    little_uint32_t first_sector, sectors;
};
static_assert(sizeof(mbr_entry) == 16 && alignof(mbr_entry) == 1);
constexpr std::size_t mbr_entries_at = 446, mbr_signature_at = 510;

/// UEFI Specification, "GPT Header".
struct gpt_header {
    std::array<char, 8> signature;
    little_uint32_t revision, header_bytes, header_crc, reserved;
    little_uint64_t own_sector, other_sector, first_usable, last_usable;
    std::array<std::byte, 16> disk_guid;
    little_uint64_t entries_sector;
    little_uint32_t entries, entry_bytes, entries_crc;
};
static_assert(sizeof(gpt_header) == 92 && alignof(gpt_header) == 1);

struct gpt_entry {
    std::array<std::byte, 16> type, own;
    little_uint64_t first_sector, last_sector;
};
static_assert(sizeof(gpt_entry) == 48 && alignof(gpt_entry) == 1);

failure outside() {
    return fail(errc::corrupt, "the partition table leads outside the disk");
}

result<void> add(std::vector<partition>& to, byte_count disk, std::uint64_t first, std::uint64_t sectors) {
    const auto all = disk.value / sector;
    if (first > all || sectors > all - first) return outside();
    to.push_back({{first * sector}, {sectors * sector}});
    return {};
}

result<std::vector<partition>> read_gpt(byte_count disk, const disk_reader& read) {
    std::array<std::byte, sector> raw{};
    if (disk.value < 2 * sector) return outside();
    TRYV(read({sector}, raw));
    const auto header = load<gpt_header>(raw, 0);
    constexpr std::array<char, 8> signature{'E', 'F', 'I', ' ', 'P', 'A', 'R', 'T'};
    if (header.signature != signature) return fail(errc::corrupt, "no GPT behind its protective MBR");
    if (header.entries > most_gpt_entries || header.entry_bytes < sizeof(gpt_entry) ||
        header.entry_bytes > most_entry_bytes)
        return fail(errc::corrupt, "a GPT of absurd size");
    const std::uint64_t bytes = std::uint64_t{header.entries} * header.entry_bytes;
    if (header.entries_sector > disk.value / sector || bytes > disk.value - header.entries_sector * sector)
        return outside();
    std::vector<std::byte> table(bytes);
    if (!table.empty()) {
        TRYV(read({header.entries_sector * sector}, table));
    }
    std::vector<partition> found;
    for (std::uint32_t i = 0; i < header.entries; ++i) {
        const auto entry = load<gpt_entry>(table, std::size_t{i} * header.entry_bytes);
        if (is_zero(entry.type)) continue;
        if (entry.last_sector < entry.first_sector || entry.last_sector == UINT64_MAX) return outside();
        TRYV(add(found, disk, entry.first_sector, entry.last_sector - entry.first_sector + 1));
    }
    return found;
}

}  // namespace

result<std::vector<partition>> find_partitions(byte_count disk, const disk_reader& read) {
    std::vector<partition> found;
    std::array<std::byte, sector> raw{};
    if (disk.value < sector) return found;
    TRYV(read({0}, raw));
    if (load<little_uint16_t>(raw, mbr_signature_at) != 0xaa55) return found;
    for (std::size_t i = 0; i < 4; ++i) {
        const auto entry = load<mbr_entry>(raw, mbr_entries_at + i * sizeof(mbr_entry));
        if (entry.type == protective) return read_gpt(disk, read);
        if (entry.type == 0 || entry.sectors == 0) continue;
        TRYV(add(found, disk, entry.first_sector, entry.sectors));
    }
    return found;
}

result<bool> has_file_system(const partition& part, const disk_reader& read) {
    struct mark {
        std::uint64_t at;
        std::string_view bytes;
    };
    constexpr mark marks[] = {{0x438, "\x53\xef"}, {0, "XFSB"}, {0x10040, "_BHRfS_M"}, {0x400, "\x10\x20\xf5\xf2"}};
    for (const auto& mark : marks) {
        const auto at = mark.at / sector * sector;
        if (part.size.value < at + sector) continue;
        std::array<std::byte, sector> raw{};
        TRYV(read(part.begin + byte_count{at}, raw));
        if (std::memcmp(raw.data() + mark.at % sector, mark.bytes.data(), mark.bytes.size()) == 0) return true;
    }
    return false;
}

result<partition> find_root(byte_count disk, const disk_reader& read) {
    const partition whole{{0}, disk};
    TRY(const bool plain, has_file_system(whole, read));
    if (plain) return whole;
    TRY(const auto all, find_partitions(disk, read));
    partition best{};
    for (const auto& part : all) {
        TRY(const bool usable, has_file_system(part, read));
        if (usable && part.size > best.size) best = part;
    }
    if (best.size.value == 0) return fail(errc::not_found, "no partition with a Linux file system on the disk");
    return best;
}

}  // namespace obd::tools

#include "layers/write/pending_log.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <vector>

#include "base/crc32c.hpp"

namespace obd::layers {
namespace {

constexpr std::uint64_t header_bytes = 4096;
constexpr std::uint32_t greatest_capacity = 1 << 22;  // 128 MiB: a header that says more is damaged

/// The beginning of the log. Little-endian. docs/formats/side-files.md.
struct log_header {
    std::array<char, 8> magic;
    std::array<char, 40> uuid;                ///< of the layer, zero padded
    boost::endian::little_uint32_t capacity;  ///< records
    boost::endian::little_uint32_t crc;       ///< crc32c of the 52 bytes before
    boost::endian::little_uint64_t settled;   ///< changes while the layer is open: outside the checksum
};
static_assert(sizeof(log_header) == 64 && offsetof(log_header, crc) == 52);

/// One pending entry. Little-endian. Never crosses a sector.
struct log_record {
    boost::endian::little_uint64_t word0, word1;  ///< as in the journal
    boost::endian::little_uint64_t position;
    boost::endian::little_uint32_t data_crc;
    boost::endian::little_uint32_t crc;  ///< crc32c of the 28 bytes before
};
static_assert(sizeof(log_record) == 32);

constexpr std::array<char, 8> log_magic{'O', 'B', 'D', 'L', 'O', 'G', 0, 1};

std::uint32_t crc_of(const log_header& header) {
    return crc32c(bytes_of(header).first(offsetof(log_header, crc)));
}
std::uint32_t crc_of(const log_record& record) {
    return crc32c(bytes_of(record).first(offsetof(log_record, crc)));
}

std::optional<log_header> decode_log_header(const_bytes raw) {
    const auto header = load<log_header>(raw);
    const bool sound = header.magic == log_magic && header.crc == crc_of(header) && header.capacity > 0 &&
                       header.capacity <= greatest_capacity;
    if (!sound) return std::nullopt;
    return header;
}

std::array<char, 40> padded(const std::string& uuid) {
    std::array<char, 40> field{};
    std::copy_n(uuid.begin(), std::min(uuid.size(), field.size()), field.begin());
    return field;
}

}  // namespace

std::filesystem::path pending_log::path_for(const std::filesystem::path& index) {
    auto path = index;
    path += ".obdlog";
    return path;
}

result<std::unique_ptr<pending_log>> pending_log::create(file_system& files, const creation& what) {
    TRYV(files.remove(what.path));
    TRY(const auto fresh, files.open(what.path, open_mode::create));
    const auto bytes = header_bytes + std::uint64_t{what.capacity} * sizeof(log_record);
    TRYV(fresh->resize({bytes}));
    TRY(const auto memory, fresh->map({bytes}));
    log_header header{};
    header.magic = log_magic;
    header.uuid = padded(what.uuid);
    header.capacity = what.capacity;
    header.crc = crc_of(header);
    header.settled = what.settled;
    store(memory, header);
    // The log that was there before must not come back after a power failure.
    TRYV(files.sync_directory_of(what.path));
    return std::unique_ptr<pending_log>(new pending_log(fresh, memory, what.capacity));
}

result<pending_entries> pending_log::load(file_system& files, const std::filesystem::path& path,
                                          const std::string& uuid, open_mode mode) {
    pending_entries found;
    TRY(const bool there, files.exists(path));
    if (!there) return found;
    TRY(const auto log, files.open(path, mode));
    std::array<std::byte, sizeof(log_header)> raw{};
    TRYV(log->read({0}, raw));
    const auto header = decode_log_header(raw);
    if (!header || header->uuid != padded(uuid)) return found;
    found.settled = header->settled;
    std::vector<std::byte> records(std::size_t{header->capacity} * sizeof(log_record));
    TRYV(log->read({header_bytes}, records));
    for (std::uint32_t slot = 0; slot < header->capacity; ++slot) {
        const auto record = obd::load<log_record>(records, slot * sizeof(log_record));
        const std::uint64_t position = record.position;
        const bool sound = record.crc == crc_of(record) && position >= found.settled &&
                           position - found.settled < header->capacity && position % header->capacity == slot;
        if (!sound) continue;
        found.entries[position] = {
            .entry = {record.word0, record.word1}, .position = position, .data_crc = record.data_crc};
    }
    return found;
}

void pending_log::put(const pending_entry& what) noexcept {
    log_record record{};
    record.word0 = what.entry.word0;
    record.word1 = what.entry.word1;
    record.position = what.position;
    record.data_crc = what.data_crc;
    record.crc = crc_of(record);
    store(memory_, record, header_bytes + (what.position % capacity_) * sizeof(log_record));
}

void pending_log::settle(std::uint64_t count) noexcept {
    const boost::endian::little_uint64_t value(count);
    store(memory_, value, offsetof(log_header, settled));
}

}  // namespace obd::layers

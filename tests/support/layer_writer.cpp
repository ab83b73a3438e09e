#include "tests/support/layer_writer.hpp"

#include <lz4.h>
#include <zstd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <random>
#include <stdexcept>

namespace obd::test {
namespace {

constexpr std::size_t sector = 512;

/// Bit by bit, unlike base/crc32c.
std::uint32_t crc(const std::byte* bytes, std::size_t count, std::uint32_t value) {
    for (std::size_t i = 0; i < count; ++i) {
        value ^= std::to_integer<std::uint32_t>(bytes[i]);
        for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? 0x82F63B78u : 0);
    }
    return value;
}

void put(byte_vector& file, const_bytes bytes) {
    file.insert(file.end(), bytes.begin(), bytes.end());
}
void put32(byte_vector& file, std::uint32_t value) {
    file.resize(file.size() + 4);
    poke32(file, file.size() - 4, value);
}
void put64(byte_vector& file, std::uint64_t value) {
    file.resize(file.size() + 8);
    poke64(file, file.size() - 8, value);
}
void poke_text(byte_vector& file, std::size_t offset, const std::string& text) {
    std::memcpy(file.data() + offset, text.data(), text.size());
}

struct lsmt_index_fields {
    std::uint64_t offset;
    std::uint64_t entries;
};

void append_lsmt_block(byte_vector& file, std::uint32_t flags, lsmt_index_fields index, const lsmt_options& options) {
    const std::size_t at = file.size();
    file.resize(at + 4096);
    poke_text(file, at, std::string("LSMT\0\1\2\0", 8));
    poke_text(file, at + 8, "\x65\x7e\x63\xd2\x94\x44\x08\x4c\xa2\xd2\xc8\xec\x4f\xcf\xae\x8a");
    poke32(file, at + 24, 390);
    poke32(file, at + 28, flags);
    poke64(file, at + 32, index.offset);
    poke64(file, at + 40, index.entries);
    poke64(file, at + 48, options.virtual_bytes);
    const std::string none = "00000000-0000-0000-0000-000000000000";
    poke_text(file, at + 56, options.uuid.empty() ? none : options.uuid);
    poke_text(file, at + 93, options.parent_uuid.empty() ? none : options.parent_uuid);
    file[at + 130] = std::byte{0x5a};  // reserved: existing writers leave garbage here
    file[at + 132] = std::byte{1};
    file[at + 133] = std::byte{1};
    poke_text(file, at + 134, options.user_tag.substr(0, 256));
}

void put_entry(byte_vector& file, std::array<std::uint64_t, 2> entry) {
    put64(file, entry[0]);
    put64(file, entry[1]);
}

void put_invalid_entry(byte_vector& file) {
    put_entry(file, {(std::uint64_t{1} << 50) - 1, 0});
}

}  // namespace

void poke32(byte_vector& file, std::size_t offset, std::uint32_t value) {
    for (std::size_t i = 0; i < 4; ++i) file.at(offset + i) = static_cast<std::byte>(value >> (8 * i));
}
void poke64(byte_vector& file, std::size_t offset, std::uint64_t value) {
    for (std::size_t i = 0; i < 8; ++i) file.at(offset + i) = static_cast<std::byte>(value >> (8 * i));
}
std::uint32_t peek32(const byte_vector& file, std::size_t offset) {
    return static_cast<std::uint32_t>(peek64(file, offset) & 0xffffffff);
}
std::uint64_t peek64(const byte_vector& file, std::size_t offset) {
    std::uint64_t value = 0;
    for (std::size_t i = 8; i-- > 0;) value = value << 8 | std::to_integer<std::uint64_t>(file.at(offset + i));
    return value;
}

byte_vector sample_bytes(std::size_t count, std::uint64_t seed, unsigned entropy_bits) {
    std::mt19937_64 random(seed);
    byte_vector bytes(count);
    for (auto& b : bytes) b = static_cast<std::byte>(random() >> (64 - entropy_bits));
    return bytes;
}

std::array<std::uint64_t, 2> lsmt_entry(std::uint64_t start, std::uint64_t sectors, std::uint64_t moffset,
                                        bool zeroed) {
    return {start | sectors << 50, moffset | std::uint64_t{zeroed} << 55};
}

lsmt_builder& lsmt_builder::write(std::uint64_t start_sector, const_bytes data) {
    operations_.push_back({start_sector, data.size() / sector, {data.begin(), data.end()}});
    return *this;
}

lsmt_builder& lsmt_builder::discard(std::uint64_t start_sector, std::uint64_t sectors) {
    operations_.push_back({start_sector, sectors, {}});
    return *this;
}

void lsmt_builder::apply_to(byte_vector& disk) const {
    for (const auto& op : operations_) {
        for (std::uint64_t i = 0; i < op.sectors; ++i) {
            const std::uint64_t at = (op.start + i) * sector;
            if (at + sector > disk.size()) continue;
            if (op.data.empty()) {
                std::memset(disk.data() + at, 0, sector);
            } else {
                std::memcpy(disk.data() + at, op.data.data() + i * sector, sector);
            }
        }
    }
}

/// Sector by sector: slow, and hard to get wrong.
std::map<std::uint64_t, lsmt_builder::owner> lsmt_builder::winners() const {
    std::map<std::uint64_t, owner> by_sector;
    for (std::size_t i = 0; i < operations_.size(); ++i) {
        for (std::uint64_t s = 0; s < operations_[i].sectors; ++s) by_sector[operations_[i].start + s] = {i, s};
    }
    return by_sector;
}

std::vector<lsmt_builder::run> lsmt_builder::runs(const std::vector<std::uint64_t>& place_of_operation) const {
    std::vector<run> found;
    const operation* last = nullptr;
    for (const auto& [where, who] : winners()) {
        const operation& op = operations_[who.operation];
        const bool zeroed = op.data.empty();
        const std::uint64_t moffset = place_of_operation[who.operation] + (zeroed ? 0 : who.sector_in_it);
        const bool extends = last == &op && found.back().start + found.back().sectors == where &&
                             found.back().sectors < 16383 &&
                             (zeroed || found.back().moffset + found.back().sectors == moffset);
        if (extends) {
            ++found.back().sectors;
        } else {
            found.push_back({where, 1, moffset, zeroed});
        }
        last = &op;
    }
    return found;
}

void lsmt_builder::append_index(byte_vector& file, const std::vector<run>& runs, const lsmt_options& options,
                                std::uint32_t trailer_flags) {
    const std::uint64_t offset = file.size();
    std::uint64_t entries = 0;
    for (const run& r : runs) {
        auto entry = lsmt_entry(r.start, r.sectors, r.moffset, r.zeroed);
        entry[1] |= std::uint64_t{options.entry_tag} << 56;
        put_entry(file, entry);
        ++entries;
        if (options.scatter_padding && entries % 3 == 0) {
            put_invalid_entry(file);
            ++entries;
        }
    }
    for (; options.index_padding > 0 && entries % options.index_padding != 0; ++entries) put_invalid_entry(file);
    if (options.index_padding == 0) file.resize((file.size() + sector - 1) / sector * sector, std::byte{0xee});
    append_lsmt_block(file, trailer_flags, {offset, entries}, options);
}

byte_vector lsmt_builder::committed(const lsmt_options& options) const {
    byte_vector file;
    append_lsmt_block(file, 7, {0, 0}, options);
    std::vector<run> packed;
    for (const auto& [where, who] : winners()) {
        const operation& op = operations_[who.operation];
        const std::uint64_t moffset = file.size() / sector;
        const bool zeroed = op.data.empty();
        if (!zeroed) put(file, const_bytes(op.data).subspan(who.sector_in_it * sector, sector));
        run* last = packed.empty() ? nullptr : &packed.back();
        if (last != nullptr && last->start + last->sectors == where && last->zeroed == zeroed &&
            last->sectors < 16382) {
            ++last->sectors;
        } else {
            packed.push_back({where, 1, moffset, zeroed});
        }
    }
    append_index(file, packed, options, 6);
    return file;
}

byte_vector lsmt_builder::sealed(const lsmt_options& options) const {
    byte_vector file;
    append_lsmt_block(file, 3, {0, 0}, options);
    std::vector<std::uint64_t> places;
    for (const auto& op : operations_) {
        places.push_back(file.size() / sector);
        put(file, op.data);
    }
    lsmt_options unpadded = options;
    unpadded.index_padding = 0;
    append_index(file, runs(places), unpadded, 6);
    return file;
}

byte_vector lsmt_builder::sealed_sparse(const lsmt_options& options) const {
    byte_vector file;
    append_lsmt_block(file, 0x13, {0, 0}, options);
    byte_vector disk(options.virtual_bytes);
    apply_to(disk);
    put(file, disk);
    std::vector<std::uint64_t> places;
    for (const auto& op : operations_) places.push_back(8 + op.start);
    lsmt_options unpadded = options;
    unpadded.index_padding = 0;
    append_index(file, runs(places), unpadded, 0x16);
    return file;
}

byte_vector lsmt_with_entries(const std::vector<std::array<std::uint64_t, 2>>& entries, std::uint64_t data_sectors,
                              const lsmt_options& options) {
    byte_vector file;
    append_lsmt_block(file, 7, {0, 0}, options);
    put(file, sample_bytes(data_sectors * sector, 7));
    const std::uint64_t offset = file.size();
    for (const auto& entry : entries) put_entry(file, entry);
    file.resize((file.size() + sector - 1) / sector * sector);
    append_lsmt_block(file, 6, {offset, entries.size()}, options);
    return file;
}

namespace {

byte_vector compress_block(const_bytes block, const zfile_options& options) {
    byte_vector out;
    if (options.coding == zfile_coding::lz4) {
        out.resize(static_cast<std::size_t>(LZ4_compressBound(static_cast<int>(block.size()))));
        const int got =
            LZ4_compress_default(reinterpret_cast<const char*>(block.data()), reinterpret_cast<char*>(out.data()),
                                 static_cast<int>(block.size()), static_cast<int>(out.size()));
        if (got <= 0) throw std::runtime_error("lz4");
        out.resize(static_cast<std::size_t>(got));
    } else {
        out.resize(ZSTD_compressBound(block.size()));
        const std::size_t got = ZSTD_compress(out.data(), out.size(), block.data(), block.size(), 3);
        if (ZSTD_isError(got) != 0) throw std::runtime_error("zstd");
        out.resize(got);
    }
    if (options.verify) put32(out, crc(out.data(), out.size(), 100007));
    return out;
}

struct zfile_index_fields {
    std::uint64_t offset = 0;
    std::uint64_t blocks = 0;
    std::uint64_t content_bytes = 0;
    std::uint32_t crc = 0;
};

byte_vector zfile_block(std::uint64_t flags, const zfile_index_fields& index, const zfile_options& options) {
    byte_vector block(512);
    poke_text(block, 0, std::string("ZFile\0\1\0", 8));
    poke_text(block, 8, "tuji.yyf@Alibaba");
    poke32(block, 24, 96);
    poke64(block, 32, options.old_garbage ? (flags & ~std::uint64_t{0x10}) | 0x00007ffea4640b40 : flags);
    poke64(block, 40, index.offset);
    poke64(block, 48, index.blocks);
    poke64(block, 56, index.content_bytes);
    poke32(block, 64, index.crc);
    poke32(block, 72, options.block_bytes);
    block[76] = std::byte{options.coding == zfile_coding::lz4 ? std::uint8_t{1} : std::uint8_t{2}};
    block[88] = std::byte{options.verify ? std::uint8_t{1} : std::uint8_t{0}};
    if (options.old_garbage) {
        poke32(block, 28, 0x7fa0);
        poke32(block, 64, 0xdeadbeef);
        poke32(block, 68, 0xabad1dea);
        poke64(block, 500, 0x1122334455667788);
    } else {
        repair_zfile_digest(block, 0);
    }
    return block;
}

}  // namespace

void repair_zfile_digest(byte_vector& file, std::size_t offset) {
    poke32(file, offset + 28, 0);
    poke32(file, offset + 28, crc(file.data() + offset, 512, 0));
}

byte_vector zfile(const_bytes content, const zfile_options& options) {
    byte_vector file = zfile_block(0x13, {}, options);
    byte_vector index;
    zfile_index_fields fields;
    for (std::size_t at = 0; at < content.size(); at += options.block_bytes) {
        const auto block = content.subspan(at, std::min<std::size_t>(options.block_bytes, content.size() - at));
        const byte_vector coded = compress_block(block, options);
        put(file, coded);
        put32(index, static_cast<std::uint32_t>(coded.size()));
        ++fields.blocks;
    }
    fields.offset = file.size();
    fields.content_bytes = content.size();
    fields.crc = crc(index.data(), index.size(), 0);
    put(file, index);
    put(file, zfile_block(0x16, fields, options));
    if (options.index == zfile_index_place::header) {
        const byte_vector header = zfile_block(0x1b, fields, options);
        std::copy(header.begin(), header.end(), file.begin());
    }
    return file;
}

namespace {

struct tar_member {
    std::string name;
    char type;
    std::size_t size;
    std::string magic = "ustar";
    std::string version = "00";
};

byte_vector tar_header(const tar_member& member) {
    byte_vector block(512);
    std::array<char, 16> digits{};
    std::snprintf(digits.data(), digits.size(), "%11zo ", member.size);
    poke_text(block, 0, member.name);
    poke_text(block, 100, "100644 ");
    poke_text(block, 124, digits.data());
    block[156] = static_cast<std::byte>(member.type);
    poke_text(block, 257, member.magic);
    poke_text(block, 263, member.version);
    repair_tar_checksum(block, 0);
    return block;
}

void append_payload(byte_vector& tar, const_bytes payload) {
    put(tar, payload);
    tar.resize((tar.size() + 511) / 512 * 512 + 1024);
}

/// "<length> <text>\n" where the length counts itself.
std::string pax_record(const std::string& text) {
    std::size_t length = text.size() + 2;
    while (std::to_string(length).size() + text.size() + 2 != length) ++length;
    return std::to_string(length) + " " + text + "\n";
}

}  // namespace

void repair_tar_checksum(byte_vector& file, std::size_t offset) {
    std::memset(file.data() + offset + 148, ' ', 8);
    unsigned sum = 0;
    for (std::size_t i = 0; i < 512; ++i) sum += std::to_integer<unsigned>(file[offset + i]);
    std::array<char, 16> digits{};
    std::snprintf(digits.data(), digits.size(), "%6o ", sum);
    poke_text(file, offset + 148, std::string(digits.data(), 8));
}

byte_vector tar_with_one_header(const_bytes payload) {
    byte_vector tar = tar_header({.name = "overlaybd.commit", .type = '0', .size = payload.size()});
    append_payload(tar, payload);
    return tar;
}

byte_vector tar_with_pax(const_bytes payload, std::size_t pax_bytes) {
    std::string records = pax_record("mtime=1700000000.5");
    if (records.size() < pax_bytes) records += pax_record("comment=" + std::string(pax_bytes, 'x'));
    records += pax_record("size=" + std::to_string(payload.size()));
    byte_vector tar = tar_header({.name = "overlaybd.pax", .type = 'x', .size = records.size()});
    put(tar, as_bytes(records));
    tar.resize((tar.size() + 511) / 512 * 512);
    put(tar, tar_header({.name = "overlaybd.commit", .type = '0', .size = 0}));
    append_payload(tar, payload);
    return tar;
}

byte_vector tar_unfinished(const_bytes payload) {
    const std::string records = pax_record("size=0");
    byte_vector tar = tar_header({.name = "overlaybd.pax", .type = 'x', .size = records.size()});
    put(tar, as_bytes(records));
    tar.resize(1024);
    put(tar, tar_header({.name = "overlaybd.new", .type = '0', .size = 0, .magic = "xxtar", .version = "xx"}));
    put(tar, payload);
    return tar;
}

}  // namespace obd::test

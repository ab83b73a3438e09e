#include "layers/zfile/header.hpp"

#include <cstring>
#include <string>

#include "base/crc32c.hpp"
#include "base/limits.hpp"

namespace obd::layers::zfile {
namespace {

/// REQUIRES: bytes.size() >= header_space_bytes.
result<void> check_digest(const_bytes bytes, const header_trailer& wire) {
    if ((wire.flags & flag::digest) == 0) return {};
    constexpr std::size_t field = offsetof(header_trailer, digest);
    constexpr std::array<std::byte, 4> zero{};
    std::uint32_t crc = crc32c_raw(bytes.first(field), 0);
    crc = crc32c_raw(zero, crc);
    crc = crc32c_raw(bytes.subspan(field + zero.size(), header_space_bytes - field - zero.size()), crc);
    if (crc != wire.digest) return fail(errc::corrupt, "its digest does not match");
    return {};
}

result<void> check_coding(const header_trailer& wire) {
    if ((wire.flags & flag::index_compressed) != 0) return fail(errc::unsupported, "compressed jump table");
    if (wire.algo != static_cast<std::uint8_t>(algorithm::lz4) &&
        wire.algo != static_cast<std::uint8_t>(algorithm::zstd)) {
        return fail(errc::unsupported, "compression algorithm " + std::to_string(wire.algo));
    }
    if (wire.dict_size != 0) return fail(errc::unsupported, "compression with a dictionary");
    const std::uint32_t block = wire.block_size;
    if (!is_power_of_two(block) || block < min_block_bytes || block > max_block_bytes) {
        return fail(errc::corrupt, "block size " + std::to_string(block));
    }
    return {};
}

/// `index_end`: where the jump table must have ended at the latest.
result<parameters> parameters_of(const header_trailer& wire, std::uint64_t index_end) {
    TRYV(check_coding(wire));
    const std::uint64_t block = wire.block_size;
    const std::uint64_t size = wire.original_file_size;
    const std::uint64_t blocks = wire.index_size;
    if (blocks > limits::zfile_blocks) {
        return fail(errc::limit_exceeded, "a jump table of " + std::to_string(blocks) + " blocks, the limit is " +
                                              std::to_string(limits::zfile_blocks));
    }
    if (blocks != size / block + (size % block != 0)) {
        return fail(errc::corrupt, "a jump table of " + std::to_string(blocks) + " blocks for " + std::to_string(size) +
                                       " bytes in blocks of " + std::to_string(block));
    }
    const std::uint64_t offset = wire.index_offset;
    if (offset < header_space_bytes || offset > index_end || blocks * 4 > index_end - offset) {
        return fail(errc::corrupt, "the jump table (bytes " + std::to_string(offset) + "+" +
                                       std::to_string(blocks * 4) + ") lies outside the file");
    }
    parameters info{.algo = static_cast<algorithm>(wire.algo),
                    .block_bytes = static_cast<std::uint32_t>(block),
                    .verify = wire.verify != 0,
                    .original_size = {size},
                    .index_offset = offset,
                    .blocks = blocks,
                    .index_crc = {}};
    if ((wire.flags & flag::digest) != 0) info.index_crc = wire.index_crc;
    return info;
}

}  // namespace

const char* name_of(algorithm algo) noexcept {
    return algo == algorithm::lz4 ? "lz4" : "zstd";
}

bool has_magic(const_bytes bytes) noexcept {
    return bytes.size() >= header_space_bytes && std::memcmp(bytes.data(), magic0.data(), magic0.size()) == 0 &&
           std::memcmp(bytes.data() + magic0.size(), magic1.data(), magic1.size()) == 0;
}

result<std::optional<parameters>> decode_header(const_bytes bytes, byte_count file_size) {
    const std::string place = "zfile header at byte 0";
    if (!has_magic(bytes)) return fail(errc::corrupt, place + ": the zfile magic is missing");
    const auto wire = load<header_trailer>(bytes);
    if ((wire.flags & flag::header) == 0) return fail(errc::corrupt, place + ": its flags say trailer");
    if (auto checked = check_digest(bytes, wire); !checked) return in_context(std::move(checked).error(), place);
    // Index fields of a header that was not overwritten are noise in old files.
    if ((wire.flags & flag::header_overwrite) != 0) {
        auto info = parameters_of(wire, file_size.value);
        if (!info) return in_context(std::move(info).error(), place);
        return std::optional(*std::move(info));
    }
    if ((wire.flags & flag::data_file) == 0) return fail(errc::corrupt, place + ": its flags say index file");
    return std::optional<parameters>{};
}

result<parameters> decode_trailer(const_bytes bytes, byte_count file_size) {
    if (file_size.value < 2 * header_space_bytes) return fail(errc::corrupt, "zfile too short for a trailer");
    const std::uint64_t position = file_size.value - header_space_bytes;
    const std::string place = "zfile trailer at byte " + std::to_string(position);
    if (!has_magic(bytes)) return fail(errc::corrupt, place + ": the zfile magic is missing");
    const auto wire = load<header_trailer>(bytes);
    if ((wire.flags & flag::header) != 0) return fail(errc::corrupt, place + ": its flags say header");
    if ((wire.flags & flag::data_file) == 0) return fail(errc::corrupt, place + ": its flags say index file");
    if ((wire.flags & flag::sealed) == 0) return fail(errc::corrupt, place + ": its flags say unsealed");
    if (auto checked = check_digest(bytes, wire); !checked) return in_context(std::move(checked).error(), place);
    auto info = parameters_of(wire, position);
    if (!info) return in_context(std::move(info).error(), place);
    return info;
}

}  // namespace obd::layers::zfile

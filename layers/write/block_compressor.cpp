#include "layers/write/block_compressor.hpp"

#include <lz4.h>
#include <zstd.h>

#include <algorithm>
#include <boost/endian/conversion.hpp>
#include <string>

#include "base/crc32c.hpp"
#include "base/units.hpp"

namespace obd::layers {
namespace {

constexpr int zstd_level = 3;        // what overlaybd uses, whatever the header's level says
constexpr int lz4_acceleration = 1;  // LZ4_compress_default
constexpr std::uint32_t least_block_bytes = 4096;

}  // namespace

struct block_compressor::state {
    zfile_options options;
    std::vector<std::byte> lz4_table;
    ZSTD_CCtx* zstd = nullptr;
    std::size_t bound = 0;
    std::vector<std::byte> packed;  ///< one block, with its checksum

    std::size_t compress(const_bytes plain, mutable_bytes out) const {
        if (zstd != nullptr) {
            const auto length = ZSTD_compressCCtx(zstd, out.data(), out.size(), plain.data(), plain.size(), zstd_level);
            ASSERT(ZSTD_isError(length) == 0);  // the output has room and the level is valid
            return length;
        }
        const int length =
            LZ4_compress_fast_extState(const_cast<std::byte*>(lz4_table.data()),
                                       reinterpret_cast<const char*>(plain.data()), reinterpret_cast<char*>(out.data()),
                                       static_cast<int>(plain.size()), static_cast<int>(out.size()), lz4_acceleration);
        ASSERT(length > 0);
        return static_cast<std::size_t>(length);
    }
};

result<void> check(const zfile_options& options) {
    if (options.algo != zfile::algorithm::lz4 && options.algo != zfile::algorithm::zstd) {
        return fail(errc::invalid_argument, "compression algorithm " + std::to_string(static_cast<int>(options.algo)));
    }
    if (!is_power_of_two(options.block_bytes) || options.block_bytes < least_block_bytes ||
        options.block_bytes > zfile::max_block_bytes) {
        return fail(errc::invalid_argument, "block size " + std::to_string(options.block_bytes) +
                                                " (a power of two from 4096 to 65536 is possible)");
    }
    return {};
}

block_compressor::block_compressor(const zfile_options& options) : state_(std::make_unique<state>()) {
    ASSERT(check(options).has_value());
    state_->options = options;
    if (options.algo == zfile::algorithm::zstd) {
        state_->zstd = ZSTD_createCCtx();
        if (state_->zstd == nullptr) throw std::bad_alloc();
        state_->bound = ZSTD_compressBound(options.block_bytes);
    } else {
        state_->lz4_table.resize(static_cast<std::size_t>(LZ4_sizeofState()));
        state_->bound = static_cast<std::size_t>(LZ4_compressBound(static_cast<int>(options.block_bytes)));
    }
    state_->packed.resize(state_->bound + zfile::block_crc_bytes);
}

block_compressor::~block_compressor() {
    ZSTD_freeCCtx(state_->zstd);
}

std::uint32_t block_compressor::append(const_bytes plain, std::vector<std::byte>& out) {
    ASSERT(!plain.empty() && plain.size() <= state_->options.block_bytes);
    // Not into `out` itself: making it long enough first would fill the room for the worst case with zeros.
    auto& packed = state_->packed;
    std::size_t length = state_->compress(plain, mutable_bytes(packed).first(state_->bound));
    if (state_->options.checksums) {
        const auto crc = crc32c_raw(const_bytes(packed).first(length), zfile::block_crc_seed);
        store(mutable_bytes(packed), boost::endian::native_to_little(crc), length);
        length += zfile::block_crc_bytes;
    }
    out.insert(out.end(), packed.begin(), packed.begin() + static_cast<std::ptrdiff_t>(length));
    return static_cast<std::uint32_t>(length);
}

}  // namespace obd::layers

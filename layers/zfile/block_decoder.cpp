#include "layers/zfile/block_decoder.hpp"

#include <lz4.h>
#include <zstd.h>

#include <memory>

#include "base/crc32c.hpp"

namespace obd::layers::zfile {
namespace {

struct free_context {
    void operator()(ZSTD_DCtx* context) const noexcept { ZSTD_freeDCtx(context); }
};

decode_error decode_lz4(const_bytes compressed, mutable_bytes out) noexcept {
    const int got =
        LZ4_decompress_safe(reinterpret_cast<const char*>(compressed.data()), reinterpret_cast<char*>(out.data()),
                            static_cast<int>(compressed.size()), static_cast<int>(out.size()));
    if (got < 0) return decode_error::compression;
    return static_cast<std::size_t>(got) == out.size() ? decode_error::none : decode_error::wrong_length;
}

decode_error decode_zstd(const_bytes compressed, mutable_bytes out) noexcept {
    thread_local const std::unique_ptr<ZSTD_DCtx, free_context> context(ZSTD_createDCtx());
    if (!context) return decode_error::compression;
    const std::size_t got =
        ZSTD_decompressDCtx(context.get(), out.data(), out.size(), compressed.data(), compressed.size());
    if (ZSTD_isError(got) != 0) return decode_error::compression;
    return got == out.size() ? decode_error::none : decode_error::wrong_length;
}

}  // namespace

const char* text_of(decode_error error) noexcept {
    switch (error) {
        case decode_error::none:
            return "no error";
        case decode_error::checksum:
            return "checksum mismatch";
        case decode_error::compression:
            return "the compressed data is damaged";
        case decode_error::wrong_length:
            return "it decompresses to the wrong length";
    }
    return "";
}

decode_error decode_block(const parameters& info, const_bytes stored, mutable_bytes out) noexcept {
    if (info.verify) {
        const auto compressed = stored.first(stored.size() - block_crc_bytes);
        const auto wanted = load<boost::endian::little_uint32_t>(stored, compressed.size());
        if (crc32c_raw(compressed, block_crc_seed) != wanted) return decode_error::checksum;
        stored = compressed;
    }
    return info.algo == algorithm::lz4 ? decode_lz4(stored, out) : decode_zstd(stored, out);
}

}  // namespace obd::layers::zfile

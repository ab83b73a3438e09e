#include "layers/write/zfile_writer.hpp"

#include <algorithm>
#include <array>

#include "base/crc32c.hpp"
#include "base/limits.hpp"

namespace obd::layers {
namespace {

constexpr std::size_t batch_bytes = 256 << 10;  // large enough that a hand-over costs nothing, small enough for a cache
constexpr std::uint64_t reference_read_buffer_bytes = 65536;

using header_space = std::array<std::byte, zfile::header_space_bytes>;

/// Index fields: zero while they are not known.
struct index_facts {
    std::uint64_t offset = 0;
    std::uint64_t blocks = 0;
    std::uint64_t plain_bytes = 0;
    std::uint32_t crc = 0;
};

header_space make_header(const zfile_options& options, std::uint64_t flags, const index_facts& index) {
    zfile::header_trailer h{};
    h.magic0 = zfile::magic0;
    h.magic1 = zfile::magic1;
    h.size = zfile::header_struct_bytes;
    h.flags = flags;
    h.index_offset = index.offset;
    h.index_size = index.blocks;
    h.original_file_size = index.plain_bytes;
    h.index_crc = index.crc;
    h.block_size = options.block_bytes;
    h.algo = static_cast<std::uint8_t>(options.algo);
    h.verify = options.checksums ? 1 : 0;
    header_space space{};
    store(space, h);
    h.digest = crc32c_raw(space, 0);
    store(space, h);
    return space;
}

namespace flags = zfile::flag;
constexpr std::uint64_t first_header = flags::header | flags::data_file | flags::digest;
constexpr std::uint64_t final_header = first_header | flags::header_overwrite;
constexpr std::uint64_t trailer = flags::data_file | flags::sealed | flags::digest;

}  // namespace

result<std::unique_ptr<zfile_writer>> zfile_writer::begin(byte_sink& to, const zfile_options& options,
                                                          zfile_index_at where) {
    TRYV(check(options));
    std::unique_ptr<zfile_writer> writer(new zfile_writer(to, options, where));
    TRYV(to.write(make_header(options, first_header, {})));
    return writer;
}

zfile_writer::zfile_writer(byte_sink& to, const zfile_options& options, zfile_index_at where)
    : to_(to), options_(options), where_(where), compressor_(options) {
    filling_ = fresh_batch();
    totals_.stored = {zfile::header_space_bytes};
}

std::unique_ptr<block_batch> zfile_writer::fresh_batch() {
    auto batch = spare_ ? std::move(spare_) : std::make_unique<block_batch>();
    batch->plain.clear();
    batch->plain.reserve(batch_bytes);
    return batch;
}

result<void> zfile_writer::write(const_bytes bytes) {
    totals_.plain.value += bytes.size();
    while (!bytes.empty()) {
        const auto part = std::min(bytes.size(), batch_bytes - filling_->plain.size());
        const auto front = bytes.first(part);
        filling_->plain.insert(filling_->plain.end(), front.begin(), front.end());
        bytes = bytes.subspan(part);
        if (filling_->plain.size() == batch_bytes) {
            TRYV(push_batch());
        }
    }
    return {};
}

result<void> zfile_writer::push_batch() {
    if (compressor_.full()) {
        TRYV(write_oldest());
    }
    compressor_.push(std::move(filling_));
    filling_ = fresh_batch();
    return {};
}

result<void> zfile_writer::write_oldest() {
    auto batch = compressor_.pop();
    if (lengths_.size() + batch->lengths.size() > limits::zfile_blocks) {
        return fail(errc::limit_exceeded, "a ZFile of more than " + std::to_string(limits::zfile_blocks) + " blocks");
    }
    lengths_.insert(lengths_.end(), batch->lengths.begin(), batch->lengths.end());
    const auto crc_bytes = options_.checksums ? zfile::block_crc_bytes : 0;
    totals_.oversized_blocks += static_cast<std::uint64_t>(
        std::count_if(batch->lengths.begin(), batch->lengths.end(),
                      [&](std::uint32_t length) { return length - crc_bytes > reference_read_buffer_bytes; }));
    totals_.stored.value += batch->stored.size();
    TRYV(to_.write(batch->stored));
    spare_ = std::move(batch);
    return {};
}

result<zfile_totals> zfile_writer::finish() {
    if (!filling_->plain.empty()) {
        TRYV(push_batch());
    }
    while (!compressor_.empty()) {
        TRYV(write_oldest());
    }

    byte_writer index;
    for (const auto length : lengths_) index.little(length);
    const index_facts facts{.offset = totals_.stored.value,
                            .blocks = lengths_.size(),
                            .plain_bytes = totals_.plain.value,
                            .crc = crc32c_raw(index.written(), 0)};
    TRYV(to_.write(index.written()));
    TRYV(to_.write(make_header(options_, trailer, facts)));
    if (where_ == zfile_index_at::header_and_trailer) {
        TRYV(to_.overwrite({0}, make_header(options_, final_header, facts)));
    }
    totals_.blocks = lengths_.size();
    totals_.stored.value += index.size() + zfile::header_space_bytes;
    return totals_;
}

}  // namespace obd::layers

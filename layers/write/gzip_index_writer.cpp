#include "layers/write/gzip_index_writer.hpp"

#include <zlib.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "base/crc32c.hpp"

namespace obd::layers {
namespace {

constexpr int compression_level = 6;
// inflate() with Z_BLOCK tells in data_type: between two blocks; in the last block of a member; bits left over.
constexpr int at_block_boundary = 128;
constexpr int in_last_block = 64;
constexpr int left_over_bits = 7;

result<std::vector<std::byte>> compressed(const_bytes plain) {
    uLongf length = ::compressBound(plain.size());
    std::vector<std::byte> packed(length);
    const auto code = ::compress2(reinterpret_cast<Bytef*>(packed.data()), &length,
                                  reinterpret_cast<const Bytef*>(plain.data()), plain.size(), compression_level);
    if (code != Z_OK) return fail(errc::io_error, "zlib: " + std::to_string(code));
    packed.resize(length);
    return packed;
}

}  // namespace

class gzip_index_writer::state {
public:
    state(byte_sink& to, std::uint64_t span_bytes) : to_(to), span_(span_bytes), window_(gzip::window_bytes) {
        ready_ = ::inflateInit2(&stream_, 16 + MAX_WBITS) == Z_OK;
    }
    ~state() {
        if (ready_) ::inflateEnd(&stream_);
    }

    result<void> begin() {
        if (!ready_) return fail(errc::io_error, "zlib");
        return to_.write(bytes_of(gzip::index_header{}));
    }
    result<void> packed(const_bytes bytes);
    result<totals> finish();

private:
    result<void> step(int& code);
    result<void> add_place();
    result<void> write_header(byte_count entries_bytes);

    byte_sink& to_;
    const std::uint64_t span_;
    z_stream stream_{};
    bool ready_ = false;
    bool member_begun_ = false;  ///< something of the present member was seen
    bool member_ended_ = false;
    bool trailing_ = false;  ///< behind the last member: padding
    std::uint64_t packed_ = 0;
    std::uint64_t plain_ = 0;
    std::uint64_t next_place_ = 0;   ///< the first block that begins here or behind becomes a place
    std::vector<std::byte> window_;  ///< the last 32 KiB of plain bytes, as a ring
    std::size_t filled_ = 0;         ///< where in the ring the next byte goes
    std::vector<gzip::index_entry> entries_;
    std::uint64_t written_ = sizeof(gzip::index_header);
};

result<void> gzip_index_writer::state::add_place() {
    // Of the same plain byte the later place is as good: an empty block lies between.
    std::vector<std::byte> ordered(window_.begin() + static_cast<std::ptrdiff_t>(filled_), window_.end());
    ordered.insert(ordered.end(), window_.begin(), window_.begin() + static_cast<std::ptrdiff_t>(filled_));
    TRY(const auto window, compressed(ordered));
    TRYV(to_.write(window));
    gzip::index_entry entry{};
    entry.plain = plain_;
    entry.packed = packed_;
    entry.bits = static_cast<std::uint8_t>(stream_.data_type & left_over_bits);
    entry.window_offset = written_;
    entry.window_size = static_cast<std::uint32_t>(window.size());
    written_ += window.size();
    if (!entries_.empty() && entries_.back().plain == plain_)
        entries_.back() = entry;
    else
        entries_.push_back(entry);
    next_place_ = plain_ + span_;
    return {};
}

/// Decompresses up to the next block boundary, the end of the input or of the ring.
result<void> gzip_index_writer::state::step(int& code) {
    if (filled_ == window_.size()) filled_ = 0;
    stream_.next_out = reinterpret_cast<Bytef*>(window_.data() + filled_);
    stream_.avail_out = static_cast<uInt>(window_.size() - filled_);
    const auto in = stream_.avail_in;
    const auto out = stream_.avail_out;
    code = ::inflate(&stream_, Z_BLOCK);
    packed_ += in - stream_.avail_in;
    plain_ += out - stream_.avail_out;
    filled_ += out - stream_.avail_out;
    if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR)
        return fail(errc::corrupt, "gzip data damaged at byte " + std::to_string(packed_));
    const bool boundary = (stream_.data_type & at_block_boundary) != 0 && (stream_.data_type & in_last_block) == 0;
    if (code == Z_OK && boundary && plain_ >= next_place_) return add_place();
    return {};
}

result<void> gzip_index_writer::state::packed(const_bytes bytes) {
    while (!bytes.empty()) {
        if (member_ended_) {
            // Another member, or zeros that fill up a tape block.
            trailing_ = trailing_ || bytes.front() == std::byte{0};
            if (trailing_) {
                packed_ += bytes.size();
                return {};
            }
            ::inflateReset(&stream_);
            member_ended_ = false;
            next_place_ = plain_;
        }
        member_begun_ = true;
        const auto part = bytes.first(std::min<std::size_t>(bytes.size(), 1u << 30));
        stream_.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(part.data()));
        stream_.avail_in = static_cast<uInt>(part.size());
        int code = Z_OK;
        bool full = true;
        while ((stream_.avail_in != 0 || full) && code != Z_STREAM_END) {
            TRYV(step(code));
            full = stream_.avail_out == 0;
            if (code == Z_BUF_ERROR && !full) break;
        }
        member_ended_ = code == Z_STREAM_END;
        bytes = bytes.subspan(part.size() - stream_.avail_in);
    }
    return {};
}

result<void> gzip_index_writer::state::write_header(byte_count entries_bytes) {
    gzip::index_header header{};
    header.magic = gzip::index_magic;
    header.major_version = gzip::index_major;
    header.coding = static_cast<std::uint8_t>(gzip::window_coding::zlib);
    header.level = compression_level;
    header.span = static_cast<std::int32_t>(span_);
    header.window = static_cast<std::int32_t>(gzip::window_bytes);
    header.entry_size = static_cast<std::int32_t>(sizeof(gzip::index_entry));
    header.entries = entries_.size();
    header.gzip_size = packed_;
    header.index_size = written_ + entries_bytes.value;
    header.plain_size = plain_;
    header.entries_offset = written_;
    header.entries_bytes = entries_bytes.value;
    header.crc = crc32c_raw(bytes_of(header).first(offsetof(gzip::index_header, crc)), 0);
    return to_.overwrite({0}, bytes_of(header));
}

result<gzip_index_writer::totals> gzip_index_writer::state::finish() {
    if (!member_begun_ || !member_ended_) return fail(errc::corrupt, "the gzip file is cut off");
    TRY(const auto packed, compressed(std::as_bytes(std::span(entries_))));
    TRYV(to_.write(packed));
    TRYV(write_header({packed.size()}));
    return totals{.gzip_size = {packed_}, .plain_size = {plain_}, .places = entries_.size()};
}

gzip_index_writer::gzip_index_writer(std::unique_ptr<state> with) : state_(std::move(with)) {}
gzip_index_writer::~gzip_index_writer() = default;

result<std::unique_ptr<gzip_index_writer>> gzip_index_writer::begin(byte_sink& to, std::uint64_t span_bytes) {
    auto with = std::make_unique<state>(to, span_bytes);
    TRYV(with->begin());
    return std::unique_ptr<gzip_index_writer>(new gzip_index_writer(std::move(with)));
}

result<void> gzip_index_writer::packed(const_bytes bytes) {
    return state_->packed(bytes);
}
result<gzip_index_writer::totals> gzip_index_writer::finish() {
    return state_->finish();
}

}  // namespace obd::layers

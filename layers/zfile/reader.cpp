#include "layers/zfile/reader.hpp"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "layers/concurrent.hpp"
#include "layers/zfile/decoded_blocks.hpp"

namespace obd::layers::zfile {
namespace {

/// A worker decodes this much content in one go.
constexpr std::size_t chunk_bytes = 128 << 10;
/// The stored form of what try_chunk takes: chunk_bytes and the rest of the blocks at both ends.
constexpr std::size_t stored_scratch_bytes =
    std::size_t{max_stored_block_bytes(max_block_bytes)} * (chunk_bytes / max_block_bytes + 2);
/// The index of a file is read in pieces of this size.
constexpr std::uint64_t index_piece_bytes = 1 << 20;
constexpr int tries_on_bad_data = 4;

std::uint64_t next_reader_id() {
    static std::atomic<std::uint64_t> last{0};
    return ++last;
}

std::byte* stored_scratch() {
    thread_local const auto bytes = std::make_unique_for_overwrite<std::byte[]>(stored_scratch_bytes);
    return bytes.get();
}

asio::awaitable<result<jump_table>> read_jump_table(std::shared_ptr<blob_source> source, parameters info) {
    jump_table_builder builder(info);
    const std::uint64_t total = info.blocks * sizeof(std::uint32_t);
    std::vector<std::byte> piece(std::min(total, index_piece_bytes));
    for (std::uint64_t done = 0; done < total;) {
        const auto part = mutable_bytes(piece).first(std::min(total - done, index_piece_bytes));
        const byte_offset offset{info.index_offset + done};
        CO_TRYV(co_await source->read(offset, part));
        CO_TRYV(builder.append(part));
        done += part.size();
    }
    co_return std::move(builder).finish();
}

}  // namespace

decoded_blocks::decoded_blocks() : bytes_(new std::byte[slot_count * max_block_bytes]) {}

decoded_blocks& decoded_blocks::of_this_thread() {
    thread_local decoded_blocks blocks;
    return blocks;
}

asio::awaitable<result<std::shared_ptr<reader>>> reader::open(std::shared_ptr<blob_source> source,
                                                              worker_pool& workers) {
    const byte_count size = source->size();
    if (size.value < header_space_bytes) co_return fail(errc::corrupt, "zfile shorter than its header");
    std::vector<std::byte> block(header_space_bytes);
    const mutable_bytes space(block);
    const byte_offset start{0};
    CO_TRYV(co_await source->read(start, space));
    CO_TRY(auto info, decode_header(space, size));
    if (!info) {
        if (size.value < 2 * header_space_bytes) co_return fail(errc::corrupt, "zfile too short for a trailer");
        const byte_offset trailer_offset{size.value - header_space_bytes};
        CO_TRYV(co_await source->read(trailer_offset, space));
        CO_TRY(info, decode_trailer(space, size));
    }
    CO_TRY(auto table, co_await read_jump_table(source, *info));
    co_return std::make_shared<reader>(std::move(source), workers, *info, std::move(table));
}

reader::reader(std::shared_ptr<blob_source> source, worker_pool& workers, const parameters& info, jump_table table)
    : source_(std::move(source)),
      workers_(workers),
      info_(info),
      table_(std::move(table)),
      id_(next_reader_id()),
      block_shift_(static_cast<unsigned>(std::countr_zero(info.block_bytes))) {}

/// REQUIRES: out is not empty and lies within the content.
reader::chunk reader::chunk_at(byte_offset offset, mutable_bytes out) const noexcept {
    return {.first_block = offset.value >> block_shift_,
            .end_block = ((offset.value + out.size() - 1) >> block_shift_) + 1,
            .offset = offset,
            .out = out};
}

reader::stored_range reader::stored_of(std::uint64_t first_block, std::uint64_t end_block) const noexcept {
    const std::uint64_t start = table_.offset_of(first_block);
    return {.offset = {start}, .count = {table_.offset_of(end_block) - start}};
}

std::uint32_t reader::content_bytes(std::uint64_t block) const noexcept {
    const std::uint64_t start = block << block_shift_;
    return static_cast<std::uint32_t>(std::min<std::uint64_t>(info_.block_bytes, info_.original_size.value - start));
}

/// Serves the parts of blocks at both ends of `what` from the thread's decoded blocks, where they are there, and takes
/// them off. True when nothing is left.
bool reader::take_decoded(chunk& what) const noexcept {
    auto& decoded = decoded_blocks::of_this_thread();
    const std::uint64_t skip = what.offset.value - (what.first_block << block_shift_);
    const std::uint64_t head = std::min<std::uint64_t>(content_bytes(what.first_block) - skip, what.out.size());
    if (head < content_bytes(what.first_block)) {
        if (const std::byte* bytes = decoded.find({id_, what.first_block}); bytes != nullptr) {
            std::memcpy(what.out.data(), bytes + skip, head);
            what.out = what.out.subspan(head);
            what.offset.value += head;
            ++what.first_block;
            if (what.out.empty()) return true;
        }
    }
    const std::uint64_t last = what.end_block - 1;
    const std::uint64_t last_start = last << block_shift_;
    if (last_start < what.offset.value) return false;  // the same block as the head, which was not there
    const std::uint64_t tail = what.offset.value + what.out.size() - last_start;
    if (tail < content_bytes(last)) {
        if (const std::byte* bytes = decoded.find({id_, last}); bytes != nullptr) {
            std::memcpy(what.out.data() + (what.out.size() - tail), bytes, tail);
            what.out = what.out.first(what.out.size() - tail);
            --what.end_block;
        }
    }
    return what.out.empty();
}

/// `stored` is stored_of(first_block, end_block). Whole blocks decode into `out`, parts by way of the thread's blocks.
std::optional<reader::bad_block> reader::decode(const chunk& what, const_bytes stored) const noexcept {
    mutable_bytes out = what.out;
    std::uint64_t skip = what.offset.value - (what.first_block << block_shift_);
    for (std::uint64_t block = what.first_block; block < what.end_block; ++block) {
        const std::uint32_t content = content_bytes(block);
        const auto coded = stored.first(table_.stored_bytes(block));
        const std::size_t wanted = std::min<std::size_t>(content - skip, out.size());
        decode_error error = decode_error::none;
        if (wanted == content) {
            error = decode_block(info_, coded, out.first(content));
        } else {
            auto& decoded = decoded_blocks::of_this_thread();
            const decoded_blocks::key which{id_, block};
            std::byte* space = decoded.prepare(which);
            error = decode_block(info_, coded, {space, content});
            if (error == decode_error::none) {
                decoded.commit(which);
                std::memcpy(out.data(), space + skip, wanted);
            }
        }
        if (error != decode_error::none) return bad_block{.number = block, .reason = error};
        stored = stored.subspan(coded.size());
        out = out.subspan(wanted);
        skip = 0;
    }
    return std::nullopt;
}

/// In place, on this thread. REQUIRES: what.out is at most chunk_bytes long.
attempt reader::try_chunk(const chunk& what) const noexcept {
    const auto range = stored_of(what.first_block, what.end_block);
    if (range.count.value > stored_scratch_bytes) return attempt::would_block;
    const mutable_bytes stored(stored_scratch(), range.count.value);
    if (source_->try_read(range.offset, stored) == attempt::would_block) return attempt::would_block;
    // What is wrong with a bad block, read() finds out anew and says.
    return decode(what, stored) ? attempt::would_block : attempt::complete;
}

attempt reader::try_read(byte_offset offset, mutable_bytes out) noexcept {
    if (out.size() > in_place_bytes || !within(offset, {out.size()}, size())) return attempt::would_block;
    if (out.empty()) return attempt::complete;
    chunk what = chunk_at(offset, out);
    if (take_decoded(what)) return attempt::complete;
    return try_chunk(what);
}

asio::awaitable<result<void>> reader::read(byte_offset offset, mutable_bytes out) {
    if (!within(offset, {out.size()}, size())) {
        co_return fail(errc::out_of_range, "read of " + std::to_string(out.size()) + " bytes at " +
                                               std::to_string(offset.value) + " in a zfile of " +
                                               std::to_string(size().value));
    }
    if (out.empty()) co_return result<void>();
    if (out.size() <= in_place_bytes) {
        const chunk whole = chunk_at(offset, out);
        co_return co_await read_chunk(whole);
    }

    std::vector<asio::awaitable<result<void>>> parts;
    while (!out.empty()) {
        // Parts end at block boundaries, so that no block is decoded twice.
        const std::uint64_t end = align_down(offset.value + chunk_bytes, info_.block_bytes);
        const auto part = out.first(std::min<std::size_t>(end - offset.value, out.size()));
        parts.push_back(read_on_workers(chunk_at(offset, part)));
        offset.value += part.size();
        out = out.subspan(part.size());
    }
    co_return co_await run_all(std::move(parts));
}

asio::awaitable<result<void>> reader::read_on_workers(chunk what) {
    auto work = [this, what] { return try_chunk(what); };
    const attempt done = co_await workers_.run(std::move(work));
    if (done == attempt::complete) co_return result<void>();
    co_return co_await read_chunk(what);
}

asio::awaitable<result<void>> reader::read_chunk(chunk what) {
    for (int attempts_left = tries_on_bad_data;; --attempts_left) {
        CO_TRY(const auto bad, co_await read_chunk_once(what));
        if (!bad) co_return result<void>();
        const auto range = stored_of(bad->number, bad->number + 1);
        if (attempts_left > 1 && source_->discard_cached(range.offset, range.count)) continue;
        co_return fail(errc::corrupt, "zfile block " + std::to_string(bad->number) + " at byte " +
                                          std::to_string(range.offset.value) + ": " + text_of(bad->reason));
    }
}

asio::awaitable<result<std::optional<reader::bad_block>>> reader::read_chunk_once(chunk what) {
    const auto range = stored_of(what.first_block, what.end_block);
    std::vector<std::byte> bytes(range.count.value);
    const mutable_bytes stored(bytes);
    if (source_->try_read(range.offset, stored) == attempt::would_block) {
        CO_TRYV(co_await source_->read(range.offset, stored));
    }
    if (what.out.size() <= in_place_bytes) co_return decode(what, stored);
    auto work = [this, what, stored] { return decode(what, stored); };
    const auto bad = co_await workers_.run(std::move(work));
    co_return bad;
}

bool reader::discard_cached(byte_offset offset, byte_count count) noexcept {
    if (count.value == 0 || !within(offset, count, size())) return false;
    const auto range = stored_of(offset.value >> block_shift_, ((offset.value + count.value - 1) >> block_shift_) + 1);
    return source_->discard_cached(range.offset, range.count);
}

void reader::prefetch(byte_offset offset, byte_count count) noexcept {
    if (offset.value >= size().value || count.value == 0) return;
    const std::uint64_t last = std::min(count.value, size().value - offset.value) + offset.value - 1;
    const auto range = stored_of(offset.value >> block_shift_, (last >> block_shift_) + 1);
    source_->prefetch(range.offset, range.count);
}

}  // namespace obd::layers::zfile

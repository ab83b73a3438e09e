#include "layers/gzip/source.hpp"

#include <zlib.h>

#include <algorithm>
#include <string>

namespace obd::layers::gzip {
namespace {

/// Raw DEFLATE that begins in the middle of a byte and of a history.
struct span_input {
    const_bytes packed;  ///< with the byte that holds the first bits in front, if there are any
    std::uint8_t bits;
    const_bytes window;
    std::size_t plain_bytes;
};

class raw_inflater {
public:
    raw_inflater() : ready_(::inflateInit2(&stream_, -MAX_WBITS) == Z_OK) {}
    ~raw_inflater() {
        if (ready_) ::inflateEnd(&stream_);
    }
    raw_inflater(const raw_inflater&) = delete;
    raw_inflater& operator=(const raw_inflater&) = delete;

    result<std::vector<std::byte>> run(const span_input& input) {
        if (!ready_) return fail(errc::io_error, "zlib");
        auto packed = input.packed;
        if (input.bits != 0) {
            ::inflatePrime(&stream_, input.bits, std::to_integer<int>(packed.front()) >> (8 - input.bits));
            packed = packed.subspan(1);
        }
        ::inflateSetDictionary(&stream_, reinterpret_cast<const Bytef*>(input.window.data()),
                               static_cast<uInt>(input.window.size()));
        std::vector<std::byte> plain(input.plain_bytes);
        stream_.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(packed.data()));
        stream_.avail_in = static_cast<uInt>(packed.size());
        stream_.next_out = reinterpret_cast<Bytef*>(plain.data());
        stream_.avail_out = static_cast<uInt>(plain.size());
        const auto code = ::inflate(&stream_, Z_SYNC_FLUSH);
        if ((code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR) || stream_.avail_out != 0)
            return fail(errc::corrupt, "damaged gzip data, or not the file that the index is for");
        return plain;
    }

private:
    z_stream stream_{};
    bool ready_;
};

}  // namespace

asio::awaitable<result<std::shared_ptr<blob_source>>> source::open(std::shared_ptr<blob_source> gzip_file,
                                                                   std::shared_ptr<blob_source> index_file,
                                                                   worker_pool& workers) {
    auto found = co_await read_index(*index_file, gzip_file->size());
    if (!found) co_return in_context(std::move(found).error(), std::string(index_file->name()));
    std::shared_ptr<blob_source> opened(
        new source(std::move(gzip_file), std::move(index_file), *std::move(found), workers));
    co_return opened;
}

std::size_t source::span_of(std::uint64_t plain) const noexcept {
    const auto& points = index_.points;
    const auto behind = std::upper_bound(points.begin(), points.end(), plain,
                                         [](std::uint64_t at, const access_point& point) { return at < point.plain; });
    return static_cast<std::size_t>(behind - points.begin()) - 1;  // the first place is at 0
}

std::uint64_t source::plain_end(std::size_t span) const noexcept {
    return span + 1 < index_.points.size() ? index_.points[span + 1].plain : index_.plain_size.value;
}

std::uint64_t source::packed_end(std::size_t span) const noexcept {
    return span + 1 < index_.points.size() ? index_.points[span + 1].packed : index_.gzip_size.value;
}

source::bytes source::cached(std::size_t span) {
    const std::lock_guard lock(mutex_);
    const auto found = std::ranges::find(kept_, span, &std::pair<std::size_t, bytes>::first);
    if (found == kept_.end()) return nullptr;
    kept_.splice(kept_.begin(), kept_, found);
    return kept_.front().second;
}

void source::keep(std::size_t span, bytes content) {
    const std::lock_guard lock(mutex_);
    kept_.emplace_front(span, std::move(content));
    if (kept_.size() > spans_kept) kept_.pop_back();
}

attempt source::try_read(byte_offset offset, mutable_bytes out) noexcept {
    if (out.empty() || !within(offset, {out.size()}, size())) return attempt::would_block;
    const auto span = span_of(offset.value);
    if (offset.value + out.size() > plain_end(span)) return attempt::would_block;
    const std::unique_lock lock(mutex_, std::try_to_lock);
    if (!lock.owns_lock()) return attempt::would_block;
    for (const auto& [number, content] : kept_) {
        if (number != span) continue;
        std::copy_n(content->begin() + static_cast<std::ptrdiff_t>(offset.value - index_.points[span].plain),
                    out.size(), out.begin());
        return attempt::complete;
    }
    return attempt::would_block;
}

asio::awaitable<result<source::bytes>> source::decode(std::size_t span) {
    const auto& point = index_.points[span];
    std::vector<std::byte> raw_window(point.window_size);
    const mutable_bytes window_space(raw_window);
    const byte_offset window_at{point.window_offset};
    CO_TRYV(co_await index_file_->read(window_at, window_space));
    const auto begin = point.packed - (point.bits != 0 ? 1 : 0);
    std::vector<std::byte> packed(packed_end(span) - begin);
    const mutable_bytes packed_space(packed);
    const byte_offset packed_at{begin};
    CO_TRYV(co_await gzip_->read(packed_at, packed_space));
    auto work = [&]() -> result<bytes> {
        TRY(const auto window, decode_window(index_.coding, raw_window));
        const span_input input{.packed = packed,
                               .bits = point.bits,
                               .window = window,
                               .plain_bytes = static_cast<std::size_t>(plain_end(span) - point.plain)};
        if (input.bits != 0 && packed.empty()) return fail(errc::corrupt, "gzip index: an empty span");
        raw_inflater inflater;
        TRY(auto plain, inflater.run(input));
        return std::make_shared<const std::vector<std::byte>>(std::move(plain));
    };
    co_return co_await workers_.run(std::move(work));
}

asio::awaitable<result<void>> source::read(byte_offset offset, mutable_bytes out) {
    if (!within(offset, {out.size()}, size())) {
        co_return fail(errc::out_of_range, std::string(name()) + ": bytes " + std::to_string(offset.value) + "+" +
                                               std::to_string(out.size()) + " of " + std::to_string(size().value));
    }
    while (!out.empty()) {
        const auto span = span_of(offset.value);
        auto content = cached(span);
        if (!content) {
            auto decoded = co_await decode(span);
            if (!decoded) co_return in_context(std::move(decoded).error(), std::string(name()));
            content = *std::move(decoded);
            keep(span, content);
        }
        const auto skip = offset.value - index_.points[span].plain;
        const auto count = std::min<std::size_t>(out.size(), content->size() - skip);
        std::copy_n(content->begin() + static_cast<std::ptrdiff_t>(skip), count, out.begin());
        out = out.subspan(count);
        offset = offset + byte_count{count};
    }
    co_return result<void>();
}

bool source::discard_cached(byte_offset, byte_count) noexcept {
    {
        const std::lock_guard lock(mutex_);
        kept_.clear();
    }
    return gzip_->discard_cached({0}, gzip_->size());
}

void source::prefetch(byte_offset offset, byte_count count) noexcept {
    if (count.value == 0 || !within(offset, count, size())) return;
    const auto first = index_.points[span_of(offset.value)].packed;
    const auto last = packed_end(span_of(offset.value + count.value - 1));
    gzip_->prefetch({first}, {last - first});
}

}  // namespace obd::layers::gzip

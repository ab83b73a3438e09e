#include "layers/read_stack.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/digest.hpp"
#include "layers/concurrent.hpp"

namespace obd::layers {
namespace {

/// As much compressed content as one operation decodes on the caller's thread.
constexpr std::size_t in_place_decode_bytes = 64 << 10;
constexpr std::size_t prefetch_piece_bytes = 1 << 20;

sector_range sectors_of(byte_offset offset, std::uint64_t bytes) {
    return {.start = sector_of(offset), .length = bytes / sector_bytes};
}

byte_count size_of_stack(std::span<const std::shared_ptr<const opened_layer>> layers) {
    for (auto layer = layers.rbegin(); layer != layers.rend(); ++layer) {
        const std::uint64_t size = (*layer)->lsmt->virtual_size().value;
        if (size > 0) return {align_down(size, sector_bytes)};
    }
    return {0};
}

}  // namespace

/// A piece of a read that could not be done in place.
struct read_stack::job {
    const opened_layer* layer;
    blob_source* source;
    sector where;  ///< on the disk, for messages
    byte_offset offset;
    mutable_bytes out;
};

result<std::shared_ptr<const read_stack>> read_stack::build(std::vector<std::shared_ptr<const opened_layer>> layers) {
    std::vector<std::span<const lsmt::packed_mapping>> indexes;
    indexes.reserve(layers.size());
    for (const auto& layer : layers) indexes.push_back(layer->lsmt->mappings());
    TRY(auto index, merged_index::build(indexes));
    return std::make_shared<const read_stack>(std::move(layers), std::move(index));
}

read_stack::read_stack(std::vector<std::shared_ptr<const opened_layer>> layers, merged_index index)
    : layers_(std::move(layers)), index_(std::move(index)), size_(size_of_stack(layers_)) {
    for (const auto& layer : layers_) sources_.push_back({&layer->lsmt->source(), layer->compressed});
}

std::vector<layer_summary> read_stack::summaries() const {
    std::vector<layer_summary> all;
    all.reserve(layers_.size());
    for (const auto& layer : layers_) {
        all.push_back(
            {.name = layer->name, .size = layer->blob->size(), .form = layer->form, .fetched = layer->blob->fetched()});
    }
    return all;
}

std::array<std::byte, 32> read_stack::identity() const {
    sha256 hash;
    for (const auto& layer : layers_) hash.update(layer->identity);
    return std::move(hash).finish();
}

attempt read_stack::try_read(byte_offset offset, mutable_bytes out) const noexcept {
    auto cursor = index_.lookup(sectors_of(offset, out.size()));
    std::size_t decode_left = in_place_decode_bytes;
    segment part;
    while (cursor.next(part)) {
        const auto piece = out.first(part.length * sector_bytes);
        out = out.subspan(piece.size());
        if (part.state != segment::kind::data) {
            std::memset(piece.data(), 0, piece.size());
            continue;
        }
        const layer_source& layer = sources_[part.layer];
        if (layer.compressed) {
            if (piece.size() > decode_left) return attempt::would_block;
            decode_left -= piece.size();
        }
        if (layer.source->try_read(to_bytes(part.moffset), piece) == attempt::would_block) return attempt::would_block;
    }
    return attempt::complete;
}

/// Does what can be done in place, and asks for all of the rest before any of it is waited for.
std::vector<read_stack::job> read_stack::missing_parts(byte_offset offset, mutable_bytes out) const {
    std::vector<job> jobs;
    auto cursor = index_.lookup(sectors_of(offset, out.size()));
    std::size_t decode_left = in_place_decode_bytes;
    segment part;
    while (cursor.next(part)) {
        const auto piece = out.first(part.length * sector_bytes);
        out = out.subspan(piece.size());
        if (part.state != segment::kind::data) {
            std::memset(piece.data(), 0, piece.size());
            continue;
        }
        const layer_source& layer = sources_[part.layer];
        const byte_offset place = to_bytes(part.moffset);
        const bool in_place = !layer.compressed || piece.size() <= decode_left;
        if (in_place && layer.source->try_read(place, piece) == attempt::complete) {
            if (layer.compressed) decode_left -= piece.size();
            continue;
        }
        jobs.push_back({.layer = layers_[part.layer].get(),
                        .source = layer.source,
                        .where = part.start,
                        .offset = place,
                        .out = piece});
    }
    if (jobs.size() > 1) {
        for (const job& one : jobs) one.source->prefetch(one.offset, {one.out.size()});
    }
    return jobs;
}

asio::awaitable<result<void>> read_stack::read_part(job part) const {
    auto done = co_await part.source->read(part.offset, part.out);
    if (!done) {
        co_return in_context(std::move(done).error(),
                             "layer " + part.layer->name + " sector " + std::to_string(part.where.value));
    }
    co_return result<void>();
}

/// One lane: takes the next job as long as there is one.
asio::awaitable<result<void>> read_stack::read_parts(std::span<const job> jobs, std::atomic<std::size_t>& next) const {
    for (std::size_t i = next++; i < jobs.size(); i = next++) {
        const job& part = jobs[i];
        CO_TRYV(co_await read_part(part));
    }
    co_return result<void>();
}

asio::awaitable<result<void>> read_stack::read(byte_offset offset, mutable_bytes out) const {
    const std::vector<job> jobs = missing_parts(offset, out);
    if (jobs.empty()) co_return result<void>();
    if (jobs.size() == 1) {
        const job& only = jobs.front();
        co_return co_await read_part(only);
    }
    std::atomic<std::size_t> next{0};
    std::vector<asio::awaitable<result<void>>> lanes;
    const std::size_t count = std::min(jobs.size(), lanes_per_operation);
    for (std::size_t i = 0; i < count; ++i) lanes.push_back(read_parts(jobs, next));
    co_return co_await run_all(std::move(lanes));
}

std::vector<device_extent> read_stack::extents(byte_offset offset, byte_count count, std::size_t limit) const {
    std::vector<device_extent> found;
    auto cursor = index_.lookup(sectors_of(offset, count.value));
    segment part;
    while (cursor.next(part)) {
        const auto kind =
            part.state == segment::kind::data ? device_extent::kind::data : device_extent::kind::deallocated;
        const byte_count length{part.length * sector_bytes};
        if (!found.empty() && found.back().state == kind) {
            found.back().length = found.back().length + length;
            continue;
        }
        if (found.size() == limit) break;
        found.push_back({.offset = to_bytes(part.start), .length = length, .state = kind});
    }
    return found;
}

asio::awaitable<result<void>> read_stack::prefetch(byte_offset offset, byte_count count) const {
    auto cursor = index_.lookup(sectors_of(offset, count.value));
    segment part;
    while (cursor.next(part)) {
        if (part.state != segment::kind::data) continue;
        sources_[part.layer].source->prefetch(to_bytes(part.moffset), {part.length * sector_bytes});
    }
    // Reading is what tells that it has come, and that it is right.
    std::vector<std::byte> scratch(std::min<std::uint64_t>(count.value, prefetch_piece_bytes));
    while (count.value > 0) {
        const auto piece = mutable_bytes(scratch).first(std::min<std::uint64_t>(count.value, scratch.size()));
        CO_TRYV(co_await read(offset, piece));
        offset.value += piece.size();
        count.value -= piece.size();
    }
    co_return result<void>();
}

}  // namespace obd::layers

#include "layers/write/writable_device.hpp"

#include <spdlog/logger.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <thread>
#include <utility>

#include "base/digest.hpp"

namespace obd::layers {
namespace {

constexpr std::size_t parts_in_place = 64;             // a 32 KiB read of the worst fragmented range
constexpr std::size_t most_in_place_bytes = 64 << 10;  // copying more would keep the event loop from other work
constexpr auto slow_write = std::chrono::milliseconds(1);
constexpr unsigned slow_writes_that_count = 3;
constexpr auto slow_time = std::chrono::milliseconds(100);  // for which writes go to workers then

sector_range range_of(byte_offset offset, std::uint64_t bytes) {
    return {.start = sector_of(offset), .length = bytes / sector_bytes};
}

std::int64_t now_ns() {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

mutable_bytes slice(mutable_bytes of, byte_offset from, const segment& part) {
    return of.subspan(to_bytes(part.start).value - from.value, part.length * sector_bytes);
}

}  // namespace

writable_device::writable_device(std::shared_ptr<file_system> files, layer_stack stack, image_services services)
    : files_(std::move(files)),
      services_(services),
      now_(std::move(stack)),
      size_bytes_(now_.top->identity().virtual_size.value) {
    take_shape();
    auto work = [this] { return current().top->flush(); };
    flushes_ = std::make_shared<group_commit>(services_.workers, std::move(work));
}

writable_device::~writable_device() = default;

writable_device::layer_stack writable_device::current() const {
    for (;;) {
        const auto pass = reads_.try_enter();
        if (pass) return now_;
        std::this_thread::yield();  // a snapshot exchanges the stack: that is a few instructions
    }
}

void writable_device::take_shape() {
    unit_bytes_ = static_cast<std::uint32_t>(now_.top->unit_bytes());
    atomic_bytes_ = now_.top->max_atomic_write_bytes();
}

device_geometry writable_device::geometry() const noexcept {
    device_geometry shape;
    shape.size = {size_bytes_.load()};
    shape.access = access_mode::read_write;
    shape.discard_granularity_bytes = unit_bytes_.load();
    shape.physical_block_bytes = std::max(unit_bytes_.load(), shape.logical_block_bytes);
    shape.preferred_granularity_bytes = std::max(shape.preferred_granularity_bytes, shape.physical_block_bytes);
    shape.erasable = true;
    shape.max_atomic_write_bytes = atomic_bytes_.load();
    return shape;
}

std::optional<device_usage> writable_device::usage() const noexcept {
    const auto now = current();
    const auto files = now.top->usage();
    const auto quota = now.top->quota();
    device_usage all{.used = files.data + files.index};
    if (quota.value != 0) all.available = byte_count{quota.value - std::min(quota.value, all.used.value)};
    return all;
}

result<void> writable_device::check_range(byte_offset offset, std::uint64_t count) const {
    if (closed_.load(std::memory_order_relaxed)) return fail(errc::unavailable, "the image is closed");
    if (offset.value % sector_bytes != 0 || count % sector_bytes != 0) {
        return fail(errc::invalid_argument, "not aligned to 512 bytes");
    }
    if (!within(offset, {count}, {size_bytes_.load()})) {
        return fail(errc::out_of_range, "byte " + std::to_string(offset.value) + " + " + std::to_string(count) +
                                            ", the disk has " + std::to_string(size_bytes_.load()));
    }
    return {};
}

sector_range writable_device::units_around(sector_range range) const noexcept {
    const auto unit = now_.top->unit_bytes() / sector_bytes;
    const auto bias = now_.top->unit_bias_bytes() / sector_bytes;
    const auto start = range.start.value + bias;
    const auto end = start + range.length;
    const auto grown_start = std::max(align_down(start, unit), bias) - bias;
    const auto grown_end = std::min(align_up(end, unit) - bias, size_bytes_.load() / sector_bytes);
    return {.start = {grown_start}, .length = grown_end - grown_start};
}

sector_range writable_device::units_within(sector_range range) const noexcept {
    const auto unit = now_.top->unit_bytes() / sector_bytes;
    const auto bias = now_.top->unit_bias_bytes() / sector_bytes;
    const auto end = range.start.value + range.length;
    const bool to_the_end = end == size_bytes_.load() / sector_bytes;
    const auto first = range.start.value == 0 ? 0 : align_up(range.start.value + bias, unit) - bias;
    const auto last = to_the_end ? end : std::max(align_down(end + bias, unit), bias) - bias;
    if (last <= first) return {.start = {end}, .length = 0};
    return {.start = {first}, .length = last - first};
}

bool writable_device::holds_data(sector_range range) const {
    const auto found = now_.top->index().lookup(range);
    return std::all_of(found.begin(), found.end(),
                       [](const segment& part) { return part.state == segment::kind::data; });
}

bool writable_device::reads_as_zeros(sector_range range) const {
    for (const auto& part : now_.top->index().lookup(range)) {
        if (part.state == segment::kind::data) return false;
        if (part.state == segment::kind::zeroed) continue;
        auto below = now_.lowers->index().lookup({.start = part.start, .length = part.length});
        segment lower;
        while (below.next(lower)) {
            if (lower.state == segment::kind::data) return false;
        }
    }
    return true;
}

// --- reading ---

attempt writable_device::try_read_parts(byte_offset offset, mutable_bytes out) const noexcept {
    std::array<segment, parts_in_place> parts;
    const auto count = now_.top->index().try_lookup(range_of(offset, out.size()), parts);
    if (!count) return attempt::would_block;
    for (std::size_t i = 0; i < *count; ++i) {
        const auto& part = parts[i];
        const auto target = slice(out, offset, part);
        if (part.state == segment::kind::zeroed) {
            std::memset(target.data(), 0, target.size());
            continue;
        }
        const auto done = part.state == segment::kind::data ? now_.top->data().try_read(to_bytes(part.moffset), target)
                                                            : now_.lowers->try_read(to_bytes(part.start), target);
        if (done != attempt::complete) return attempt::would_block;
    }
    return attempt::complete;
}

attempt writable_device::try_read(byte_offset offset, mutable_bytes out) noexcept {
    if (closed_.load(std::memory_order_relaxed)) return attempt::would_block;
    const auto pass = reads_.try_enter();
    if (!pass || !within(offset, {out.size()}, {size_bytes_.load()})) return attempt::would_block;
    if (now_.top->data_is_immutable()) return try_read_parts(offset, out);
    const auto lock = ranges_.try_lock(range_of(offset, out.size()), range_lock::mode::shared);
    return lock ? try_read_parts(offset, out) : attempt::would_block;
}

asio::awaitable<result<void>> writable_device::read(byte_offset offset, mutable_bytes out) {
    CO_TRYV(check_range(offset, out.size()));
    const layer_stack from = current();
    if (from.top->data_is_immutable()) co_return co_await read_parts(from, offset, out);
    const sector_range range = range_of(offset, out.size());
    const auto lock = co_await ranges_.lock(range, range_lock::mode::shared);
    co_return co_await read_parts(from, offset, out);
}

asio::awaitable<result<void>> writable_device::read_parts(const layer_stack& from, byte_offset offset,
                                                          mutable_bytes out) {
    const auto parts = from.top->index().lookup(range_of(offset, out.size()));
    CO_TRYV(co_await read_holes(*from.lowers, parts, offset, out));
    auto& data = from.top->data();
    bool missing = false;
    for (const auto& part : parts) {
        const auto target = slice(out, offset, part);
        if (part.state == segment::kind::zeroed) std::memset(target.data(), 0, target.size());
        if (part.state != segment::kind::data) continue;
        missing |= data.try_read(to_bytes(part.moffset), target) != attempt::complete;
    }
    if (!missing) co_return result<void>{};
    auto work = [&parts, offset, out, &data]() -> result<void> {
        for (const auto& part : parts) {
            if (part.state != segment::kind::data) continue;
            TRYV(data.read(to_bytes(part.moffset), slice(out, offset, part)));
        }
        return {};
    };
    co_return co_await services_.workers.run(std::move(work));
}

/// What the layers below show through. When that is most of the range it is read in one go, so that far layers are
/// asked once; the upper's parts are put over it afterwards.
asio::awaitable<result<void>> writable_device::read_holes(const read_stack& from, const std::vector<segment>& parts,
                                                          byte_offset offset, mutable_bytes out) {
    const segment* first = nullptr;
    const segment* last = nullptr;
    std::uint64_t holes = 0;
    for (const auto& part : parts) {
        if (part.state != segment::kind::hole) continue;
        if (first == nullptr) first = &part;
        last = &part;
        holes += part.length;
    }
    if (first == nullptr) co_return result<void>{};
    const auto span = last->end().value - first->start.value;
    if (holes * 2 >= span) {
        const auto begin = to_bytes(first->start).value - offset.value;
        const auto target = out.subspan(begin, span * sector_bytes);
        co_return co_await from.read(to_bytes(first->start), target);
    }
    for (const auto& part : parts) {
        if (part.state != segment::kind::hole) continue;
        const auto target = slice(out, offset, part);
        CO_TRYV(co_await from.read(to_bytes(part.start), target));
    }
    co_return result<void>{};
}

// --- writing ---

attempt writable_device::timed_try_write(sector start, const_bytes data) noexcept {
    const auto begin = now_ns();
    if (begin < in_place_from_.load(std::memory_order_relaxed)) return attempt::would_block;
    const auto done = now_.top->try_write(start, data);
    note_duration(begin);
    if (now_.top->wants_flush()) flush_in_background();
    return done;
}

/// One slow write may be the scheduler's doing; several in a row are the kernel's, that makes writers wait because the
/// page cache is full of what the disk has not taken yet. An event loop must not wait for that.
void writable_device::note_duration(std::int64_t begin_ns) noexcept {
    const auto end = now_ns();
    if (end - begin_ns < std::chrono::nanoseconds(slow_write).count()) {
        if (slow_in_a_row_.load(std::memory_order_relaxed) != 0) slow_in_a_row_.store(0, std::memory_order_relaxed);
        return;
    }
    if (slow_in_a_row_.fetch_add(1, std::memory_order_relaxed) + 1 < slow_writes_that_count) return;
    in_place_from_.store(end + std::chrono::nanoseconds(slow_time).count(), std::memory_order_relaxed);
}

attempt writable_device::try_write(byte_offset offset, const_bytes data) noexcept {
    if (closed_.load(std::memory_order_relaxed) || data.size() > most_in_place_bytes) return attempt::would_block;
    const auto pass = writes_.try_enter();
    if (!pass || !within(offset, {data.size()}, {size_bytes_.load()})) return attempt::would_block;
    const auto range = range_of(offset, data.size());
    const auto units = units_around(range);
    const auto lock = ranges_.try_lock(units, range_lock::mode::exclusive);
    if (!lock) return attempt::would_block;
    if (units.length != range.length) {
        std::array<segment, parts_in_place> found;
        const auto count = now_.top->index().try_lookup(units, found);
        if (!count) return attempt::would_block;
        const bool whole = std::all_of(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(*count),
                                       [](const segment& part) { return part.state == segment::kind::data; });
        if (!whole) return attempt::would_block;
    }
    return timed_try_write(range.start, data);
}

void writable_device::flush_in_background() {
    if (flushing_.exchange(true)) return;
    // Its own failure is remembered by the upper, and told to whoever writes or flushes next.
    services_.workers.post([self = shared_from_this(), top = now_.top] {
        static_cast<void>(top->flush());
        self->flushing_ = false;
    });
}

asio::awaitable<result<void>> writable_device::write(byte_offset offset, const_bytes data, durability when) {
    {
        const auto pass = co_await writes_.enter();
        CO_TRYV(check_range(offset, data.size()));
        const sector_range range = range_of(offset, data.size());
        const sector_range units = units_around(range);
        const auto lock = co_await ranges_.lock(units, range_lock::mode::exclusive);
        CO_TRYV(co_await put(range, data));
    }
    if (when == durability::write_back) co_return result<void>{};
    co_return co_await flush();
}

asio::awaitable<result<void>> writable_device::put(sector_range range, const_bytes data) {
    const auto units = units_around(range);
    const sector_range head{.start = units.start, .length = range.start.value - units.start.value};
    const sector end{range.start.value + range.length};
    const sector_range tail{.start = end, .length = units.start.value + units.length - end.value};
    const bool whole = holds_data(head) && holds_data(tail);
    if (!whole) co_return co_await put_filled(range, data);
    co_return co_await put_whole(range.start, data);
}

/// The rest of the units that the write touches becomes data too: as what it reads as now.
asio::awaitable<result<void>> writable_device::put_filled(sector_range range, const_bytes data) {
    const auto units = units_around(range);
    std::vector<std::byte> filled(units.length * sector_bytes);
    const auto front = (range.start.value - units.start.value) * sector_bytes;
    const auto back = front + data.size();
    const auto head = mutable_bytes(filled).first(front);
    const auto tail = mutable_bytes(filled).subspan(back);
    CO_TRYV(co_await read_parts(now_, to_bytes(units.start), head));
    const byte_offset tail_at{to_bytes(units.start).value + back};
    CO_TRYV(co_await read_parts(now_, tail_at, tail));
    std::copy(data.begin(), data.end(), filled.begin() + static_cast<std::ptrdiff_t>(front));
    co_return co_await put_whole(units.start, filled);
}

asio::awaitable<result<void>> writable_device::put_whole(sector start, const_bytes data) {
    if (data.size() <= most_in_place_bytes) {
        if (timed_try_write(start, data) == attempt::complete) co_return result<void>{};
    }
    auto work = [start, data, top = now_.top.get()] { return top->write(start, data); };
    CO_TRYV(co_await services_.workers.run(std::move(work)));
    if (now_.top->wants_flush()) flush_in_background();
    co_return result<void>{};
}

asio::awaitable<result<void>> writable_device::write_atomic(byte_offset offset, const_bytes data, durability when) {
    const auto most = std::max<std::uint64_t>(geometry().max_atomic_write_bytes, sector_bytes);
    if (data.size() > most) {
        co_return fail(errc::invalid_argument, "an atomic write of " + std::to_string(data.size()) +
                                                   " bytes; at most " + std::to_string(most) + " are possible");
    }
    co_return co_await write(offset, data, when);
}

asio::awaitable<result<std::optional<miscompare>>> writable_device::compare_and_write(byte_offset offset,
                                                                                      const_bytes expected,
                                                                                      const_bytes data,
                                                                                      durability when) {
    using outcome = std::optional<miscompare>;
    if (expected.size() != data.size()) co_return fail(errc::invalid_argument, "compare and write of unequal lengths");
    {
        const auto pass = co_await writes_.enter();
        CO_TRYV(check_range(offset, data.size()));
        const sector_range range = range_of(offset, data.size());
        const sector_range units = units_around(range);
        const auto lock = co_await ranges_.lock(units, range_lock::mode::exclusive);
        std::vector<std::byte> there(data.size());
        CO_TRYV(co_await read_parts(now_, offset, there));
        const auto [ours, theirs] = std::mismatch(there.begin(), there.end(), expected.begin());
        if (ours != there.end()) {
            const auto position = static_cast<std::uint64_t>(ours - there.begin());
            co_return outcome{miscompare{.offset = {offset.value + position}}};
        }
        CO_TRYV(co_await put(range, data));
    }
    if (when == durability::write_back) co_return outcome{};
    CO_TRYV(co_await flush());
    co_return outcome{};
}

asio::awaitable<result<void>> writable_device::zero_edge(sector_range range) {
    if (range.length == 0 || reads_as_zeros(range)) co_return result<void>{};
    const std::vector<std::byte> zeros(range.length * sector_bytes);
    co_return co_await put(range, zeros);
}

asio::awaitable<result<void>> writable_device::discard(byte_offset offset, byte_count count) {
    const auto pass = co_await writes_.enter();
    CO_TRYV(check_range(offset, count.value));
    const sector_range range = range_of(offset, count.value);
    const sector_range units = units_around(range);
    const auto lock = co_await ranges_.lock(units, range_lock::mode::exclusive);
    if (reads_as_zeros(range)) co_return result<void>{};
    // Only whole units can be given back; what is left at the edges is written as zeros.
    const sector_range whole = units_within(range);
    const sector_range head{.start = range.start, .length = whole.start.value - range.start.value};
    const sector whole_end{whole.start.value + whole.length};
    const sector_range tail{.start = whole_end, .length = range.start.value + range.length - whole_end.value};
    CO_TRYV(co_await zero_edge(head));
    CO_TRYV(co_await zero_edge(tail));
    if (whole.length == 0) co_return result<void>{};
    auto work = [whole, top = now_.top.get()] { return top->zero(whole); };
    CO_TRYV(co_await services_.workers.run(std::move(work)));
    if (now_.top->wants_flush()) flush_in_background();
    co_return result<void>{};
}

asio::awaitable<result<void>> writable_device::erase() {
    const auto pass = co_await writes_.enter();
    CO_TRYV(check_range({0}, 0));
    const sector_range all{.start = {0}, .length = size_bytes_.load() / sector_bytes};
    const auto lock = co_await ranges_.lock(all, range_lock::mode::exclusive);
    auto work = [top = now_.top] { return top->erase(); };
    co_return co_await services_.workers.run(std::move(work));
}

asio::awaitable<result<void>> writable_device::flush() {
    if (closed_) co_return fail(errc::unavailable, "the image is closed");
    co_return co_await flushes_->run();
}

}  // namespace obd::layers

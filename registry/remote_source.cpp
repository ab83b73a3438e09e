#include "registry/remote_source.hpp"

#include <spdlog/logger.h>

#include <algorithm>

#include "base/digest.hpp"
#include "registry/http_status.hpp"

namespace obd::registry {
namespace {

constexpr std::uint64_t request_bytes_limit = 4 << 20;    // one request; bigger reads become several, at the same time
constexpr std::uint64_t prefetch_bytes_limit = 64 << 20;  // of one hint
constexpr int rounds_limit = 16;                          // of a read whose extents are evicted as fast as they come

}  // namespace

// What runs on a worker holds plain pointers: the coroutine that waits for it owns all of it, and the last owner must
// not go away on a worker thread, perhaps after the event loops.

remote_source::remote_source(std::string digest, std::shared_ptr<cached_blob> cached, remote_services services,
                             std::shared_ptr<void> owner)
    : digest_(std::move(digest)),
      owner_(std::move(owner)),
      cached_(std::move(cached)),
      services_(std::move(services)) {}

void remote_source::add_location(blob_location location) {
    const std::scoped_lock lock(mutex_);
    const auto same = [&](const blob_location& other) { return other.url == location.url; };
    const auto found = std::find_if(locations_.begin(), locations_.end(), same);
    if (found == locations_.end()) {
        locations_.push_back(std::move(location));
    } else {
        *found = std::move(location);  // its security may differ now
    }
}

byte_count remote_source::bytes_of(std::uint64_t first, std::uint64_t count) const {
    const auto begin = first * cached_->extent_bytes();
    return {std::min(count * cached_->extent_bytes(), size().value - begin)};
}

attempt remote_source::try_read(byte_offset offset, mutable_bytes out) noexcept {
    if (out.empty()) return offset.value <= size().value ? attempt::complete : attempt::would_block;
    const auto mark = mark_.load(std::memory_order_relaxed);
    const auto last = extent_of({offset.value + out.size() - 1});
    if (extent_of(offset) <= mark && mark <= last) return attempt::would_block;  // read() starts the next read-ahead
    return cached_->try_read(offset, out);
}

asio::awaitable<result<void>> remote_source::read(byte_offset offset, mutable_bytes out) {
    const auto self = shared_from_this();
    if (!within(offset, {out.size()}, size())) {
        co_return fail(errc::out_of_range, "blob " + digest_ + " offset " + std::to_string(offset.value));
    }
    if (out.empty()) co_return result<void>();
    for (int round = 0; round < rounds_limit; ++round) {
        auto planned = make_plan(offset, out);
        launch(planned.launch);
        bool complete = true;
        for (const auto& part : planned.pieces) {
            CO_TRY(const auto done, co_await read_piece(part));
            complete = complete && done == attempt::complete;
        }
        if (complete) co_return result<void>();
    }
    co_return fail(errc::busy, "blob " + digest_ + ": the cache is too small for what is read at the same time");
}

asio::awaitable<result<attempt>> remote_source::read_piece(piece part) {
    if (!part.from) {
        const auto near = cached_->try_read(part.offset, part.out);
        if (near == attempt::complete) co_return near;
        auto job = [cached = cached_.get(), at = part.offset, out = part.out] { return cached->read(at, out); };
        co_return co_await services_.workers.run(std::move(job));
    }
    if (part.from->discarded) {  // its bytes are bad; when it is out of the way, they are fetched anew
        const auto woken = co_await part.from->landed->wait();
        if (woken == one_shot::wake::cancelled) co_return fail(errc::cancelled, "blob " + digest_);
        co_return attempt::would_block;
    }
    const auto woken = co_await part.from->done->wait();
    if (woken == one_shot::wake::cancelled) co_return fail(errc::cancelled, "blob " + digest_);
    if (!part.from->outcome) co_return in_context(part.from->outcome.error(), "blob " + digest_);
    const auto skip = part.offset.value - part.from->first * cached_->extent_bytes();
    const auto bytes = const_bytes(part.from->bytes).subspan(skip, part.out.size());
    std::copy(bytes.begin(), bytes.end(), part.out.begin());
    co_return attempt::complete;
}

remote_source::plan remote_source::make_plan(byte_offset offset, mutable_bytes out) {
    plan into;
    const auto first = extent_of(offset);
    const auto last = extent_of({offset.value + out.size() - 1});
    const std::scoped_lock lock(mutex_);
    std::uint64_t first_missing = no_extent;
    for (auto extent = first; extent <= last && first_missing == no_extent; ++extent) {
        if (cached_->state(extent) != cached_blob::presence::ready && !flight_over(extent)) first_missing = extent;
    }
    auto position = offset;
    while (!out.empty()) {
        const auto extent = extent_of(position);
        auto under_way = flight_over(extent);
        const bool ready = cached_->state(extent) == cached_blob::presence::ready;
        if (!ready && !under_way) under_way = new_flight(extent, last, into);
        // Out of the file as far as it is ready, or out of the flight to its end.
        auto end = under_way && !ready ? under_way->first + under_way->count : extent + 1;
        while (ready && end <= last && cached_->state(end) == cached_blob::presence::ready) ++end;
        const auto length = std::min<std::uint64_t>(out.size(), end * cached_->extent_bytes() - position.value);
        into.pieces.push_back({position, out.first(length), ready ? nullptr : under_way});
        out = out.subspan(length);
        position = position + byte_count{length};
    }
    read_ahead(first, last, first_missing, into);
    return into;
}

/// REQUIRES: mutex_.
remote_source::flight_ptr remote_source::flight_over(std::uint64_t extent) const {
    auto after = flights_.upper_bound(extent);
    if (after == flights_.begin()) return nullptr;
    const auto& candidate = std::prev(after)->second;
    return extent < candidate->first + candidate->count ? candidate : nullptr;
}

/// From `first`, which is not ready and not under way, to `last` at most: neighbours of one kind in one go.
/// REQUIRES: mutex_.
remote_source::flight_ptr remote_source::new_flight(std::uint64_t first, std::uint64_t last, plan& into) {
    const auto kind = cached_->state(first);
    const auto most = std::max<std::uint64_t>(1, request_bytes_limit / cached_->extent_bytes());
    std::uint64_t count = 1;
    while (count < most && first + count <= last && cached_->state(first + count) == kind &&
           !flight_over(first + count)) {
        ++count;
    }
    auto what = std::make_shared<flight>();
    what->first = first;
    what->count = count;
    what->from = kind;
    what->until = deadline::clock::now() + services_.operation_deadline;
    flights_.emplace(first, what);
    into.launch.push_back(what);
    return what;
}

/// Flights over what is missing in [first, end). REQUIRES: mutex_.
void remote_source::cover(std::uint64_t first, std::uint64_t end, plan& into) {
    end = std::min(end, extents());
    for (auto extent = first; extent < end;) {
        const bool missing = cached_->state(extent) != cached_blob::presence::ready && !flight_over(extent);
        extent += missing ? new_flight(extent, end - 1, into)->count : 1;
    }
}

/// Who misses where the last miss ended reads in order; the window doubles each time the mark at its start is reached.
/// REQUIRES: mutex_.
void remote_source::read_ahead(std::uint64_t first, std::uint64_t last, std::uint64_t first_missing, plan& into) {
    const auto most = std::max<std::uint64_t>(1, request_bytes_limit / cached_->extent_bytes());
    const auto mark = mark_.load(std::memory_order_relaxed);
    const bool at_mark = mark != no_extent && first <= mark && mark <= last;
    if (!at_mark && first_missing == no_extent) return;
    if (!at_mark && first_missing != ahead_end_) {
        window_ = 0;
        ahead_end_ = last + 1;
        mark_.store(no_extent, std::memory_order_relaxed);
        return;
    }
    window_ = std::min(most, std::max<std::uint64_t>(1, window_ * 2));
    const auto from = at_mark ? std::max(ahead_end_, last + 1) : last + 1;
    ahead_end_ = from + window_;
    mark_.store(from < extents() ? from : no_extent, std::memory_order_relaxed);
    cover(from, ahead_end_, into);
}

void remote_source::launch(const std::vector<flight_ptr>& flights) {
    for (const auto& what : flights) services_.tasks->spawn(fly(what));
}

asio::awaitable<void> remote_source::fly(flight_ptr what) {
    const auto self = shared_from_this();
    // Cancellation shows as errc::cancelled, so that everybody who waits is told.
    co_await asio::this_coro::throw_if_cancelled(false);
    // However this ends, the flight leaves the table and those who wait go on.
    struct landing {
        remote_source& source;
        flight& what;
        ~landing() {
            {
                const std::scoped_lock lock(source.mutex_);
                source.flights_.erase(what.first);
            }
            what.done->fire();
            what.landed->fire();
        }
    } const lands{*this, *what};
    const bool ticket = co_await services_.tickets.acquire();
    if (!ticket) co_return;
    struct ticket_return {
        ticket_office& office;
        ~ticket_return() { office.release(); }
    } const returns{services_.tickets};
    what->bytes.resize(bytes_of(what->first, what->count).value);
    auto brought = co_await bring(what);
    const bool fetched = what->from == cached_blob::presence::absent;
    what->outcome = std::move(brought);
    // A failed flight leaves the table before its readers hear of it: their next try must be a new one.
    if (!what->outcome || !fetched) co_return;
    what->done->fire();  // the readers first, the disk after
    auto job = [this, bytes = what.get()] { return keep(*bytes), true; };
    co_await services_.workers.run(std::move(job));
}

asio::awaitable<result<void>> remote_source::bring(flight_ptr what) {
    if (services_.tasks->closing()) co_return fail(errc::cancelled, "shutting down");
    if (what->from == cached_blob::presence::unverified) {
        const bool good = co_await bring_from_disk(what);
        if (good) co_return result<void>();
        services_.log.warn("cached extents {} to {} of {} are damaged or gone: fetched again", what->first,
                           what->first + what->count - 1, digest_);
        what->from = cached_blob::presence::absent;
    }
    co_return co_await bring_from_network(what);
}

asio::awaitable<bool> remote_source::bring_from_disk(flight_ptr what) {
    auto job = [cached = cached_.get(), what = what.get()] {
        bool good = true;
        auto rest = std::span(what->bytes);
        for (auto extent = what->first; extent < what->first + what->count; ++extent) {
            const auto length = std::min<std::size_t>(cached->extent_bytes(), rest.size());
            good = cached->load(extent, rest.first(length)) && good;
            rest = rest.subspan(length);
        }
        return good;
    };
    co_return co_await services_.workers.run(std::move(job));
}

asio::awaitable<result<void>> remote_source::bring_from_network(flight_ptr what) {
    std::vector<blob_location> places;
    {
        const std::scoped_lock lock(mutex_);
        places = locations_;
    }
    result<void> last = fail(errc::unavailable, "no place to fetch it from is known");
    for (const auto& place : places) {
        auto fetched = co_await fetch_from(place, what);
        last = std::move(fetched);
        if (last || last.error().is(errc::cancelled) || deadline::clock::now() >= what->until) break;
    }
    co_return last;
}

asio::awaitable<result<void>> remote_source::fetch_from(blob_location where, flight_ptr what) {
    for (int tries_left = 2;; --tries_left) {
        blob_range range;
        range.offset = {what->first * cached_->extent_bytes()};
        range.into = what->bytes;
        range.blob_size = size();
        range.until = what->until;
        CO_TRYV(co_await services_.fetcher.fetch(where, range, network_bytes_));
        if (what->count != extents()) co_return result<void>();
        // The whole blob at once: the only fetch that the digest itself can vouch for.
        auto job = [what = what.get()] { return sha256_digest(what->bytes); };
        const auto found = co_await services_.workers.run(std::move(job));
        if (found == digest_) co_return result<void>();
        if (tries_left == 1) co_return fail(errc::corrupt, "the registry sent bytes whose digest is " + found);
    }
}

/// On a worker thread.
void remote_source::keep(flight& what) noexcept {
    auto rest = const_bytes(what.bytes);
    for (auto extent = what.first; extent < what.first + what.count && !what.discarded; ++extent) {
        const auto length = std::min<std::size_t>(cached_->extent_bytes(), rest.size());
        cached_->store(extent, rest.first(length));
        rest = rest.subspan(length);
    }
    if (!what.discarded) return;
    for (auto extent = what.first; extent < what.first + what.count; ++extent) cached_->drop(extent);
}

bool remote_source::discard_cached(byte_offset offset, byte_count count) noexcept {
    if (count.value == 0 || !within(offset, count, size())) return true;
    const auto first = extent_of(offset);
    const auto last = extent_of({offset.value + count.value - 1});
    {
        const std::scoped_lock lock(mutex_);
        for (auto& [start, what] : flights_) {
            const bool overlaps = start <= last && first < start + what->count;
            if (overlaps && what->done->fired()) what->discarded = true;
        }
    }
    for (auto extent = first; extent <= last; ++extent) cached_->drop(extent);
    return true;
}

void remote_source::prefetch(byte_offset offset, byte_count count) noexcept {
    if (offset.value >= size().value || count.value == 0) return;
    const auto length = std::min({count.value, size().value - offset.value, prefetch_bytes_limit});
    try {
        plan into;
        {
            const std::scoped_lock lock(mutex_);
            cover(extent_of(offset), extent_of({offset.value + length - 1}) + 1, into);
        }
        launch(into.launch);
    } catch (const std::exception& error) {  // no memory for a hint
        services_.log.debug("prefetch of {} given up: {}", digest_, error.what());
    }
}

}  // namespace obd::registry

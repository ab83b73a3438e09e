// A blob in a registry as a blob_source: reads come from the cache, misses are fetched once for everybody who waits.
#pragma once

#include <atomic>
#include <boost/asio/any_io_executor.hpp>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/blob_source.hpp"
#include "base/worker_pool.hpp"
#include "registry/blob_cache.hpp"
#include "registry/blob_fetcher.hpp"
#include "registry/task_group.hpp"

namespace spdlog {
class logger;
}

namespace obd::registry {

/// What all sources of a client share. Outlives them; the fetcher and the tickets are the strand's.
struct remote_services {
    blob_fetcher& fetcher;
    worker_pool& workers;
    std::shared_ptr<task_group> tasks;
    ticket_office& tickets;
    std::chrono::milliseconds operation_deadline;
    spdlog::logger& log;
};

class remote_source final : public blob_source, public std::enable_shared_from_this<remote_source> {
public:
    /// `owner` is kept alive as long as the source is: it owns what `services` refers to.
    remote_source(std::string digest, std::shared_ptr<cached_blob> cached, remote_services services,
                  std::shared_ptr<void> owner);

    /// Another place that has the same blob; asked when those before it refuse for good.
    void add_location(blob_location location);

    std::string_view name() const noexcept override { return digest_; }
    byte_count size() const noexcept override { return cached_->size(); }
    attempt try_read(byte_offset offset, mutable_bytes out) noexcept override;
    asio::awaitable<result<void>> read(byte_offset offset, mutable_bytes out) override;
    bool discard_cached(byte_offset offset, byte_count count) noexcept override;
    void prefetch(byte_offset offset, byte_count count) noexcept override;
    byte_count fetched() const noexcept override { return {network_bytes_.load(std::memory_order_relaxed)}; }

private:
    /// Extents on their way from the disk or the network into memory, then into the cache.
    struct flight {
        std::uint64_t first;
        std::uint64_t count;
        cached_blob::presence from;  ///< absent: fetch; unverified: load from the disk, fetch if that fails
        deadline until;
        std::vector<std::byte> bytes;
        result<void> outcome = fail(errc::cancelled, "fetch");
        std::shared_ptr<one_shot> done = std::make_shared<one_shot>();
        std::shared_ptr<one_shot> landed = std::make_shared<one_shot>();  ///< fired when it has left the table
        std::atomic<bool> discarded{false};  ///< the bytes turned out bad: not into the cache
    };
    using flight_ptr = std::shared_ptr<flight>;

    /// A part of a read: out of a flight, or (no flight) out of the cache file.
    struct piece {
        byte_offset offset;
        mutable_bytes out;
        flight_ptr from;
    };
    struct plan {
        std::vector<piece> pieces;
        std::vector<flight_ptr> launch;
    };

    std::uint64_t extent_of(byte_offset offset) const { return offset.value / cached_->extent_bytes(); }
    std::uint64_t extents() const { return (size().value + cached_->extent_bytes() - 1) / cached_->extent_bytes(); }
    byte_count bytes_of(std::uint64_t first, std::uint64_t count) const;

    plan make_plan(byte_offset offset, mutable_bytes out);
    flight_ptr flight_over(std::uint64_t extent) const;
    flight_ptr new_flight(std::uint64_t first, std::uint64_t last, plan& into);
    void read_ahead(std::uint64_t first, std::uint64_t last, std::uint64_t first_missing, plan& into);
    void cover(std::uint64_t first, std::uint64_t end, plan& into);
    void launch(const std::vector<flight_ptr>& flights);

    asio::awaitable<void> fly(flight_ptr what);
    asio::awaitable<result<void>> bring(flight_ptr what);
    asio::awaitable<bool> bring_from_disk(flight_ptr what);
    asio::awaitable<result<void>> bring_from_network(flight_ptr what);
    asio::awaitable<result<void>> fetch_from(blob_location where, flight_ptr what);
    void keep(flight& what) noexcept;
    asio::awaitable<result<attempt>> read_piece(piece part);

    const std::string digest_;
    const std::shared_ptr<void> owner_;
    const std::shared_ptr<cached_blob> cached_;
    const remote_services services_;
    std::atomic<std::uint64_t> network_bytes_{0};
    /// The first extent of the last read-ahead: who gets there is reading in order, and starts the next one.
    std::atomic<std::uint64_t> mark_{no_extent};

    mutable std::mutex mutex_;
    std::vector<blob_location> locations_;
    std::map<std::uint64_t, flight_ptr> flights_;  ///< by first extent; they do not overlap
    std::uint64_t ahead_end_ = no_extent;          ///< where a reader in order would miss next
    std::uint64_t window_ = 0;                     ///< extents of the last read-ahead

    static constexpr std::uint64_t no_extent = ~0ull;
};

}  // namespace obd::registry

#include "layers/write/append_upper.hpp"

#include <algorithm>
#include <array>

#include "base/crc32c.hpp"
#include "base/limits.hpp"
#include "layers/write/lsmt_encode.hpp"

namespace obd::layers {
namespace {

/// overlaybd cuts writes at 4 MiB, so no entry of a write is longer.
constexpr std::uint64_t most_sectors_an_entry = 8192;
/// One journal entry, so it is there or not there; far below the most that one entry can hold.
constexpr std::uint32_t atomic_write_bytes = 1 << 20;

byte_offset journal_position(std::uint64_t entry) {
    return {lsmt::header_space_bytes + entry * sizeof(lsmt::index_entry)};
}

}  // namespace

std::uint32_t append_upper::max_atomic_write_bytes() const noexcept {
    return atomic_write_bytes;
}

std::uint64_t append_upper::journal_entries() const noexcept {
    return settled_.load() + waiting_.load();
}

result<void> append_upper::check_usable() const {
    if (!failed_.load(std::memory_order_relaxed)) return {};
    return fail(errc::io_error, data_->name() + ": an earlier sync failed; open the image again");
}

result<sector> append_upper::reserve(std::uint64_t sectors) noexcept {
    const auto most = quota_.load(std::memory_order_relaxed);
    auto tail = tail_.load();
    do {
        const auto used = (tail + sectors) * sector_bytes + journal_position(journal_entries() + 1).value;
        if (most != 0 && used > most) return fail(errc::out_of_space, "quota");
    } while (!tail_.compare_exchange_weak(tail, tail + sectors));
    return sector{tail};
}

void append_upper::give_back(sector start, std::uint64_t sectors) noexcept {
    auto end = start.value + sectors;
    tail_.compare_exchange_strong(end, start.value);  // only the last one can; a gap in the log does no harm
}

bool append_upper::publish(std::span<const lsmt::mapping> mappings, std::span<const std::uint32_t> crcs) {
    const std::lock_guard lock(publish_mutex_);
    if (pending_.size() + mappings.size() > log_->capacity()) return false;
    const auto settled = settled_.load(std::memory_order_relaxed);
    for (std::size_t i = 0; i < mappings.size(); ++i) {
        const auto entry = lsmt::pack(mappings[i]);
        log_->put({.entry = entry, .position = settled + pending_.size(), .data_crc = crcs.empty() ? 0 : crcs[i]});
        pending_.push_back(entry);
    }
    waiting_.store(pending_.size(), std::memory_order_relaxed);
    index_.insert(mappings);
    return true;
}

result<void> append_upper::publish_waiting(std::span<const lsmt::mapping> mappings,
                                           std::span<const std::uint32_t> crcs) {
    if (journal_entries() + mappings.size() > limits::lsmt_journal_entries) {
        return fail(errc::out_of_space, paths_.index.string() + ": the journal is full, take a snapshot or commit");
    }
    while (!publish(mappings, crcs)) {
        TRYV(flush());
    }
    return {};
}

attempt append_upper::try_write(sector start, const_bytes bytes) noexcept {
    const auto sectors = bytes.size() / sector_bytes;
    if (failed_ || sectors > most_sectors_an_entry || waiting_.load(std::memory_order_relaxed) >= log_->capacity() ||
        journal_entries() >= limits::lsmt_journal_entries) {
        return attempt::would_block;
    }
    const auto place = reserve(sectors);
    if (!place) return attempt::would_block;
    const lsmt::mapping entry{
        .start = start, .moffset = *place, .length = static_cast<std::uint32_t>(sectors), .zeroed = false, .tag = 0};
    const std::uint32_t crc = crc32c(bytes);
    const bool done = data_->write(to_bytes(*place), bytes).has_value() && publish({&entry, 1}, {&crc, 1});
    if (!done) give_back(*place, sectors);
    return done ? attempt::complete : attempt::would_block;
}

result<void> append_upper::put_payload(sector start, const_bytes bytes, std::vector<lsmt::mapping>& mappings,
                                       std::vector<std::uint32_t>& crcs) {
    const auto sectors = bytes.size() / sector_bytes;
    TRY(const sector place, reserve(sectors));
    auto written = data_->write(to_bytes(place), bytes);
    if (!written) {
        give_back(place, sectors);
        return written;
    }
    for (std::uint64_t done = 0; done < sectors;) {
        const auto length = std::min(sectors - done, most_sectors_an_entry);
        mappings.push_back({.start = {start.value + done},
                            .moffset = {place.value + done},
                            .length = static_cast<std::uint32_t>(length)});
        crcs.push_back(crc32c(bytes.subspan(done * sector_bytes, length * sector_bytes)));
        done += length;
    }
    return {};
}

result<void> append_upper::write(sector start, const_bytes bytes) {
    TRYV(check_usable());
    std::vector<lsmt::mapping> mappings;
    std::vector<std::uint32_t> crcs;
    TRYV(put_payload(start, bytes, mappings, crcs));
    return publish_waiting(mappings, crcs);
}

result<void> append_upper::zero(sector_range range) {
    TRYV(check_usable());
    const auto entries = range.length / lsmt::max_mapping_sectors + 1;
    TRYV(reserve(0));
    std::vector<lsmt::mapping> mappings;
    mappings.reserve(std::min<std::uint64_t>(entries, log_->capacity() / 2));
    for (std::uint64_t done = 0; done < range.length;) {
        const auto length = std::min<std::uint64_t>(range.length - done, lsmt::max_mapping_sectors);
        // Where its data would be does not matter; the first data sector lies in every file.
        mappings.push_back({.start = {range.start.value + done},
                            .moffset = lsmt::first_data_sector,
                            .length = static_cast<std::uint32_t>(length),
                            .zeroed = true});
        done += length;
        if (mappings.size() == log_->capacity() / 2 || done == range.length) {
            TRYV(publish_waiting(mappings, {}));
            mappings.clear();
        }
    }
    return {};
}

bool append_upper::wants_flush() const noexcept {
    return waiting_.load(std::memory_order_relaxed) >= log_->capacity() / 2;
}

result<void> append_upper::sync(file& which) {
    auto synced = which.sync();
    // After a failed sync the kernel forgets which pages were not written: nothing can be promised any more.
    if (!synced) failed_ = true;
    return synced;
}

result<void> append_upper::flush() {
    const std::lock_guard one_at_a_time(flush_mutex_);
    TRYV(check_usable());
    std::vector<lsmt::packed_mapping> batch;
    {
        const std::lock_guard lock(publish_mutex_);
        batch = pending_;
    }
    if (batch.empty()) return {};
    TRYV(sync(*data_));
    const auto settled = settled_.load();
    TRYV(journal_->write(journal_position(settled), lsmt::encode_index(batch, 1)));
    TRYV(sync(*journal_));
    const std::lock_guard lock(publish_mutex_);
    pending_.erase(pending_.begin(), pending_.begin() + static_cast<std::ptrdiff_t>(batch.size()));
    waiting_.store(pending_.size());
    settled_.store(settled + batch.size());
    log_->settle(settled + batch.size());
    ++flushes_;
    return {};
}

/// The log keeps its length, so that nothing in the journal points behind its end; its old content becomes a hole. The
/// journal must say first that nobody refers to that any more.
result<void> append_upper::erase() {
    TRYV(upper::erase());
    const auto begin = to_bytes(sector{lsmt::first_data_sector});
    const auto end = to_bytes(sector{tail_.load()});
    if (end.value <= begin.value) return {};
    TRYV(data_->punch_hole(begin, {end.value - begin.value}));
    return sync(*data_);
}

result<void> append_upper::resize(byte_count virtual_size) {
    const std::lock_guard one_at_a_time(flush_mutex_);
    upper_files files{.data = data_, .index = journal_, .identity = identity_};
    files.identity.virtual_size = virtual_size;
    TRYV(rewrite_headers(files));
    identity_.virtual_size = virtual_size;
    return {};
}

result<void> append_upper::seal() {
    TRYV(flush());
    const sealing what{.data = *data_, .identity = identity_, .end = to_bytes(sector{tail_.load()})};
    auto sealed = write_seal(what, index_.dump());
    if (!sealed) static_cast<void>(unseal());
    return sealed;
}

result<void> append_upper::unseal() {
    return data_->resize({tail_.load() * sector_bytes});
}

result<void> append_upper::close() {
    TRYV(flush());
    TRYV(remove_side_file());
    data_->unlock();
    journal_->unlock();
    return {};
}

result<void> append_upper::remove_side_file() {
    return files_->remove(pending_log::path_for(paths_.index));
}

upper_usage append_upper::usage() const {
    return {.data = {tail_.load() * sector_bytes},
            .index = {journal_position(journal_entries()).value},
            .flushes = flushes_.load()};
}

}  // namespace obd::layers

// Opening an append-only layer: its journal is replayed, and what a crash left beside it is put right.
// docs/formats/side-files.md says which entries are believed.
#include <algorithm>
#include <array>

#include "base/crc32c.hpp"
#include "base/limits.hpp"
#include "layers/write/append_upper.hpp"
#include "layers/write/lsmt_encode.hpp"

namespace obd::layers {
namespace {

constexpr std::uint64_t entry_bytes = sizeof(lsmt::index_entry);
constexpr std::uint64_t entries_a_read = 65536;  // 1 MiB

byte_offset journal_position(std::uint64_t entry) {
    return {lsmt::header_space_bytes + entry * entry_bytes};
}

bool is_blank(lsmt::packed_mapping entry) {
    return entry.word0 == 0 && entry.word1 == 0;
}

lsmt::packed_mapping entry_at(const_bytes raw, std::uint64_t number) {
    return lsmt::from_disk(load<lsmt::index_entry>(raw, number * entry_bytes));
}

}  // namespace

struct append_upper::replay {
    append_upper& to;
    pending_entries pending;
    std::uint64_t data_sectors = 0;                         ///< whole ones in the data file
    std::uint64_t entries = 0;                              ///< in the journal
    std::uint64_t reached = lsmt::first_data_sector.value;  ///< end of the data that some entry refers to
    std::uint64_t last_sound = 0;                           ///< entries up to the last one that is believed
    std::vector<std::pair<std::uint64_t, lsmt::packed_mapping>> corrections;  ///< by position
    std::vector<lsmt::packed_mapping> recovered;                              ///< to be appended

    /// True when an entry may be believed: it maps something, to sectors that the data file has.
    bool sound(lsmt::packed_mapping entry) const {
        return entry.length() > 0 && entry.end().value < lsmt::invalid_offset &&
               entry.moffset() >= lsmt::first_data_sector && lsmt::unpack(entry).moffset_end().value <= data_sectors;
    }

    /// True when the data of a pending entry is what was written.
    result<bool> intact(const pending_entry& what) const {
        if (!sound(what.entry)) return false;
        if (what.entry.zeroed()) return true;
        std::vector<std::byte> data(std::uint64_t{what.entry.length()} * sector_bytes);
        TRYV(to.data_->read(to_bytes(what.entry.moffset()), data));
        return crc32c(data) == what.data_crc;
    }

    void apply(lsmt::packed_mapping entry) {
        auto m = lsmt::unpack(entry);
        m.tag = 0;
        reached = std::max(reached, m.moffset_end().value);
        to.index_.insert({&m, 1});
    }

    /// When another program (overlaybd itself) went on writing the journal after our crash, the pending entries are
    /// older than what it wrote, and void.
    result<void> drop_pending_of_another_time() {
        for (const auto& [position, mine] : pending.entries) {
            if (position >= entries) break;
            std::array<std::byte, entry_bytes> raw{};
            TRYV(to.journal_->read(journal_position(position), raw));
            const auto theirs = entry_at(raw, 0);
            if (is_blank(theirs) || theirs == mine.entry) continue;
            to.repairs_.notes.push_back("the journal was written by another program since; " +
                                        std::to_string(pending.entries.size()) + " unflushed writes are void");
            to.repairs_.dropped_entries += pending.entries.size();
            pending.entries.clear();
            break;
        }
        return {};
    }

    /// An entry that cannot be believed: the pending log may know the right one, else it becomes padding.
    result<void> correct(std::uint64_t position) {
        const auto mine = pending.entries.find(position);
        if (mine != pending.entries.end()) {
            TRY(const bool good, intact(mine->second));
            if (good) {
                apply(mine->second.entry);
                corrections.emplace_back(position, mine->second.entry);
                last_sound = position + 1;
                ++to.repairs_.recovered_entries;
                return {};
            }
        }
        corrections.emplace_back(position, lsmt::padding_mapping);
        ++to.repairs_.dropped_entries;
        return {};
    }

    result<void> read_journal() {
        std::vector<std::byte> raw;
        for (std::uint64_t at = 0; at < entries;) {
            const auto count = std::min(entries - at, entries_a_read);
            raw.resize(count * entry_bytes);
            TRYV(to.journal_->read(journal_position(at), raw));
            for (std::uint64_t i = 0; i < count; ++i) {
                const auto entry = entry_at(raw, i);
                if (entry.is_padding()) continue;
                if (sound(entry)) {
                    apply(entry);
                    last_sound = at + i + 1;
                } else {
                    TRYV(correct(at + i));
                }
            }
            at += count;
        }
        return {};
    }

    result<void> read_pending() {
        for (auto next = pending.entries.lower_bound(entries); next != pending.entries.end(); ++next) {
            TRY(const bool good, intact(next->second));
            if (!good) {
                ++to.repairs_.dropped_entries;
                continue;
            }
            apply(next->second.entry);
            // Every entry keeps its position, so that a crash in the middle of the repair changes nothing.
            recovered.resize(next->first - entries, lsmt::padding_mapping);
            recovered.push_back(next->second.entry);
            ++to.repairs_.recovered_entries;
        }
        return {};
    }

    /// Brings the files into the state that was found, so that every reader finds the same.
    result<void> repair(std::uint64_t journal_bytes, std::uint64_t data_bytes) {
        const auto end = recovered.empty() && !corrections.empty() ? last_sound : entries;
        // Also what a process that died left in the page cache: from now on it counts as flushed.
        TRYV(to.data_->sync());
        for (const auto& [position, entry] : corrections) {
            const auto raw = lsmt::to_disk(entry);
            if (position < end) {
                TRYV(to.journal_->write(journal_position(position), bytes_of(raw)));
            }
        }
        if (journal_position(end).value != journal_bytes) {
            TRYV(to.journal_->resize({journal_position(end).value}));
        }
        TRYV(to.journal_->write(journal_position(end), lsmt::encode_index(recovered, 1)));
        if (reached * sector_bytes < data_bytes) {
            TRYV(to.data_->resize({reached * sector_bytes}));
        }
        TRYV(to.journal_->sync());
        to.settled_ = end + recovered.size();
        return {};
    }

    void describe(std::uint64_t torn_bytes, std::uint64_t data_bytes) {
        auto& report = to.repairs_;
        report.truncated_bytes = torn_bytes + (data_bytes - std::min(data_bytes, reached * sector_bytes));
        if (report.recovered_entries > 0) {
            report.notes.push_back(std::to_string(report.recovered_entries) +
                                   " writes that were not flushed before the crash are kept");
        }
        if (report.dropped_entries > 0) {
            report.notes.push_back(std::to_string(report.dropped_entries) +
                                   " writes that never completed are dropped: their blocks keep the old content");
        }
        if (report.truncated_bytes > 0) {
            report.notes.push_back(std::to_string(report.truncated_bytes) + " bytes behind the last write are cut off");
        }
    }

    result<void> run(const upper_opening& how) {
        TRY(const auto journal_bytes, to.journal_->size());
        TRY(const auto data_bytes, to.data_->size());
        const auto body_bytes = std::max(journal_bytes.value, lsmt::header_space_bytes) - lsmt::header_space_bytes;
        entries = body_bytes / entry_bytes;
        if (entries > limits::lsmt_journal_entries) {
            return fail(errc::limit_exceeded, to.journal_->name() + ": " + std::to_string(entries) + " entries");
        }
        data_sectors = data_bytes.value / sector_bytes;
        TRYV(drop_pending_of_another_time());
        TRYV(read_journal());
        TRYV(read_pending());
        describe(body_bytes % entry_bytes, data_bytes.value);
        to.settled_ = entries;
        to.tail_ = std::max(reached, lsmt::first_data_sector.value);
        if (how.mode == upper_opening::access::read_only) return {};
        return repair(journal_bytes.value, data_bytes.value);
    }
};

result<std::shared_ptr<upper>> append_upper::open(const upper_opening& how, upper_files files) {
    std::shared_ptr<append_upper> opened(new append_upper);
    opened->files_ = how.files;
    opened->paths_ = how.paths;
    opened->identity_ = std::move(files.identity);
    opened->data_ = std::move(files.data);
    opened->journal_ = std::move(files.index);

    const bool writable = how.mode == upper_opening::access::read_write;
    const auto log_path = pending_log::path_for(how.paths.index);
    const auto log_mode = writable ? open_mode::existing : open_mode::read_only;
    replay work{.to = *opened, .pending = {}, .corrections = {}, .recovered = {}};
    TRY(work.pending, pending_log::load(*how.files, log_path, opened->identity_.uuid, log_mode));
    auto replayed = work.run(how);
    if (!replayed) return in_context(std::move(replayed).error(), opened->paths_.index.string());
    if (!writable) return std::shared_ptr<upper>(std::move(opened));

    const pending_log::creation fresh{
        .path = log_path, .uuid = opened->identity_.uuid, .settled = opened->settled_.load()};
    TRY(opened->log_, pending_log::create(*how.files, fresh));
    opened->pending_.reserve(opened->log_->capacity());
    return std::shared_ptr<upper>(std::move(opened));
}

}  // namespace obd::layers

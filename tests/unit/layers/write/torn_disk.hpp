// Files in memory that lose power: what was not synced is kept, dropped or torn at random, as a disk and a journaling
// file system with ordered data may do it.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "layers/write/file_io.hpp"

namespace obd::test {

/// A file's content: what a process sees and what is on stable storage.
struct torn_content {
    static constexpr std::uint64_t block = 4096;
    struct image {
        std::vector<std::byte> bytes;    ///< whole blocks
        std::set<std::uint64_t> blocks;  ///< that are allocated; the others are holes
        std::uint64_t size = 0;
    };
    std::mutex mutex;
    image seen;
    image stable;
    bool mapped = false;
};

/// Thread-safe.
class torn_disk final : public layers::file_system {
public:
    result<std::shared_ptr<layers::file>> open(const std::filesystem::path& path, layers::open_mode mode) override;
    result<bool> exists(const std::filesystem::path& path) override;
    result<void> remove(const std::filesystem::path& path) override;
    result<void> rename(const std::filesystem::path& from, const std::filesystem::path& to) override;
    result<void> sync_directory_of(const std::filesystem::path& path) override;

    /// What the machine finds when it is up again. All files must be closed. Each unsynced sector, size and name is the
    /// old or the new one; a block that was a hole is there as a whole or not at all.
    void lose_power(std::mt19937_64& random);
    /// Everything seen becomes stable.
    void settle();

    /// Writes fail with out_of_space when more blocks than this would be allocated. 0: no limit.
    void set_capacity(std::uint64_t blocks) { capacity_ = blocks; }
    /// The next sync of any file fails.
    void fail_next_sync() { fail_sync_ = true; }

    /// After so many more changes of files the machine is dead: every call fails with io_error until lose_power() or
    /// revive().
    void die_after(std::uint64_t changes) { left_to_live_ = changes; }
    /// Files are as they were seen last, as after the death of the process alone.
    void revive() { left_to_live_.reset(); }
    bool dead() const { return left_to_live_ == 0; }

    std::vector<std::byte> read(const std::filesystem::path& path);
    void write(const std::filesystem::path& path, const std::vector<std::byte>& bytes);
    std::uint64_t allocated_blocks();

private:
    friend class torn_file;
    using names = std::map<std::string, std::shared_ptr<torn_content>>;
    /// Counts a change. io_error when dead.
    result<void> live();

    std::mutex mutex_;
    std::optional<std::uint64_t> left_to_live_;
    names seen_;
    names stable_;
    std::uint64_t capacity_ = 0;
    bool fail_sync_ = false;
};

}  // namespace obd::test

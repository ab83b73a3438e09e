// The contents of one ext4 directory in memory, and its form on disk: linear up to one block, a hash tree beyond.
// Pure: bytes in, bytes out. The layout is that of the kernel's documentation, "ext4 Data Structures", §"Directory
// Entries".
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/bytes.hpp"
#include "base/result.hpp"

namespace obd::fs {

using inode_number = std::uint32_t;

/// What a directory entry or an inode is. The values are those of the entries on disk.
enum class node_kind : std::uint8_t {
    file = 1,
    directory = 2,
    character_device = 3,
    block_device = 4,
    fifo = 5,
    socket = 6,
    symlink = 7,
};

struct directory_entry {
    std::string name;
    inode_number inode = 0;
    node_kind kind = node_kind::file;
};

/// Everything but "." and "..". Entries keep the order in which they lie on disk; new ones come last, so that blocks
/// that did not change stay the same bytes.
class directory {
public:
    inode_number parent = 0;
    bool dirty = false;

    const directory_entry* find(std::string_view name) const;
    /// REQUIRES: no entry has that name.
    void insert(directory_entry entry);
    /// REQUIRES: there is one.
    void erase(std::string_view name);
    std::vector<directory_entry> entries() const;
    std::size_t size() const { return by_name_.size(); }
    std::uint32_t subdirectories() const { return subdirectories_; }

private:
    std::vector<directory_entry> entries_;  ///< inode 0: erased
    std::unordered_map<std::string, std::size_t> by_name_;
    std::uint32_t subdirectories_ = 0;
};

/// Adds the entries of one block to `to`. An index block of a hash tree holds none and passes. Fails with corrupt, also
/// for names that occur twice or hold a slash.
result<void> parse_directory_block(const_bytes block, directory& to);

enum class directory_checksums { absent, present };

struct directory_format {
    std::uint32_t block_bytes = 4096;
    directory_checksums checksums = directory_checksums::present;  ///< leaves 12 bytes free for one in each block
    std::uint8_t hash_version = 1;                                 ///< as the root of a hash tree names it
    std::uint8_t hash_function = 1;                                ///< differs where characters are unsigned
    std::array<std::uint32_t, 4> hash_seed{};
    inode_number self = 0;
};

struct directory_blocks {
    std::vector<std::vector<std::byte>> blocks;
    bool indexed = false;
};

/// Fails with limit_exceeded when a hash tree of two levels does not suffice (millions of entries).
result<directory_blocks> build_directory_blocks(const directory& contents, const directory_format& format);

}  // namespace obd::fs

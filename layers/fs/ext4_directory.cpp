#include "layers/fs/ext4_directory.hpp"

#include <ext2fs/ext2fs.h>

#include <algorithm>
#include <boost/endian/arithmetic.hpp>
#include <cstring>
#include <span>
#include <tuple>
#include <utility>

#include "base/units.hpp"

namespace obd::fs {
namespace {

using boost::endian::little_uint16_t;
using boost::endian::little_uint32_t;

/// ext4_dir_entry_2 up to the name.
struct entry_header {
    little_uint32_t inode;
    little_uint16_t record_bytes;
    std::uint8_t name_bytes;
    std::uint8_t kind;
};
static_assert(sizeof(entry_header) == 8 && alignof(entry_header) == 1);

/// ext4_dir_entry_tail: looks like an empty entry to those who do not know it.
struct checksum_tail {
    little_uint32_t reserved;
    little_uint16_t record_bytes;
    std::uint8_t reserved_name_bytes;
    std::uint8_t kind;
    little_uint32_t checksum;  ///< filled in when the block is written
};
static_assert(sizeof(checksum_tail) == 12);
constexpr std::uint8_t tail_kind = 0xde;

/// dx_root_info.
struct tree_info {
    little_uint32_t reserved;
    std::uint8_t hash_version;
    std::uint8_t info_bytes;
    std::uint8_t indirect_levels;
    std::uint8_t unused_flags;
};
static_assert(sizeof(tree_info) == 8);

/// dx_entry; the first one of a block holds limit and count in place of the hash.
struct tree_entry {
    little_uint32_t hash;
    little_uint32_t block;
};
struct tree_count {
    little_uint16_t limit;
    little_uint16_t count;
    little_uint32_t block;
};
static_assert(sizeof(tree_entry) == 8 && sizeof(tree_count) == 8);

constexpr std::size_t root_entries_at = 32;  // behind "." (12), ".." (12) and tree_info
constexpr std::size_t node_entries_at = 8;   // behind one empty entry

std::size_t record_bytes(std::size_t name_bytes) {
    return align_up(sizeof(entry_header) + name_bytes, 4);
}

/// Appends entries to blocks, each as large as it must be; the last one of a block takes up the rest.
class block_filler {
public:
    explicit block_filler(const directory_format& format) : format_(format) {}

    bool fits(std::size_t name_bytes) const {
        return !blocks_.empty() && position_ + record_bytes(name_bytes) <= usable();
    }
    void start_block() {
        close_block();
        blocks_.emplace_back(format_.block_bytes);
        position_ = last_ = 0;
    }
    void add(std::string_view name, inode_number inode, node_kind kind) {
        if (!fits(name.size())) start_block();
        auto& block = blocks_.back();
        const auto bytes = record_bytes(name.size());
        store(block,
              entry_header{inode, static_cast<std::uint16_t>(bytes), static_cast<std::uint8_t>(name.size()),
                           static_cast<std::uint8_t>(kind)},
              position_);
        std::memcpy(block.data() + position_ + sizeof(entry_header), name.data(), name.size());
        last_ = position_;
        position_ += bytes;
    }
    std::size_t count() const { return blocks_.size(); }
    std::vector<std::vector<std::byte>> finish() && {
        close_block();
        return std::move(blocks_);
    }

private:
    std::size_t usable() const {
        return format_.block_bytes - (format_.checksums == directory_checksums::present ? sizeof(checksum_tail) : 0);
    }
    void close_block() {
        if (blocks_.empty()) return;
        auto& block = blocks_.back();
        auto header = load<entry_header>(block, last_);
        header.record_bytes = static_cast<std::uint16_t>(usable() - last_);
        store(block, header, last_);
        if (format_.checksums == directory_checksums::present)
            store(block, checksum_tail{0, sizeof(checksum_tail), 0, tail_kind, 0}, usable());
    }

    const directory_format& format_;
    std::vector<std::vector<std::byte>> blocks_;
    std::size_t position_ = 0;
    std::size_t last_ = 0;  ///< where the last entry of the block begins
};

struct hashed_entry {
    std::uint32_t hash;
    std::uint32_t minor;
    directory_entry entry;
};

std::vector<hashed_entry> by_hash(const directory& contents, const directory_format& format) {
    std::vector<hashed_entry> sorted;
    for (auto& entry : contents.entries()) {
        ext2_dirhash_t hash = 0, minor = 0;
        ext2fs_dirhash2(format.hash_function, entry.name.data(), static_cast<int>(entry.name.size()), nullptr, 0,
                        format.hash_seed.data(), &hash, &minor);
        sorted.push_back({hash, minor, std::move(entry)});
    }
    std::ranges::sort(sorted, [](const hashed_entry& a, const hashed_entry& b) {
        return std::tie(a.hash, a.minor, a.entry.name) < std::tie(b.hash, b.minor, b.entry.name);
    });
    return sorted;
}

/// Where the hashes of a leaf (or of the leaves below a node) begin. Bit 0 tells that the block before ends with the
/// same one.
struct child {
    std::uint32_t hash;
    std::uint32_t block;
};

std::size_t entries_per_block(const directory_format& format, std::size_t start) {
    const std::size_t tail = format.checksums == directory_checksums::present ? 8 : 0;
    return (format.block_bytes - start - tail) / sizeof(tree_entry);
}

void put_children(std::span<std::byte> block, std::size_t start, std::span<const child> children,
                  const directory_format& format) {
    store(block,
          tree_count{static_cast<std::uint16_t>(entries_per_block(format, start)),
                     static_cast<std::uint16_t>(children.size()), children[0].block},
          start);
    for (std::size_t i = 1; i < children.size(); ++i)
        store(block, tree_entry{children[i].hash, children[i].block}, start + i * sizeof(tree_entry));
}

std::vector<std::byte> tree_root(const directory& contents, const directory_format& format,
                                 std::span<const child> children, std::uint8_t levels) {
    std::vector<std::byte> block(format.block_bytes);
    constexpr std::size_t dot_bytes = 12;
    store(block, entry_header{format.self, dot_bytes, 1, static_cast<std::uint8_t>(node_kind::directory)});
    block[sizeof(entry_header)] = std::byte{'.'};
    store(block,
          entry_header{contents.parent, static_cast<std::uint16_t>(format.block_bytes - dot_bytes), 2,
                       static_cast<std::uint8_t>(node_kind::directory)},
          dot_bytes);
    block[dot_bytes + sizeof(entry_header)] = block[dot_bytes + sizeof(entry_header) + 1] = std::byte{'.'};
    store(block, tree_info{0, format.hash_version, sizeof(tree_info), levels, 0}, root_entries_at - sizeof(tree_info));
    put_children(block, root_entries_at, children, format);
    return block;
}

std::vector<std::byte> tree_node(const directory_format& format, std::span<const child> children) {
    std::vector<std::byte> block(format.block_bytes);
    store(block, entry_header{0, static_cast<std::uint16_t>(format.block_bytes), 0, 0});
    put_children(block, node_entries_at, children, format);
    return block;
}

/// Root in block 0, then the leaves, then the nodes between, if there must be any.
result<directory_blocks> build_tree(const directory& contents, const directory_format& format) {
    block_filler leaves(format);
    std::vector<child> children;
    std::uint32_t previous = 0;
    for (const auto& [hash, minor, entry] : by_hash(contents, format)) {
        if (!leaves.fits(entry.name.size())) {
            leaves.start_block();
            const bool continued = !children.empty() && hash == previous;
            children.push_back({continued ? hash | 1 : hash, static_cast<std::uint32_t>(leaves.count())});
        }
        leaves.add(entry.name, entry.inode, entry.kind);
        previous = hash;
    }
    directory_blocks built{std::move(leaves).finish(), true};
    std::uint8_t levels = 0;
    if (children.size() > entries_per_block(format, root_entries_at)) {
        std::vector<child> nodes;
        const auto each = entries_per_block(format, node_entries_at);
        for (std::size_t first = 0; first < children.size(); first += each) {
            const auto part = std::span(children).subspan(first, std::min(each, children.size() - first));
            built.blocks.push_back(tree_node(format, part));
            nodes.push_back({part[0].hash, static_cast<std::uint32_t>(built.blocks.size())});
        }
        children = std::move(nodes);
        levels = 1;
    }
    if (children.size() > entries_per_block(format, root_entries_at))
        return fail(errc::limit_exceeded, "directory inode " + std::to_string(format.self) + ": too many entries");
    built.blocks.insert(built.blocks.begin(), tree_root(contents, format, children, levels));
    return built;
}

}  // namespace

const directory_entry* directory::find(std::string_view name) const {
    const auto found = by_name_.find(std::string(name));
    return found == by_name_.end() ? nullptr : &entries_[found->second];
}

void directory::insert(directory_entry entry) {
    if (entry.kind == node_kind::directory) ++subdirectories_;
    by_name_.emplace(entry.name, entries_.size());
    entries_.push_back(std::move(entry));
}

void directory::erase(std::string_view name) {
    const auto found = by_name_.find(std::string(name));
    auto& entry = entries_[found->second];
    if (entry.kind == node_kind::directory) --subdirectories_;
    entry.inode = 0;
    by_name_.erase(found);
}

std::vector<directory_entry> directory::entries() const {
    std::vector<directory_entry> live;
    live.reserve(by_name_.size());
    std::ranges::copy_if(entries_, std::back_inserter(live),
                         [](const directory_entry& entry) { return entry.inode != 0; });
    return live;
}

result<void> parse_directory_block(const_bytes block, directory& to) {
    for (std::size_t position = 0; position + sizeof(entry_header) <= block.size();) {
        const auto header = load<entry_header>(block, position);
        const std::size_t bytes = header.record_bytes;
        if (bytes < sizeof(entry_header) || bytes % 4 != 0 || bytes > block.size() - position ||
            record_bytes(header.name_bytes) > bytes)
            return fail(errc::corrupt, "directory entry at byte " + std::to_string(position) + " has a bad length");
        const auto name = as_text(block.subspan(position + sizeof(entry_header), header.name_bytes));
        position += bytes;
        if (header.inode == 0) continue;
        if (name == ".") continue;
        if (name == "..") {
            to.parent = header.inode;
            continue;
        }
        const bool known_kind = header.kind >= 1 && header.kind <= 7;
        if (name.empty() || name.find('/') != name.npos || name.find('\0') != name.npos || !known_kind ||
            to.find(name) != nullptr)
            return fail(errc::corrupt, "directory holds a bad entry");
        to.insert({std::string(name), header.inode, static_cast<node_kind>(header.kind)});
    }
    return {};
}

result<directory_blocks> build_directory_blocks(const directory& contents, const directory_format& format) {
    block_filler filler(format);
    filler.add(".", format.self, node_kind::directory);
    filler.add("..", contents.parent, node_kind::directory);
    for (const auto& entry : contents.entries()) {
        filler.add(entry.name, entry.inode, entry.kind);
        if (filler.count() > 1) return build_tree(contents, format);
    }
    return directory_blocks{std::move(filler).finish(), false};
}

}  // namespace obd::fs

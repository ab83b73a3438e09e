// Paths of a layer on an ext4 volume: nothing in a path leads out of the root, and what this layer has put somewhere is
// remembered, so that whiteouts take away only what lies below it.
#pragma once

#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "base/result.hpp"
#include "layers/fs/ext4_volume.hpp"

namespace obd::fs {

/// One thread at a time. The volume outlives it.
class oci_tree {
public:
    explicit oci_tree(ext4_volume& volume) : volume_(volume) {}

    /// A name in a directory. An empty name is the root itself.
    struct place {
        inode_number directory = root_inode;
        std::string name;
    };

    /// Where `path` is. Absolute paths begin at the root, ".." is taken away by its text and never leads above the
    /// root, symbolic links in all components but the last are followed as a process inside the root would follow them.
    /// Fails with not_found where a directory on the way is missing, invalid_argument where it is something else.
    result<place> find(std::string_view path);
    /// As find(), but makes missing directories (0755, root's, with this time).
    result<place> find_or_make(std::string_view path, timestamp modified);

    /// This layer put something there: whiteouts leave it alone.
    void mark(const place& where) { placed_.insert(key(where)); }
    bool is_marked(const place& where) const { return placed_.contains(key(where)); }

    /// Whether `directory` is `above` or lies somewhere in it.
    result<bool> contains(inode_number above, inode_number directory);

    /// Removes what is there, with all that is in it. No error when there is nothing.
    result<void> remove(const place& where);
    /// Removes everything in the directory but what this layer put there.
    result<void> clear_lower(inode_number directory);

private:
    enum class missing { refuse, make };
    result<place> walk(std::string_view path, missing what, timestamp modified);
    static std::string key(const place& where) { return std::to_string(where.directory) + '/' + where.name; }

    ext4_volume& volume_;
    std::unordered_set<std::string> placed_;
};

}  // namespace obd::fs

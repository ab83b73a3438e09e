// A scratch disk image in a sparse file, with e2fsprogs as the judge of what was written to it.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "layers/fs/ext4_volume.hpp"
#include "layers/fs/oci_apply.hpp"
#include "layers/fs/sync_disk.hpp"
#include "tests/support/scratch_directory.hpp"

namespace obd::fs::test {

using obd::test::scratch_directory;

struct command_outcome {
    int status = -1;
    std::string output;  ///< both streams
};
command_outcome run_command(const std::string& command);
bool has_program(const std::string& name);

/// An ext4 image of this size, made when it is constructed.
class ext4_image {
public:
    explicit ext4_image(byte_count size = {64u << 20});
    const std::filesystem::path& path() const { return path_; }
    /// The image is open for writing only within `work`.
    template <typename Function>
    void change(Function work) {
        auto disk = open_file_disk(path_).value();
        auto volume = ext4_volume::open(*disk).value();
        work(*volume);
    }
    /// Unpacks a tar, and checks the file system afterwards.
    result<apply_report> apply(const std::string& tar, apply_options options = {});
    /// Empty when e2fsck finds nothing to say; else its output.
    std::string complaints() const;
    std::string debugfs(const std::string& command) const;
    std::string sha256() const;

private:
    scratch_directory directory_;
    std::filesystem::path path_;
};

/// "dir 0755 1:2 name", one line a node, sorted by path: all that an initiator would see, with digests of contents.
/// Nodes with several names show the first one as "=name".
std::vector<std::string> listing(ext4_volume& volume);
std::string contents(ext4_volume& volume, inode_number file);

}  // namespace obd::fs::test

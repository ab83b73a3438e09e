// Files of the host's file system.
#pragma once

#include <filesystem>

#include "layers/write/file_io.hpp"

namespace obd::layers {

/// Has no state.
class host_file_system final : public file_system {
public:
    /// Takes an advisory lock, shared for read_only and exclusive else, so that no layer is read or written by one
    /// program while another writes it: busy.
    result<std::shared_ptr<file>> open(const std::filesystem::path& path, open_mode mode) override;
    result<bool> exists(const std::filesystem::path& path) override;
    result<void> remove(const std::filesystem::path& path) override;
    result<void> rename(const std::filesystem::path& from, const std::filesystem::path& to) override;
    result<void> sync_directory_of(const std::filesystem::path& path) override;
};

/// pwrite until all is written. The failure does not name the file.
result<void> write_fully(int fd, byte_offset offset, const_bytes bytes);
result<void> sync_directory_of(const std::filesystem::path& path);

}  // namespace obd::layers

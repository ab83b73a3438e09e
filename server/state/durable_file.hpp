// Small files that are either the old or the new ones after a crash.
#pragma once

#include <filesystem>
#include <string_view>

#include "base/result.hpp"

namespace obd::server {

/// Writes path.tmp, syncs it, renames it to `path` and syncs the folder; the file that was there before stays as
/// path.previous. Readable by the owner only. Blocks. When it returns without a failure, the text is on stable storage.
result<void> replace_file(const std::filesystem::path& path, std::string_view text);

/// Removes `path` and path.previous, if they are there, durably.
result<void> remove_file(const std::filesystem::path& path);

/// Holds a folder for this process as long as it lives. Another process that asks meanwhile fails with `busy`.
class folder_lock {
public:
    /// Creates the folder if need be.
    static result<folder_lock> take(const std::filesystem::path& folder);
    folder_lock(folder_lock&& other) noexcept;
    folder_lock& operator=(folder_lock&&) = delete;
    ~folder_lock();

private:
    explicit folder_lock(int descriptor) : descriptor_(descriptor) {}
    int descriptor_;
};

}  // namespace obd::server

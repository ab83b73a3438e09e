// A directory for the time that a command runs.
#pragma once

#include <filesystem>
#include <utility>

#include "base/result.hpp"

namespace obd::tools {

/// Removed with all that is in it.
class scratch_directory {
public:
    /// Below `parent`, which must exist.
    static result<scratch_directory> create(const std::filesystem::path& parent);
    scratch_directory(scratch_directory&& other) noexcept : path_(std::exchange(other.path_, {})) {}
    scratch_directory& operator=(scratch_directory&&) = delete;
    ~scratch_directory();

    const std::filesystem::path& path() const { return path_; }

private:
    explicit scratch_directory(std::filesystem::path path) : path_(std::move(path)) {}
    std::filesystem::path path_;
};

}  // namespace obd::tools

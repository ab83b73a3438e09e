// A folder for one test.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <string_view>

#include "base/bytes.hpp"

namespace obd::test {

/// A new folder, removed with all that is in it. Throws when it can't be made.
class scratch_directory {
public:
    scratch_directory() {
        std::string pattern = (std::filesystem::temp_directory_path() / "obd-test-XXXXXX").string();
        if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp " + pattern);
        path_ = pattern;
    }
    ~scratch_directory() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    scratch_directory(const scratch_directory&) = delete;
    scratch_directory& operator=(const scratch_directory&) = delete;

    const std::filesystem::path& path() const { return path_; }
    std::filesystem::path operator/(std::string_view name) const { return path_ / name; }

    /// Writes a file in it, with the folders above, and returns its path.
    std::filesystem::path write(std::string_view name, const_bytes content) const {
        const auto path = path_ / name;
        std::filesystem::create_directories(path.parent_path());
        std::ofstream file(path, std::ios::binary);
        file.write(as_text(content).data(), static_cast<std::streamsize>(content.size()));
        if (!file.flush()) throw std::runtime_error("write " + path.string());
        return path;
    }
    std::filesystem::path write(std::string_view name, std::string_view text) const {
        return write(name, as_bytes(text));
    }

private:
    std::filesystem::path path_;
};

}  // namespace obd::test

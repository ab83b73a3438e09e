#include "base/small_file.hpp"

#include <array>
#include <cerrno>
#include <fstream>
#include <utility>

#include "base/limits.hpp"

namespace obd {

result<std::optional<std::string>> read_small_file(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file && errno == ENOENT) return std::optional<std::string>{};
    if (!file) return fail_errno(path.string());
    // In pieces: a buffer of the greatest size would leave its pages with the allocator.
    std::string text;
    std::array<char, 4096> piece;
    while (file && text.size() <= limits::config_file_bytes) {
        file.read(piece.data(), piece.size());
        text.append(piece.data(), static_cast<std::size_t>(file.gcount()));
    }
    if (file.bad()) return fail(errc::io_error, path.string());
    return std::optional(std::move(text));
}

}  // namespace obd

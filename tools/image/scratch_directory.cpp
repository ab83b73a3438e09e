#include "tools/image/scratch_directory.hpp"

#include <cstdlib>
#include <string>
#include <system_error>

namespace obd::tools {

result<scratch_directory> scratch_directory::create(const std::filesystem::path& parent) {
    auto name = (parent / "overlaybd-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) return fail_errno("a temporary directory in " + parent.string());
    return scratch_directory(std::filesystem::path(name));
}

scratch_directory::~scratch_directory() {
    if (path_.empty()) return;
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
}

}  // namespace obd::tools

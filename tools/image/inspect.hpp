// What a file of an image is: tar wrapper, ZFile, LSMT layer, half of a writable layer, trace.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.hpp"
#include "base/worker_pool.hpp"

namespace obd::tools {

using inspected_value = std::variant<std::string, std::uint64_t>;

/// One wrapper or format, outermost first. Names are those of the JSON members.
struct inspected_part {
    std::string what;  ///< "file", "tar", "zfile", "lsmt", "lsmt_data", "lsmt_index", "trace"
    std::vector<std::pair<std::string, inspected_value>> fields;
};

/// One entry of an LSMT index, in sectors.
struct inspected_entry {
    std::uint64_t start = 0;
    std::uint64_t length = 0;
    std::uint64_t moffset = 0;
    bool zeroed = false;
};

struct inspection {
    std::vector<inspected_part> parts;
    std::vector<inspected_entry> entries;  ///< when asked for
};

struct inspect_options {
    bool entries = false;  ///< list the index
    bool verify = false;   ///< read everything and check every checksum
};

/// Blocks. Fails where the file is damaged, saying where.
result<inspection> inspect(const std::filesystem::path& path, const inspect_options& options, worker_pool& workers);

/// Reads every block of a ZFile, in a tar or not. Fails where one is damaged, or has no checksum.
result<void> verify_zfile(const std::filesystem::path& path, worker_pool& workers);

std::string as_text(const inspection& what);
std::string as_json(const inspection& what);

}  // namespace obd::tools

// The options by which a layer is compressed and wrapped, as commit, merge and zfile share them.
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <string>

#include "base/result.hpp"
#include "layers/write/block_compressor.hpp"
#include "layers/write/sink.hpp"

namespace obd::tools {

/// --algorithm and --bs.
struct compression_arguments {
    std::string algorithm = "lz4";
    unsigned block_kib = 4;

    void add_to(CLI::App& app);
    /// invalid_argument, naming the option.
    result<layers::zfile_options> parse(unsigned threads) const;
};

/// A warning on stderr when overlaybd itself could not read what was written.
void warn_of_oversized(std::uint64_t blocks, const std::filesystem::path& output);

}  // namespace obd::tools

#include "tools/image/wrapping.hpp"

#include <cstdio>

namespace obd::tools {

void compression_arguments::add_to(CLI::App& app) {
    app.add_option("--algorithm", algorithm, "lz4 or zstd")->capture_default_str();
    app.add_option("--bs", block_kib, "size of a compressed block in KiB: 4, 8, 16, 32 or 64")->capture_default_str();
}

result<layers::zfile_options> compression_arguments::parse(unsigned threads) const {
    layers::zfile_options options;
    if (algorithm == "lz4") {
        options.algo = layers::zfile::algorithm::lz4;
    } else if (algorithm == "zstd") {
        options.algo = layers::zfile::algorithm::zstd;
    } else {
        return fail(errc::invalid_argument, "--algorithm " + algorithm + " (lz4 and zstd are known)");
    }
    if (block_kib > 64 || block_kib < 4 || (block_kib & (block_kib - 1)) != 0) {
        return fail(errc::invalid_argument,
                    "--bs " + std::to_string(block_kib) + " (4, 8, 16, 32 and 64 are possible)");
    }
    options.block_bytes = block_kib << 10;
    options.threads = threads;
    return options;
}

void warn_of_oversized(std::uint64_t blocks, const std::filesystem::path& output) {
    if (blocks == 0) return;
    std::fprintf(stderr,
                 "warning: %s: %llu incompressible blocks of 64 KiB became longer than 64 KiB; overlaybd up to 1.0.18 "
                 "cannot read them (choose --bs 32 or less for it)\n",
                 output.c_str(), static_cast<unsigned long long>(blocks));
}

}  // namespace obd::tools

// What tests of layers/ share: the services that opening an image takes, a scratch folder, files, and reading a disk.
#pragma once

#include <spdlog/logger.h>
#include <spdlog/sinks/null_sink.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/block_device.hpp"
#include "base/bytes.hpp"
#include "base/worker_pool.hpp"
#include "layers/image.hpp"
#include "layers/layer_pool.hpp"
#include "tests/support/scratch_directory.hpp"

namespace obd::test {

/// A worker pool, a layer pool and a logger that says nothing.
struct layer_services {
    worker_pool workers{2};
    layers::layer_pool pool{workers};
    spdlog::logger log{"test", std::make_shared<spdlog::sinks::null_sink_mt>()};
    blob_provider* registry = nullptr;
    layers::upper_opener* uppers = nullptr;

    layers::image_services get() {
        return {.workers = workers, .pool = pool, .registry = registry, .log = log, .uppers = uppers};
    }
};

std::vector<std::byte> read_file(const std::filesystem::path& path);

/// One read, in place where that can be. The outcome of the awaitable form where not.
result<void> read_device(block_device& device, byte_offset offset, mutable_bytes out);
/// The whole device, in pieces. REQUIRES: it fits in memory.
result<std::vector<std::byte>> read_all(block_device& device);

/// A short name for where two sequences differ, or "" when they are equal.
std::string first_difference(const_bytes expected, const_bytes seen);

}  // namespace obd::test

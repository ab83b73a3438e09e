// How fast the write half of layers/ is, in process: random 4 KiB writes to either kind of writable layer, and
// compression. The folder given must be on the file system to measure.
//
//     write_bench DIRECTORY
#include <spdlog/logger.h>
#include <spdlog/sinks/null_sink.h>

#include <chrono>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "layers/layer_pool.hpp"
#include "layers/write/blocking.hpp"
#include "layers/write/writable_image.hpp"
#include "layers/write/zfile_writer.hpp"

using namespace obd;
using namespace obd::layers;

namespace {

constexpr std::uint64_t disk_bytes = std::uint64_t{1} << 30;
constexpr std::uint64_t writes = 400'000;

/// Wall-clock time tells what a user sees on an idle machine; CPU time is comparable on a busy one too.
struct duration {
    double wall = 0;
    double cpu = 0;
};

duration measure(const std::function<void()>& work) {
    const auto cpu_begin = std::clock();
    const auto begin = std::chrono::steady_clock::now();
    work();
    const std::chrono::duration<double> wall = std::chrono::steady_clock::now() - begin;
    return {.wall = wall.count(), .cpu = static_cast<double>(std::clock() - cpu_begin) / CLOCKS_PER_SEC};
}

struct write_counts {
    std::uint64_t in_place = 0;
    std::uint64_t waited = 0;
};

write_counts write_randomly(image& disk, std::uint64_t count) {
    std::mt19937_64 random(1);
    std::vector<std::byte> block(4096);
    write_counts counts;
    for (std::uint64_t i = 0; i < count; ++i) {
        const byte_offset at{random() % (disk_bytes / 4096) * 4096};
        store(mutable_bytes(block), i);
        if (disk.try_write(at, block) == attempt::complete) {
            ++counts.in_place;
            continue;
        }
        ++counts.waited;
        run_blocking(disk.write(at, block, durability::write_back)).value();
    }
    return counts;
}

void measure_writes(const std::filesystem::path& directory, upper_kind kind) {
    worker_pool workers(2);
    layer_pool pool(workers);
    spdlog::logger log("bench", std::make_shared<spdlog::sinks::null_sink_mt>());
    writable_layers uppers;
    const upper_paths paths{.data = directory / "data", .index = directory / "index"};
    create_upper({.paths = paths, .kind = kind, .virtual_size = {disk_bytes}, .uuid = {}, .parent_uuid = {}}).value();
    image_config config;
    config.upper.data = paths.data;
    config.upper.index = paths.index;
    const auto disk =
        run_blocking(open_image(std::move(config),
                                {.workers = workers, .pool = pool, .registry = nullptr, .log = log, .uppers = &uppers}))
            .value();
    write_counts counts;
    for (const char* what : {"4K random writes", "4K overwrites"}) {
        const auto time = measure([&] { counts = write_randomly(*disk, writes); });
        std::printf("%-7s %-18s %9.0f /s  %9.0f /CPU s  (%llu waited)\n", name_of(kind), what, writes / time.wall,
                    writes / time.cpu, static_cast<unsigned long long>(counts.waited));
    }
    const auto flush = measure([&] { run_blocking(disk->flush()).value(); });
    std::vector<std::byte> block(4096);
    std::mt19937_64 random(2);
    const auto read = measure([&] {
        for (std::uint64_t i = 0; i < writes; ++i) {
            const byte_offset at{random() % (disk_bytes / 4096) * 4096};
            if (disk->try_read(at, block) != attempt::complete) run_blocking(disk->read(at, block)).value();
        }
    });
    std::printf("%-7s %-18s %9.0f /s  %9.0f /CPU s  (flush before: %.3f s)\n", name_of(kind), "4K random reads",
                writes / read.wall, writes / read.cpu, flush.wall);
    run_blocking(disk->close()).value();
    std::filesystem::remove(paths.data);
    std::filesystem::remove(paths.index);
}

class null_sink final : public byte_sink {
public:
    result<void> write(const_bytes) override { return {}; }
};

/// Text-like: words from a small vocabulary with numbers between. Compresses to about two fifths.
std::vector<std::byte> sample_text(std::size_t count) {
    std::mt19937_64 random(3);
    std::vector<std::string> words;
    for (int i = 0; i < 3000; ++i) {
        std::string word;
        for (auto k = 2 + random() % 9; k > 0; --k) word += static_cast<char>('a' + random() % 26);
        words.push_back(word + ' ');
    }
    std::string text;
    while (text.size() < count) {
        text += words[random() % words.size() * (random() % words.size()) / words.size()];
        if (random() % 6 == 0) text += std::to_string(random() % 100000) + "\n";
    }
    const auto bytes = as_bytes(text).first(count);
    return {bytes.begin(), bytes.end()};
}

void measure_compression(const char* name, const std::vector<std::byte>& content, const zfile_options& options) {
    null_sink out;
    zfile_totals totals;
    const auto time = measure([&] {
        auto writer = zfile_writer::begin(out, options, zfile_index_at::trailer).value();
        writer->write(content).value();
        totals = writer->finish().value();
    });
    const double mib = static_cast<double>(content.size()) / 1048576;
    std::printf("%-9s %u thread(s)      %8.0f MiB/s  %8.0f MiB/CPU s  to %.0f %%\n", name, options.threads,
                mib / time.wall, mib / time.cpu,
                100.0 * static_cast<double>(totals.stored.value) / static_cast<double>(totals.plain.value));
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) {
        std::fprintf(stderr, "usage: write_bench DIRECTORY\n");
        return 2;
    }
    const std::filesystem::path directory(argv[1]);
    std::filesystem::create_directories(directory);
    measure_writes(directory, upper_kind::append_only);
    measure_writes(directory, upper_kind::sparse);
    const auto content = sample_text(256u << 20);
    for (const unsigned threads : {1u, 2u}) {
        measure_compression("lz4-4K", content, {.block_bytes = 4096, .threads = threads});
        measure_compression("lz4-64K", content, {.block_bytes = 65536, .threads = threads});
        measure_compression("zstd-4K", content,
                            {.algo = zfile::algorithm::zstd, .block_bytes = 4096, .threads = threads});
    }
}

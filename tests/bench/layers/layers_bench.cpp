// How long one hot read of an image takes: 4 KiB at random places (try_read, one thread), and 1 MiB in sequence.
//     layers_bench [SECONDS]
// The layer is 64 MiB of data that compresses to about half, written by the tests' own writer into a scratch file.
#include <time.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>

#include "layers/image.hpp"
#include "tests/support/await.hpp"
#include "tests/support/layer_fixtures.hpp"
#include "tests/support/layer_writer.hpp"

namespace {

using namespace obd;
using namespace obd::test;
using clock_type = std::chrono::steady_clock;

constexpr std::uint64_t data_bytes = 64 << 20;

struct subject {
    const char* name;
    byte_vector file;
};

/// Of this thread: on a shared machine, what the work costs, however often it was put aside.
double cpu_ns() {
    timespec now{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

double ns_an_operation(clock_type::time_point start, std::uint64_t operations) {
    const std::chrono::duration<double, std::nano> taken = clock_type::now() - start;
    return taken.count() / static_cast<double>(operations);
}

void random_4k(layers::image& disk, std::chrono::duration<double> time, const char* name) {
    std::mt19937_64 random(1);
    byte_vector out(4096);
    std::uint64_t done = 0;
    std::uint64_t declined = 0;
    const double cpu_start = cpu_ns();
    const auto start = clock_type::now();
    while (clock_type::now() - start < time) {
        for (int i = 0; i < 256; ++i, ++done) {
            const byte_offset offset{random() % (data_bytes / 4096) * 4096};
            declined += disk.try_read(offset, out) == attempt::would_block ? 1U : 0U;
        }
    }
    const double cpu = (cpu_ns() - cpu_start) / static_cast<double>(done);
    std::printf("%-14s 4 KiB random      %9.0f ns/read, %.0f of CPU (%llu of %llu not in place)\n", name,
                ns_an_operation(start, done), cpu, static_cast<unsigned long long>(declined),
                static_cast<unsigned long long>(done));
}

asio::awaitable<result<void>> megabytes(layers::image& disk, std::uint64_t& done, clock_type::time_point stop) {
    byte_vector out(1 << 20);
    const mutable_bytes space(out);
    for (std::uint64_t at = 0; clock_type::now() < stop; at = (at + out.size()) % data_bytes, ++done) {
        const byte_offset offset{at};
        if (disk.try_read(offset, space) == attempt::complete) continue;
        CO_TRYV(co_await disk.read(offset, space));
    }
    co_return result<void>();
}

void sequential_1m(layers::image& disk, std::chrono::duration<double> time, const char* name) {
    std::uint64_t done = 0;
    const auto start = clock_type::now();
    const auto stop = start + std::chrono::duration_cast<clock_type::duration>(time);
    if (const auto read = await(megabytes(disk, done, stop)); !read)
        std::printf("%s\n", read.error().message().c_str());
    std::printf("%-14s 1 MiB sequential  %9.0f MiB/s\n", name, 1e9 / ns_an_operation(start, done));
}

}  // namespace

int main(int argc, char** argv) {
    const std::chrono::duration<double> time(argc > 1 ? std::atof(argv[1]) : 2.0);
    lsmt_builder changes;
    changes.write(0, sample_bytes(data_bytes, 1, 4));
    const byte_vector raw = changes.committed({.virtual_bytes = data_bytes});
    const subject subjects[] = {
        {"raw", raw},
        {"lz4 4K", zfile(raw, {})},
        {"lz4 64K", zfile(raw, {.block_bytes = 65536})},
        {"zstd 4K", zfile(raw, {.coding = zfile_coding::zstd})},
        {"lz4 4K in tar", tar_with_pax(zfile(raw, {}), 0)},
    };
    scratch_directory dir;
    for (const auto& [name, file] : subjects) {
        layer_services services;
        layers::image_config config;
        config.lowers.push_back({.file = dir.write(name, file).string()});
        const auto disk = await(layers::open_image(std::move(config), services.get())).value();
        random_4k(*disk, time, name);
        sequential_1m(*disk, time, name);
    }
    return 0;
}

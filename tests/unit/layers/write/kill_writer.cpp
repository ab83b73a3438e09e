// kill_writer DATA INDEX SEED: writes a disk at random until it is killed, telling what it begins and what it was
// promised. See kill_test.cpp.
#include <spdlog/logger.h>
#include <spdlog/sinks/null_sink.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>

#include "layers/layer_pool.hpp"
#include "layers/write/blocking.hpp"
#include "layers/write/writable_image.hpp"
#include "tests/unit/layers/write/disk_model.hpp"
#include "tests/unit/layers/write/kill_journal.hpp"

using namespace obd;
using namespace obd::test;
using namespace obd::layers;

namespace {

void tell(const kill_note& note) {
    // One write of less than PIPE_BUF: it is in the pipe as a whole or not at all.
    if (::write(STDOUT_FILENO, &note, sizeof(note)) != sizeof(note)) std::exit(3);
}

void step(image& disk, std::mt19937_64& random, std::uint64_t value) {
    using kind = kill_note::kind;
    const auto dice = random() % 20;
    if (dice == 0) {
        run_blocking(disk.flush()).value();
        return tell({.what = kind::flushed, .start = 0, .count = 0, .value = 0});
    }
    const auto start = random() % kill_disk_sectors;
    const auto count = std::min<std::uint64_t>(1 + random() % 40, kill_disk_sectors - start);
    const byte_offset offset{start * sector_bytes};
    const bool discard = dice < 4;
    kill_note note{.what = kind::begun, .start = start, .count = count, .value = discard ? 0 : value};
    tell(note);
    if (discard) {
        run_blocking(disk.discard(offset, {count * sector_bytes})).value();
    } else {
        std::vector<std::byte> data(count * sector_bytes);
        fill(data, value);
        const auto when = dice == 4 ? durability::force_unit_access : durability::write_back;
        if (when == durability::force_unit_access || disk.try_write(offset, data) != attempt::complete) {
            run_blocking(disk.write(offset, data, when)).value();
        }
    }
    note.what = kind::acknowledged;
    tell(note);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 4) return 2;
    worker_pool workers(2);
    layer_pool pool(workers);
    spdlog::logger log("kill_writer", std::make_shared<spdlog::sinks::null_sink_mt>());
    writable_layers uppers;
    image_config config;
    config.upper.data = argv[1];
    config.upper.index = argv[2];
    const image_services services{.workers = workers, .pool = pool, .registry = nullptr, .log = log, .uppers = &uppers};
    const auto disk = run_blocking(open_image(std::move(config), services)).value();
    const auto seed = std::stoull(argv[3]);
    std::mt19937_64 random(seed);
    for (std::uint64_t value = seed << 32;; value += 4096) step(*disk, random, value);
}

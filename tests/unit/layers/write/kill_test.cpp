// A process that writes a disk is killed at random moments, again and again; everything that it was promised is there.
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <random>
#include <string>

#include "layers/write/writable_image.hpp"
#include "tests/support/await.hpp"
#include "tests/support/layer_fixtures.hpp"
#include "tests/unit/layers/write/disk_model.hpp"
#include "tests/unit/layers/write/kill_journal.hpp"

extern char** environ;

using namespace obd;
using namespace obd::test;
using namespace obd::layers;

namespace {

/// Reads a whole note; false at the end of the pipe.
bool read_note(int from, kill_note& note) {
    std::size_t got = 0;
    auto* bytes = reinterpret_cast<char*>(&note);
    while (got < sizeof(note)) {
        const auto more = ::read(from, bytes + got, sizeof(note) - got);
        if (more <= 0) return false;
        got += static_cast<std::size_t>(more);
    }
    return true;
}

void apply(disk_model& model, const kill_note& note) {
    switch (note.what) {
        case kill_note::kind::begun:
            return model.attempt_write(note.start, note.count, note.value);
        case kill_note::kind::acknowledged:
            return model.write(note.start, note.count, note.value);
        case kill_note::kind::flushed:
            return model.flushed();
    }
}

/// Runs the writer until `notes` of its notes have been read, kills it, and takes the rest of them too.
void write_and_kill(const upper_paths& paths, std::uint64_t seed, std::uint64_t notes, disk_model& model) {
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    std::string program = OBD_KILL_WRITER;
    std::string data = paths.data.string();
    std::string index = paths.index.string();
    std::string number = std::to_string(seed);
    char* arguments[] = {program.data(), data.data(), index.data(), number.data(), nullptr};
    pid_t child = 0;
    REQUIRE(::posix_spawn(&child, program.c_str(), &actions, nullptr, arguments, environ) == 0);
    posix_spawn_file_actions_destroy(&actions);
    ::close(ends[1]);
    kill_note note{};
    for (std::uint64_t i = 0; i < notes; ++i) {
        REQUIRE(read_note(ends[0], note));
        apply(model, note);
    }
    REQUIRE(::kill(child, SIGKILL) == 0);
    while (read_note(ends[0], note)) apply(model, note);
    ::close(ends[0]);
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    REQUIRE(WIFSIGNALED(status));
}

void kill_often(upper_kind kind) {
    const std::uint64_t seed = 20261126;
    CAPTURE(seed);
    std::mt19937_64 random(seed);
    const scratch_directory scratch;
    const auto paths = upper_paths_in(scratch.path());
    REQUIRE(create_upper({.paths = paths,
                          .kind = kind,
                          .virtual_size = {kill_disk_sectors * sector_bytes},
                          .uuid = {},
                          .parent_uuid = {}})
                .has_value());
    disk_model model(kill_disk_sectors);
    for (std::uint64_t life = 1; life <= 60; ++life) {
        CAPTURE(life);
        write_and_kill(paths, life, 1 + random() % 400, model);
        if (random() % 3 == 0) continue;  // the next writer repairs it itself
        layer_services services;
        writable_layers uppers;
        services.uppers = &uppers;
        image_config config;
        config.upper.data = paths.data;
        config.upper.index = paths.index;
        auto disk = await(open_image(std::move(config), services.get()));
        INFO((disk ? "" : disk.error().message()));
        REQUIRE(disk.has_value());
        const auto content = *read_all(**disk);
        REQUIRE(model.differs(content) == "");
        model.adopt(content);
    }
}

}  // namespace

TEST_CASE("a killed writer of an append-only layer", "[kill]") {
    kill_often(upper_kind::append_only);
}
TEST_CASE("a killed writer of a sparse layer", "[kill]") {
    kill_often(upper_kind::sparse);
}

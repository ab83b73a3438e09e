// The client against a registry that we did not write: pushed to, resolved, read at random.
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <optional>

#include "base/digest.hpp"
#include "registry/manifest.hpp"
#include "tests/support/client_rig.hpp"

extern char** environ;

using namespace obd;
using namespace obd::test;

namespace {

// bcrypt, 4 rounds, of "secret".
constexpr const char* password_file = "user:$2b$04$rD7ixeXjhTv9sT/dPaJ4iuPXQNnVaw3DCTklyYQVfo2BZOmMwmEkS\n";

enum class doors { open, password };

/// Debian's docker-registry on a port of the system's choice, with its data in a temporary directory.
class docker_registry {
public:
    explicit docker_registry(doors how) {
        std::string auth;
        if (how == doors::password) {
            auth = "auth: {htpasswd: {realm: test, path: " + dir_.write("htpasswd", password_file).string() + "}}\n";
        }
        const auto config =
            dir_.write("config.yml", "version: 0.1\nlog: {level: info}\nstorage: {filesystem: {rootdirectory: " +
                                         (dir_.path() / "data").string() + "}}\nhttp: {addr: '127.0.0.1:0'}\n" + auth);
        std::string program = "docker-registry";
        std::string verb = "serve";
        std::string file = config.string();
        char* arguments[] = {program.data(), verb.data(), file.data(), nullptr};
        int log[2];
        if (::pipe2(log, O_CLOEXEC) != 0) throw std::runtime_error("pipe");
        posix_spawn_file_actions_t actions;
        ::posix_spawn_file_actions_init(&actions);
        ::posix_spawn_file_actions_adddup2(&actions, log[1], 2);
        ::posix_spawn_file_actions_adddup2(&actions, log[1], 1);
        const int error = ::posix_spawnp(&child_, program.c_str(), &actions, nullptr, arguments, environ);
        ::posix_spawn_file_actions_destroy(&actions);
        ::close(log[1]);
        log_ = log[0];
        if (error != 0) child_ = -1;
        if (error == 0) find_port();
        // The pipe must not fill up.
        drain_ = std::thread([fd = log_] {
            char sink[4096];
            while (::read(fd, sink, sizeof sink) > 0) continue;
        });
    }
    ~docker_registry() {
        if (child_ > 0) {
            ::kill(child_, SIGKILL);
            ::waitpid(child_, nullptr, 0);
        }
        drain_.join();
        ::close(log_);
    }
    bool there() const { return !host_.empty(); }
    const std::string& host() const { return host_; }

private:
    /// It logs where it listens; that line is also the sign that it is ready.
    void find_port() {
        std::string text;
        char byte = 0;
        while (::read(log_, &byte, 1) == 1) {
            text += byte;
            const auto at = text.find("listening on 127.0.0.1:");
            if (at == std::string::npos) continue;
            const auto port = at + 13;
            const auto end = text.find_first_not_of("0123456789.:", port);
            if (end == std::string::npos) continue;
            host_ = text.substr(port, end - port);
            return;
        }
    }

    scratch_directory dir_;
    pid_t child_ = -1;
    int log_ = -1;
    std::string host_;
    std::thread drain_;
};

class memory_blob final : public blob_source {
public:
    explicit memory_blob(std::string bytes) : bytes_(std::move(bytes)), digest_(sha256_digest(as_bytes(bytes_))) {}
    std::string_view name() const noexcept override { return digest_; }
    byte_count size() const noexcept override { return {bytes_.size()}; }
    attempt try_read(byte_offset offset, mutable_bytes out) noexcept override {
        if (!within(offset, {out.size()}, size())) return attempt::would_block;
        const auto part = as_bytes(bytes_).subspan(offset.value, out.size());
        std::copy(part.begin(), part.end(), out.begin());
        return attempt::complete;
    }
    asio::awaitable<result<void>> read(byte_offset offset, mutable_bytes out) override {
        if (try_read(offset, out) != attempt::complete) co_return fail(errc::out_of_range, "memory");
        co_return result<void>();
    }
    bool discard_cached(byte_offset, byte_count) noexcept override { return false; }
    void prefetch(byte_offset, byte_count) noexcept override {}

private:
    std::string bytes_;
    std::string digest_;
};

std::string manifest_of(const std::string& layer, std::size_t size, const std::string& config) {
    return R"({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": {"mediaType": )"
           R"("application/vnd.oci.image.config.v1+json", "digest": ")" +
           config + R"(", "size": 2}, "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": ")" +
           layer + R"(", "size": )" + std::to_string(size) +
           R"(, "annotations": {"containerd.io/snapshot/overlaybd/blob-digest": ")" + layer +
           R"(", "containerd.io/snapshot/overlaybd/blob-size": ")" + std::to_string(size) + R"("}}]})";
}

result<void> push(registry::pusher& to, const std::string& bytes, std::uint32_t chunk_bytes,
                  std::vector<std::uint64_t>& steps) {
    registry::blob_upload upload;
    upload.from = std::make_shared<memory_blob>(bytes);
    upload.digest = std::string(upload.from->name());
    upload.chunk_bytes = chunk_bytes;
    upload.progress = [&steps](byte_count sent) { steps.push_back(sent.value); };
    return await(to.upload(std::move(upload)));
}

}  // namespace

TEST_CASE("an image is pushed into docker-registry, resolved and read") {
    const auto how = GENERATE(doors::open, doors::password);
    INFO("password " << (how == doors::password));
    const docker_registry server(how);
    if (!server.there()) {
        WARN("skipped: docker-registry is not installed");
        return;
    }
    const scratch_directory dir;
    if (how == doors::password) {
        dir.write("cred.json",
                  R"({"auths": {")" + server.host() + R"(": {"username": "user", "password": "secret"}}})");
    }
    const auto bytes = random_bytes(700'001, 10);
    const auto digest = sha256_digest(as_bytes(bytes));
    client_rig rig(client_rig::quick_options(dir.path()));
    const auto name = server.host() + "/team/app:v1";

    const auto to = await(rig->push_to(name, {})).value();
    CHECK(await(to->has_blob(digest)).value() == false);
    std::vector<std::uint64_t> steps;
    REQUIRE(push(*to, bytes, 200'000, steps).has_value());
    CHECK(steps == std::vector<std::uint64_t>{200'000, 400'000, 600'000, 700'001});
    CHECK(await(to->has_blob(digest)).value() == true);
    REQUIRE(push(*to, "{}", 200'000, steps).has_value());
    const auto manifest = manifest_of(digest, bytes.size(), sha256_digest(as_bytes("{}")));
    const auto put = await(to->put_manifest("v1", manifest, std::string(registry::media::oci_manifest)));
    REQUIRE(put.has_value());
    CHECK(*put == sha256_digest(as_bytes(manifest)));

    const auto image = rig.resolve(name);
    REQUIRE(image.has_value());
    CHECK(image->manifest_digest == *put);
    REQUIRE(image->layers.size() == 1);
    const auto source = rig.open(image->repo_blob_url, image->layers[0].digest).value();
    CHECK(source->size().value == bytes.size());
    CHECK(client_rig::read(*source, 123'456, 10'000) == bytes.substr(123'456, 10'000));
    CHECK(source->fetched().value < bytes.size() / 10);
    CHECK(client_rig::read(*source, 0, bytes.size()) == bytes);

    const auto other = await(rig->push_to(server.host() + "/other", {})).value();
    CHECK(await(other->mount_blob(digest, "team/app")).value() == true);
    CHECK(await(other->has_blob(digest)).value() == true);
    CHECK(await(other->mount_blob("sha256:" + std::string(64, 'e'), "team/app")).value() == false);
}

TEST_CASE("docker-registry's refusals are told apart") {
    const docker_registry server(doors::password);
    if (!server.there()) {
        WARN("skipped: docker-registry is not installed");
        return;
    }
    const scratch_directory dir;
    const auto [user, code] =
        GENERATE(table<std::string, errc>({{"user", errc::not_found}, {"other", errc::permission_denied}}));
    dir.write("cred.json",
              R"({"auths": {")" + server.host() + R"(": {"username": ")" + user + R"(", "password": "secret"}}})");
    client_rig rig(client_rig::quick_options(dir.path()));
    const auto got = rig.resolve(server.host() + "/nothing:here");
    REQUIRE_FALSE(got.has_value());
    INFO(got.error().message());
    CHECK(got.error().is(code));
}

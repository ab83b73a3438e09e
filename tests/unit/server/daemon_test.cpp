// The real program as a process: start, refusal to start, signals, restart after SIGKILL. It reports readiness on
// $NOTIFY_SOCKET, which is what the tests wait for.
#include <fcntl.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <fstream>
#include <sstream>

#include "base/json/fields.hpp"
#include "layers/write/writable_image.hpp"
#include "server/catalog/upper_folder.hpp"
#include "tests/unit/server/fakes.hpp"
#include "tools/ctl/command_line.hpp"

extern char** environ;

using namespace obd;
using server::test::json_text;
using server::test::scratch_directory;

namespace {

std::string content(const std::filesystem::path& path) {
    std::stringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
}

/// Receives what services tell systemd.
class notify_socket {
public:
    explicit notify_socket(std::string path) : path_(std::move(path)) {
        fd_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        REQUIRE(path_.size() < sizeof address.sun_path);
        path_.copy(address.sun_path, path_.size());
        REQUIRE(::bind(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    }
    notify_socket(const notify_socket&) = delete;
    notify_socket& operator=(const notify_socket&) = delete;
    ~notify_socket() { ::close(fd_); }

    std::string receive() const {
        std::array<char, 256> text{};
        const auto count = ::recv(fd_, text.data(), text.size(), 0);
        return count > 0 ? std::string(text.data(), static_cast<std::size_t>(count)) : std::string();
    }
    const std::string& path() const { return path_; }

private:
    std::string path_;
    int fd_;
};

/// A daemon in a folder of its own; killed at the end if it is still there.
class process {
public:
    process(const std::filesystem::path& out, const std::string& notify, std::vector<std::string> words) {
        words.insert(words.begin(), OBD_DAEMON);
        std::vector<char*> arguments;
        for (auto& word : words) arguments.push_back(word.data());
        arguments.push_back(nullptr);
        std::string variable = "NOTIFY_SOCKET=" + notify;
        std::vector<char*> environment;
        for (char** one = environ; *one != nullptr; ++one) environment.push_back(*one);
        environment.push_back(variable.data());
        environment.push_back(nullptr);
        posix_spawn_file_actions_t actions;
        ::posix_spawn_file_actions_init(&actions);
        ::posix_spawn_file_actions_addopen(&actions, 2, out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
        const int failed = ::posix_spawn(&id_, OBD_DAEMON, &actions, nullptr, arguments.data(), environment.data());
        ::posix_spawn_file_actions_destroy(&actions);
        REQUIRE(failed == 0);
    }
    process(const process&) = delete;
    process& operator=(const process&) = delete;
    ~process() {
        if (id_ > 0) {
            ::kill(id_, SIGKILL);
            wait();
        }
    }

    void signal(int number) const { ::kill(id_, number); }
    /// The exit status, or 128 and the signal's number.
    int wait() {
        int status = 0;
        REQUIRE(::waitpid(id_, &status, 0) == id_);
        id_ = -1;
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }

private:
    pid_t id_ = -1;
};

struct daemon_fixture {
    daemon_fixture() {
        std::ofstream(folder / "overlaybd.json")
            << R"({"logConfig": {"logLevel": 1, "logPath": ")" << (folder / "log").native()
            << R"("}, "cacheConfig": {"cacheType": "file", "cacheDir": ")" << (folder / "cache").native()
            << R"(", "cacheSizeGB": 1}, "enableAudit": true, "auditPath": ")" << (folder / "audit").native()
            << R"(", "credentialConfig": {"mode": "file", "path": ")" << (folder / "cred.json").native()
            << R"("}, "iscsi": {"portals": ["127.0.0.1:0", "[::1]:0"], "threads": 1}, "workers": 2, "adminSocket": ")"
            << (folder / "admin.sock").native() << R"(", "stateDir": ")" << (folder / "state").native() << "\"}";
    }

    std::unique_ptr<process> start(std::vector<std::string> words) {
        return std::make_unique<process>(folder / "stderr", notify.path(), std::move(words));
    }
    std::unique_ptr<process> started() {
        auto daemon = start({"--config", folder / "overlaybd.json"});
        const auto told = notify.receive();
        INFO(content(folder / "stderr"));
        REQUIRE(told == "READY=1");
        return daemon;
    }
    int ctl(std::vector<std::string> words) {
        std::ostringstream out_stream, err_stream;
        words.insert(words.begin(), {"--socket", folder / "admin.sock"});
        const int code = ctl::run(std::move(words), out_stream, err_stream);
        out = out_stream.str();
        err = err_stream.str();
        return code;
    }

    scratch_directory folder;
    notify_socket notify{folder / "notify"};
    std::string out, err;
};

}  // namespace

TEST_CASE("the daemon starts, answers, and stops on SIGTERM and SIGINT with status 0") {
    daemon_fixture fix;
    const int number = GENERATE(SIGTERM, SIGINT);
    auto daemon = fix.started();
    CHECK(fix.ctl({"--json", "version"}) == 0);
    const auto version = json::parse(fix.out, "version").value();
    CHECK(version["portals"].Size() == 2);
    CHECK(version["portals"][0].GetString() != std::string("127.0.0.1:0"));
    CHECK(fix.ctl({"--json", "list"}) == 0);
    CHECK(fix.out == "[]\n");
    daemon->signal(number);
    CHECK(fix.notify.receive() == "STOPPING=1");
    CHECK(daemon->wait() == 0);
    CHECK_FALSE(std::filesystem::exists(fix.folder / "admin.sock"));
    CHECK_THAT(content(fix.folder / "log"), Catch::Contains("listening on 127.0.0.1:") && Catch::Contains("stopped"));
    CHECK(fix.ctl({"list"}) == 3);
}

TEST_CASE("the configuration may be the only argument") {
    daemon_fixture fix;
    const auto daemon = fix.start({fix.folder / "overlaybd.json"});
    CHECK(fix.notify.receive() == "READY=1");
}

TEST_CASE("why the daemon cannot start is said, with a status that tells causes apart") {
    daemon_fixture fix;
    const auto refused = [&](std::vector<std::string> words) {
        auto daemon = fix.start(std::move(words));
        return daemon->wait();
    };
    const auto variant = [&](const std::string& from, const std::string& to) {
        auto text = content(fix.folder / "overlaybd.json");
        text.replace(text.find(from), from.size(), to);
        std::ofstream(fix.folder / "variant.json") << text;
        return (fix.folder / "variant.json").native();
    };
    const auto reason = [&] { return content(fix.folder / "stderr"); };
    CHECK(refused({"--config", fix.folder / "none.json"}) == 3);
    CHECK_THAT(reason(), Catch::Contains("none.json"));
    CHECK(refused({"--config", variant("\"logLevel\": 1", "\"logLevel\": \"1\"")}) == 3);
    CHECK_THAT(reason(), Catch::Contains("\"logLevel\" must be an integer"));
    CHECK(refused({"--fly"}) == 2);
    CHECK(refused({"a", "--config", "b"}) == 2);
    CHECK(refused({"--check", fix.folder / "overlaybd.json"}) == 0);

    const auto daemon = fix.started();
    CHECK(fix.ctl({"--json", "version"}) == 0);
    const std::string portal = json::parse(fix.out, "version").value()["portals"][0].GetString();
    CHECK(refused({fix.folder / "overlaybd.json"}) == 1);
    CHECK_THAT(reason(), Catch::Contains("used by another daemon"));
    CHECK(refused({variant((fix.folder / "state").native(), (fix.folder / "state2").native())}) == 1);
    CHECK_THAT(reason(), Catch::Contains("admin.sock"));
    auto text = content(variant((fix.folder / "state").native(), (fix.folder / "state3").native()));
    text.replace(text.find("admin.sock"), 10, "other.sock");
    text.replace(text.find("127.0.0.1:0"), 11, portal);
    std::ofstream(fix.folder / "variant.json") << text;
    CHECK(refused({fix.folder / "variant.json"}) == 1);
    CHECK_THAT(reason(), Catch::Contains(portal));
    CHECK(fix.ctl({"list"}) == 0);  // the first one never noticed
}

TEST_CASE("SIGHUP opens the logs anew") {
    daemon_fixture fix;
    auto daemon = fix.started();
    std::filesystem::rename(fix.folder / "log", fix.folder / "old");
    daemon->signal(SIGHUP);
    // Signals are handled in order: once the daemon says that it stops, it has reopened.
    CHECK(fix.ctl({"list"}) == 0);
    daemon->signal(SIGTERM);
    CHECK(daemon->wait() == 0);
    CHECK_THAT(content(fix.folder / "log"), Catch::Contains("stopped"));
}

TEST_CASE("exports of a killed daemon are back when the next one is ready") {
    daemon_fixture fix;
    layers::create_upper_options upper;
    upper.paths = layers::upper_paths_in(fix.folder.path());
    upper.virtual_size = {8 << 20};
    REQUIRE(layers::create_upper(upper));
    layers::image_config image;
    image.upper.data = upper.paths.data.native();
    image.upper.index = upper.paths.index.native();
    std::ofstream(fix.folder / "image.json") << server::encode_image_config(image);

    auto daemon = fix.started();
    const int attached =
        fix.ctl({"--json", "attach", "--config", fix.folder / "image.json", "--name", "disk", "--lun", "5"});
    INFO(fix.err);
    REQUIRE(attached == 0);
    const auto before = json::parse(fix.out, "attach").value();
    CHECK(before["size_bytes"].GetInt64() == 8 << 20);
    CHECK(before["read_only"].GetBool() == false);
    daemon->signal(SIGKILL);
    CHECK(daemon->wait() == 128 + SIGKILL);

    daemon = fix.started();
    REQUIRE(fix.ctl({"--json", "show", "disk"}) == 0);
    const auto after = json::parse(fix.out, "show").value();
    for (const char* member : {"name", "target", "lun", "size_bytes", "serial", "naa", "image"}) {
        INFO(member);
        CHECK(json_text(after[member]) == json_text(before[member]));
    }
    CHECK(fix.ctl({"detach", "disk"}) == 0);
    daemon->signal(SIGTERM);
    CHECK(daemon->wait() == 0);
    CHECK_THAT(content(fix.folder / "audit"),
               Catch::Contains("|AUDIT|") && Catch::Contains("attach[") && Catch::Contains("detach["));
}

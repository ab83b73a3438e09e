// Targets whose initiators have units of their own, and targets that have moved.
#include <spdlog/sinks/null_sink.h>
#include <spdlog/spdlog.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>

#include "protocol/net/target_server.hpp"
#include "tests/conformance/wire_initiator.hpp"
#include "tests/support/memory_disk.hpp"

using namespace obd;
using namespace obd::iscsi;
using namespace obd::iscsi::testing;
using obd::testing::memory_disk;

namespace {

const std::string name = "iqn.2026-11.test:clones";

struct closing {
    std::string initiator;
    session_end how;
};

/// A disk of its own for each initiator, kept by name; remembers what it was asked.
class own_disks final : public initiator_units {
public:
    asio::awaitable<result<std::vector<lun_options>>> open(std::string initiator) override {
        if (hold_) {
            auto executor = co_await asio::this_coro::executor;
            asio::steady_timer timer(executor);
            while (hold_) {
                timer.expires_after(std::chrono::milliseconds(1));
                co_await timer.async_wait(asio::use_awaitable);
            }
        }
        if (failure_) co_return *failure_;
        const std::lock_guard lock(mutex_);
        ++opened_;
        auto& disk = disks_[initiator];
        if (!disk)
            disk = std::make_shared<memory_disk>(device_geometry{.size = {1 << 20}, .access = access_mode::read_write});
        std::vector<lun_options> units(1);
        units[0].device = disk;
        units[0].identity.serial = initiator;
        co_return units;
    }
    void closed(const std::string& initiator, session_end how) override {
        const std::lock_guard lock(mutex_);
        closed_.push_back({initiator, how});
        changed_.notify_all();
    }
    closing wait_closed() {
        std::unique_lock lock(mutex_);
        REQUIRE(changed_.wait_for(lock, std::chrono::seconds(60), [&] { return !closed_.empty(); }));
        const auto first = closed_.front();
        closed_.erase(closed_.begin());
        return first;
    }
    int opened() {
        const std::lock_guard lock(mutex_);
        return opened_;
    }
    bool any_closed() {
        const std::lock_guard lock(mutex_);
        return !closed_.empty();
    }

    std::atomic<bool> hold_{false};
    std::optional<failure> failure_;  // set before any login

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    std::map<std::string, std::shared_ptr<memory_disk>> disks_;
    std::vector<closing> closed_;
    int opened_ = 0;
};

struct fixture {
    explicit fixture(target_server_options options = {}) : loops({.threads = 2, .spin = {}}) {
        options.portals = {"127.0.0.1:0"};
        server = target_server::start(std::move(options), loops, log).value();
        server->add_target({.name = name, .alias = {}, .auth = {}, .allowed_initiators = {}, .per_initiator = disks})
            .value();
        loops.start();
    }
    ~fixture() {
        disks->hold_ = false;
        server.reset();
        loops.stop();
    }
    wire_initiator connect() const { return wire_initiator(server->portals().front()); }
    wire_initiator logged_in(const std::string& initiator, std::uint8_t isid = 1) const {
        auto one = connect();
        REQUIRE(one.login(name, initiator, isid, {"InitialR2T=No"}).status_class == 0);
        one.settle();
        return one;
    }

    spdlog::logger log{"test", std::make_shared<spdlog::sinks::null_sink_mt>()};
    event_loops loops;
    std::shared_ptr<own_disks> disks = std::make_shared<own_disks>();
    std::unique_ptr<target_server> server;
};

void write_byte(wire_initiator& one, char value) {
    one.send_write(1, 0, std::vector(512, static_cast<std::byte>(value)));
    CHECK(one.expect(opcode::scsi_response).as<scsi_response_bhs>().status == 0);
}

char read_byte(wire_initiator& one) {
    one.send_read(2, 0, 1);
    const auto pdu = one.expect(opcode::scsi_data_in);
    REQUIRE(pdu.data.size() == 512);
    return static_cast<char>(pdu.data[0]);
}

void log_out(wire_initiator& one) {
    logout_request_bhs bhs{};
    bhs.opcode_byte = static_cast<std::uint8_t>(opcode::logout_request) | immediate_bit;
    bhs.reason = final_bit;
    bhs.initiator_task_tag = 99;
    one.send(bhs);
    one.expect(opcode::logout_response);
}

std::uint16_t status_of(const login_response_bhs& answer) {
    return static_cast<std::uint16_t>(answer.status_class << 8 | answer.status_detail);
}

}  // namespace

TEST_CASE("initiators do not see one another's disk, and one's sessions share it") {
    fixture f;
    auto a = f.logged_in("iqn.2000-01.test:a");
    auto b = f.logged_in("iqn.2000-01.test:b");
    write_byte(a, 'a');
    write_byte(b, 'b');
    auto again = f.logged_in("iqn.2000-01.test:a", 2);
    CHECK(read_byte(a) == 'a');
    CHECK(read_byte(b) == 'b');
    CHECK(read_byte(again) == 'a');
    CHECK(f.disks->opened() == 2);
    CHECK_FALSE(f.disks->any_closed());
}

TEST_CASE("a reset of one initiator's unit leaves the others' tasks and units alone") {
    fixture f;
    auto a = f.logged_in("iqn.2000-01.test:a");
    auto b = f.logged_in("iqn.2000-01.test:b");
    a.send_management(task_function::target_warm_reset, 5);
    a.expect(opcode::task_management_response);
    CHECK(read_byte(b) == 0);  // no unit attention
    CHECK(f.server->capacity_changed(name, "iqn.2000-01.test:a", 0).has_value());
    CHECK_FALSE(f.server->capacity_changed(name, "iqn.2000-01.test:c", 0).has_value());
    CHECK(read_byte(b) == 0);
    a.settle();
}

TEST_CASE("the owner hears of the last session's end, and whether it was wished") {
    fixture f;
    const std::string who = "iqn.2000-01.test:a";
    SECTION("a logout of both paths") {
        auto one = f.logged_in(who, 1);
        auto two = f.logged_in(who, 2);
        log_out(one);
        CHECK(read_byte(two) == 0);
        CHECK_FALSE(f.disks->any_closed());
        log_out(two);
        const auto end = f.disks->wait_closed();
        CHECK(end.initiator == who);
        CHECK(end.how == session_end::logged_out);
    }
    SECTION("a connection that breaks") {
        { const auto one = f.logged_in(who); }
        CHECK(f.disks->wait_closed().how == session_end::lost);
        auto back = f.logged_in(who);
        log_out(back);
        CHECK(f.disks->wait_closed().how == session_end::logged_out);
        CHECK(f.disks->opened() == 2);
    }
    SECTION("one path breaks, the other logs out: the first may come back") {
        auto two = f.logged_in(who, 2);
        { const auto one = f.logged_in(who, 1); }
        while (f.server->sessions().size() > 1) std::this_thread::yield();
        log_out(two);
        CHECK(f.disks->wait_closed().how == session_end::lost);
    }
    SECTION("the target asks for the logout") {
        auto one = f.logged_in(who);
        auto ending = asio::co_spawn(f.loops.context(0), f.server->end_sessions(name, who, std::chrono::seconds(60)),
                                     asio::use_future);
        one.expect(opcode::async_message);
        log_out(one);
        CHECK(f.disks->wait_closed().how == session_end::lost);
        CHECK(ending.get().has_value());
    }
}

TEST_CASE("reinstating a session does not close the units", "[rfc7143-6.3.5]") {
    fixture f;
    auto first = f.logged_in("iqn.2000-01.test:a");
    write_byte(first, 'x');
    auto second = f.logged_in("iqn.2000-01.test:a");
    CHECK(read_byte(second) == 'x');
    CHECK_FALSE(first.receive());
    CHECK(f.disks->opened() == 1);
    CHECK_FALSE(f.disks->any_closed());
}

TEST_CASE("units that cannot be opened refuse the login with the status that fits") {
    fixture f;
    SECTION("no room") {
        f.disks->failure_ = fail(errc::out_of_space, "full");
        CHECK(status_of(f.connect().login(name)) == 0x0302);
    }
    SECTION("anything else") {
        f.disks->failure_ = fail(errc::unavailable, "registry");
        CHECK(status_of(f.connect().login(name)) == 0x0301);
    }
    CHECK_FALSE(f.disks->any_closed());
    CHECK(f.server->sessions().empty());
}

TEST_CASE("a login that times out while its units open lets go of them") {
    target_server_options options;
    options.login_timeout = std::chrono::milliseconds(50);
    fixture f(std::move(options));
    f.disks->hold_ = true;
    auto one = f.connect();
    login_request_bhs bhs{};
    bhs.opcode_byte = static_cast<std::uint8_t>(opcode::login_request) | immediate_bit;
    bhs.flags = final_bit | 1 << 2 | 3;
    std::string text;
    append_pair(text, "InitiatorName", "iqn.2000-01.test:a");
    append_pair(text, "TargetName", name);
    one.send(bhs, as_bytes(text));
    CHECK_FALSE(one.receive());
    f.disks->hold_ = false;
    CHECK(f.disks->wait_closed().how == session_end::lost);
    CHECK(f.disks->opened() == 1);
}

TEST_CASE("a target with units apart takes no shared ones") {
    fixture f;
    lun_options unit;
    unit.device = std::make_shared<memory_disk>(device_geometry{.size = {1 << 20}});
    CHECK_FALSE(f.server->add_lun(name, std::move(unit)).has_value());
}

TEST_CASE("a moved target sends logins to its new address, without a tag", "[rfc7143-11.13.5][rfc7143-13.8]") {
    fixture f;
    const auto answer_of = [&] {
        auto one = f.connect();
        login_request_bhs bhs{};
        bhs.opcode_byte = static_cast<std::uint8_t>(opcode::login_request) | immediate_bit;
        bhs.flags = final_bit | 1;
        std::string text;
        append_pair(text, "InitiatorName", "iqn.2000-01.test:a");
        append_pair(text, "TargetName", name);
        append_pair(text, "AuthMethod", "None");
        one.send(bhs, as_bytes(text));
        return one.expect(opcode::login_response);
    };
    using kind = redirection::kind;
    const auto [how, status] =
        GENERATE(table<kind, std::uint16_t>({{kind::temporary, 0x0101}, {kind::permanent, 0x0102}}));
    CHECK(f.server->set_redirect(name, redirection{"192.0.2.7:3260", how}).has_value());
    const auto moved = answer_of();
    CHECK(status_of(moved.as<login_response_bhs>()) == status);
    CHECK(as_text(moved.data) == std::string("TargetAddress=192.0.2.7:3260\0", 29));
    CHECK(f.connect().login("").status_class == 0);  // discovery
    CHECK(f.server->set_redirect(name, std::nullopt).has_value());
    CHECK(status_of(answer_of().as<login_response_bhs>()) == 0);
}

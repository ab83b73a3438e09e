// Peers that mean harm or are broken: thousands of half-open logins, a byte now and then, requests without end. The
// target's memory stays bounded and everybody else is served. OBD_HALF_OPEN sets how many logins are left half open:
// 500 here, 10,000 in the long form (docs/TESTING.md).
#include <sys/resource.h>

#include <cstdlib>
#include <fstream>
#include <thread>

#include "base/limits.hpp"
#include "tests/conformance/target_fixture.hpp"

using namespace obd;
using namespace obd::iscsi;
using namespace obd::iscsi::testing;

namespace {

target_server_options half_open(std::size_t in_all, std::size_t of_one_address) {
    target_server_options options;
    options.half_open_logins = in_all;
    options.half_open_logins_per_address = of_one_address;
    return options;
}

/// How many sockets this process may have for the test, after it has asked for more.
std::size_t half_open_count() {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
    const char* wanted = std::getenv("OBD_HALF_OPEN");
    const std::size_t count = wanted != nullptr ? std::strtoul(wanted, nullptr, 10) : 500;
    // The target keeps some of the other ends; the limits of the test keep that below 1000.
    const std::size_t possible = limit.rlim_cur > 2000 ? limit.rlim_cur - 1500 : 100;
    if (possible < count) WARN("only " << possible << " descriptors");
    return std::min(count, possible);
}

/// The first bytes of a login that does not go on.
std::vector<std::byte> half_a_login() {
    login_request_bhs bhs{};
    bhs.opcode_byte = static_cast<std::uint8_t>(opcode::login_request) | immediate_bit;
    bhs.flags = final_bit | 1 << 2 | 3;
    bhs.data_segment_bytes = 8192;
    std::vector<std::byte> bytes(bytes_of(bhs).begin(), bytes_of(bhs).end());
    bytes.resize(4000, std::byte{'x'});
    return bytes;
}

/// Of this process, so with the test's own ends of the sockets.
std::size_t resident_kib() {
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);) {
        if (line.starts_with("VmRSS:")) return std::strtoul(line.c_str() + 6, nullptr, 10);
    }
    return 0;
}

bool is_closed(const wire_initiator& one) {
    std::byte byte{};
    pollfd waiting{one.descriptor(), POLLIN, 0};
    return ::poll(&waiting, 1, 0) == 1 && ::recv(one.descriptor(), &byte, 1, MSG_DONTWAIT | MSG_PEEK) <= 0;
}

}  // namespace

TEST_CASE("half-open logins push the oldest of them out, and nobody else", "[flood]") {
    constexpr std::size_t kept = 100;
    const std::size_t count = half_open_count();
    fixture f(half_open(kept, kept));
    auto served = f.logged_in(1);
    const auto bytes = half_a_login();
    std::vector<wire_initiator> peers;
    const auto before = resident_kib();
    for (std::size_t i = 0; i < count; ++i) {
        peers.emplace_back(f.portal());
        peers.back().send_bytes(bytes);
        if (i % 50 == 0) {
            served.send_read(static_cast<std::uint32_t>(i + 1), 0, 8);
            served.expect(opcode::scsi_data_in);
        }
    }
    for (std::size_t i = 0; i + kept < count; ++i) CHECK_FALSE(peers[i].receive());
    std::size_t open = 0;
    for (const auto& one : peers) open += is_closed(one) ? std::size_t{0} : std::size_t{1};
    CHECK(open == std::min(kept, count));
    if (std::getenv("OBD_HALF_OPEN") != nullptr) {
        WARN(count << " half-open logins, " << kept << " kept: " << resident_kib() - before << " KiB more");
    }
    auto late = f.logged_in(2);
    late.send_read(1, 0, 8);
    late.expect(opcode::scsi_data_in);
}

TEST_CASE("an address pushes out its own half-open logins first", "[flood]") {
    fixture f(half_open(100, 10));
    wire_initiator patient(f.portal(), "127.0.0.1:0");
    patient.send_bytes(const_bytes(half_a_login()).first(0));
    std::vector<wire_initiator> flood;
    for (int i = 0; i < 200; ++i) flood.emplace_back(f.portal(), "127.0.0.2:0");
    for (int i = 0; i < 190; ++i) CHECK_FALSE(flood[static_cast<std::size_t>(i)].receive());
    CHECK(patient.login(name).status_class == 0);
}

TEST_CASE("a login that trickles in does not outlive the login timeout", "[flood]") {
    target_server_options options;
    options.login_timeout = std::chrono::milliseconds(100);
    fixture f(std::move(options));
    auto served = f.logged_in(1);
    wire_initiator slow(f.portal());
    const auto bytes = half_a_login();
    std::size_t sent = 0;
    while (!is_closed(slow) && sent < bytes.size()) {
        slow.send_bytes(const_bytes(bytes).subspan(sent++, 1));
        served.send_nop(static_cast<std::uint32_t>(sent));
        served.expect(opcode::nop_in);
    }
    CHECK_FALSE(slow.receive());
}

TEST_CASE("text of many continuations ends at its limit", "[flood]") {
    fixture f;
    wire_initiator one(f.portal());
    login_request_bhs bhs{};
    bhs.opcode_byte = static_cast<std::uint8_t>(opcode::login_request) | immediate_bit;
    bhs.flags = continue_bit | 1 << 2;
    const std::vector<std::byte> part(4096, std::byte{'a'});
    std::size_t parts = 0;
    while (true) {
        one.send(bhs, part);
        const auto answer = one.expect(opcode::login_response).as<login_response_bhs>();
        ++parts;
        if (answer.status_class == 0) continue;
        CHECK(answer.status_class == 2);
        break;
    }
    CHECK(parts == limits::login_text_bytes / part.size() + 1);
    CHECK_FALSE(one.receive());
}

TEST_CASE("lengths beyond what was declared end the connection", "[flood]") {
    struct row {
        const char* what;
        std::uint32_t data_segment_bytes;
        std::uint8_t ahs_words;
    };
    const auto row = GENERATE(values<struct row>(
        {{"16 MiB of data", 0xffffff, 0}, {"a byte too much", (256 << 10) + 1, 0}, {"both", 0xffffff, 255}}));
    CAPTURE(row.what);
    fixture f;
    auto one = f.logged_in();
    nop_out_bhs bhs{};
    bhs.opcode_byte = static_cast<std::uint8_t>(opcode::nop_out) | immediate_bit;
    bhs.total_ahs_words = row.ahs_words;
    bhs.data_segment_bytes = row.data_segment_bytes;
    one.send_bytes(bytes_of(bhs));
    one.send_bytes(std::vector<std::byte>(255 * 4));
    CHECK_FALSE(one.receive());
}

TEST_CASE("the longest additional header is skipped or refused, not misread", "[flood]") {
    fixture f;
    auto one = f.logged_in();
    nop_out_bhs bhs{};
    bhs.opcode_byte = static_cast<std::uint8_t>(opcode::nop_out) | immediate_bit;
    bhs.flags = final_bit;
    bhs.total_ahs_words = 255;
    bhs.initiator_task_tag = 3;
    bhs.target_transfer_tag = reserved_tag;
    one.send_bytes(bytes_of(bhs));
    one.send_bytes(std::vector<std::byte>(255 * 4, std::byte{0xff}));
    one.send_nop(4);
    for (std::uint32_t itt = 3; itt <= 4; ++itt) {
        CHECK(one.expect(opcode::nop_in).as<nop_in_bhs>().initiator_task_tag == itt);
    }
}

TEST_CASE("small requests for much: every answer comes, in order, as fast as the peer reads", "[flood]") {
    fixture f({}, 1);
    auto one = f.logged_in();
    auto other = f.logged_in(2);
    constexpr std::uint32_t requests = 4000;
    // REPORT SUPPORTED OPERATION CODES, immediate, so that no command window stands in its way: kilobytes an answer.
    std::thread sender([&] {
        for (std::uint32_t i = 0; i < requests; ++i) {
            one.send_command({.itt = i,
                              .cdb = {0xa3, 0x0c, 0x80, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0},
                              .direction = command_flag::read,
                              .bytes = 65535,
                              .immediate = true});
        }
    });
    other.send_nop(1);
    other.expect(opcode::nop_in);
    for (std::uint32_t i = 0; i < requests; ++i) {
        const auto bhs = one.expect(opcode::scsi_data_in).as<data_in_bhs>();
        CHECK(bhs.initiator_task_tag == i);
        if (bhs.initiator_task_tag != i) break;
    }
    sender.join();
}

TEST_CASE("immediate commands beside the window are limited", "[flood]") {
    fixture f;
    auto one = f.logged_in();
    f.slow->hold();
    constexpr std::uint32_t sent = 50;
    for (std::uint32_t itt = 0; itt < sent; ++itt) {
        one.send_command({.itt = itt,
                          .cdb = {0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0},
                          .direction = command_flag::read,
                          .bytes = 512,
                          .lun = 1,
                          .immediate = true});
    }
    for (std::uint32_t itt = 16; itt < sent; ++itt) {
        CHECK(one.expect(opcode::reject).as<reject_bhs>().reason ==
              static_cast<std::uint8_t>(reject_reason::immediate_command_reject));
    }
    f.slow->release();
    for (std::uint32_t itt = 0; itt < 16; ++itt) one.expect(opcode::scsi_data_in);
}

// The target server on real sockets, against an initiator that speaks PDU by PDU, and with disks that hold and fail.
#include "tests/conformance/target_fixture.hpp"

using namespace obd;
using namespace obd::iscsi;
using namespace obd::iscsi::testing;

TEST_CASE("discovery tells the address the initiator came to", "[rfc7143-appendix-c]") {
    fixture f;
    wire_initiator one(f.portal());
    CHECK(one.login("").status_class == 0);
    text_request_bhs bhs{};
    bhs.opcode_byte = static_cast<std::uint8_t>(opcode::text_request) | immediate_bit;
    bhs.flags = final_bit;
    bhs.target_transfer_tag = reserved_tag;
    one.send(bhs, as_bytes(std::string_view("SendTargets=All\0", 16)));
    const auto text = one.expect(opcode::text_response).data;
    std::string expected;
    append_pair(expected, "TargetName", name);
    append_pair(expected, "TargetAddress", f.portal() + ",1");
    CHECK(as_text(text) == expected);
}

TEST_CASE("what is written is read, in one piece or in many") {
    fixture f;
    auto one = f.logged_in();
    std::vector<std::byte> data(16384);
    for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::byte>(i * 31 / 7);
    const std::uint8_t lun = GENERATE(std::uint8_t{0}, std::uint8_t{1});
    one.send_write(5, 3, data, lun);
    CHECK(one.expect(opcode::scsi_response).as<scsi_response_bhs>().status == 0);
    one.send_read(6, 3, 32, lun);
    const auto pdu = one.expect(opcode::scsi_data_in);
    CHECK(pdu.data == data);
    CHECK(pdu.as<data_in_bhs>().flags == (final_bit | data_in_flag::status));
}

TEST_CASE("PDUs byte by byte are as good as whole ones") {
    fixture f;
    auto one = f.logged_in();
    nop_out_bhs bhs{};
    bhs.opcode_byte = static_cast<std::uint8_t>(opcode::nop_out) | immediate_bit;
    bhs.flags = final_bit;
    bhs.data_segment_bytes = 6;
    bhs.initiator_task_tag = 1;
    bhs.target_transfer_tag = reserved_tag;
    std::vector<std::byte> bytes(bytes_of(bhs).begin(), bytes_of(bhs).end());
    const auto ping = as_bytes("abcdef\0\0");
    bytes.insert(bytes.end(), ping.begin(), ping.begin() + 6);
    bytes.resize(56);
    for (const auto byte : bytes) one.send_bytes(const_bytes(&byte, 1));
    CHECK(as_text(one.expect(opcode::nop_in).data) == "abcdef");
}

TEST_CASE("a slow device stalls only those who need it") {
    fixture f;
    auto one = f.logged_in();
    f.slow->hold();
    one.send_read(10, 0, 8, 1);
    f.slow->wait_until_held(1);
    one.send_nop(11);
    one.expect(opcode::nop_in);
    one.send_read(12, 0, 8, 0);
    CHECK(one.expect(opcode::scsi_data_in).as<data_in_bhs>().initiator_task_tag == 12u);
    f.slow->release();
    CHECK(one.expect(opcode::scsi_data_in).as<data_in_bhs>().initiator_task_tag == 10u);
}

TEST_CASE("a device's failure is sense", "[rfc7143-11.4]") {
    fixture f;
    auto one = f.logged_in();
    f.slow->fail_next(fail(errc::corrupt, "test"));
    one.send_read(10, 0, 8, 1);
    const auto pdu = one.expect(opcode::scsi_response);
    CHECK(pdu.as<scsi_response_bhs>().status == 2);
    CHECK(pdu.as<scsi_response_bhs>().residual == 4096u);
    CHECK(pdu.data.at(2 + 2) == std::byte{3});
    CHECK(pdu.data.at(2 + 12) == std::byte{0x11});
}

TEST_CASE("a write that is announced too short is cut to whole blocks, or refused", "[rfc7143-11.4.5.1]") {
    fixture f;
    auto one = f.logged_in();
    const std::vector<std::byte> data(512, std::byte{0x5a});
    const std::vector<std::byte> before(f.quick->content().begin(), f.quick->content().end());

    one.send_uneven_write(10, 0, 1, const_bytes(data).first(200));
    const auto refused = one.expect(opcode::scsi_response);
    CHECK(refused.as<scsi_response_bhs>().status == 2);
    CHECK((refused.as<scsi_response_bhs>().flags & response_flag::overflow) != 0);
    CHECK(refused.as<scsi_response_bhs>().residual == 312u);
    CHECK(refused.data.at(2 + 2) == std::byte{5});
    CHECK(refused.data.at(2 + 12) == std::byte{0x0e});
    CHECK(refused.data.at(2 + 13) == std::byte{0x03});
    CHECK(std::equal(before.begin(), before.end(), f.quick->content().begin()));

    one.send_uneven_write(11, 0, 2, data);
    const auto cut = one.expect(opcode::scsi_response).as<scsi_response_bhs>();
    CHECK(cut.status == 0);
    CHECK((cut.flags & response_flag::overflow) != 0);
    CHECK(cut.residual == 512u);
    CHECK(std::equal(data.begin(), data.end(), f.quick->content().begin()));
    CHECK(std::equal(before.begin() + 512, before.end(), f.quick->content().begin() + 512));
}

TEST_CASE("a command past its deadline fails, and the session goes on") {
    target_server_options options;
    options.command_deadline = std::chrono::milliseconds(50);
    fixture f(std::move(options));
    auto one = f.logged_in();
    f.slow->hold(false);  // the device does not even heed its cancellation
    one.send_read(10, 0, 8, 1);
    const auto pdu = one.expect(opcode::scsi_response);
    CHECK(pdu.data.at(2 + 2) == std::byte{0x0b});
    one.send_nop(11);
    one.expect(opcode::nop_in);
}

TEST_CASE("aborted tasks say nothing after the function's response", "[rfc7143-4.2.3.3]") {
    fixture f;
    auto one = f.logged_in();
    f.slow->hold(false);
    one.send_read(10, 0, 8, 1);
    f.slow->wait_until_held(1);
    one.send_management(task_function::abort_task, 20, 10, 1);
    CHECK(one.expect(opcode::task_management_response).as<task_management_response_bhs>().response == 0);
    f.slow->release();
    one.send_nop(11);
    one.expect(opcode::nop_in);
}

TEST_CASE("a reset ends the tasks of other sessions and tells them", "[rfc7143-11.5.1]") {
    fixture f;
    auto one = f.logged_in(1);
    auto two = f.logged_in(2);
    f.slow->hold();
    two.send_read(10, 0, 8, 1);
    f.slow->wait_until_held(1);
    one.send_management(task_function::logical_unit_reset, 20, reserved_tag, 1);
    CHECK(one.expect(opcode::task_management_response).as<task_management_response_bhs>().response == 0);
    f.slow->release();
    two.send_read(11, 0, 8, 1);
    const auto pdu = two.expect(opcode::scsi_response);
    CHECK(pdu.as<scsi_response_bhs>().initiator_task_tag == 11u);
    CHECK(pdu.data.at(2 + 12) == std::byte{0x29});
}

TEST_CASE("the same initiator port logs in again: the old session ends first", "[rfc7143-6.3.5]") {
    fixture f;
    auto old = f.logged_in(1);
    auto other = f.logged_in(2);
    f.slow->hold(false);
    const std::vector<std::byte> data(512, std::byte{1});
    old.send_write(10, 0, data, 1);
    f.slow->wait_until_held(1);
    wire_initiator fresh(f.portal());
    fresh.send_login(name, "iqn.2000-01.test:i", 1);
    CHECK_FALSE(old.receive());  // closed while the write is still under way …
    other.send_nop(1);
    other.expect(opcode::nop_in);
    f.slow->release();  // … and the login completes once that has ended
    CHECK(fresh.expect(opcode::login_response).as<login_response_bhs>().status_class == 0);
}

TEST_CASE("detaching a unit in use ends without a hang") {
    fixture f;
    auto one = f.logged_in();
    f.slow->hold();
    one.send_read(10, 0, 8, 1);
    f.slow->wait_until_held(1);
    auto removed = asio::co_spawn(f.loops.context(0), f.server->remove_lun(name, 1), asio::use_future);
    one.send_nop(11);
    one.expect(opcode::nop_in);
    f.slow->release();
    CHECK(removed.get().has_value());
    CHECK(one.expect(opcode::scsi_data_in).as<data_in_bhs>().initiator_task_tag == 10u);
    one.send_read(12, 0, 8, 1);
    const auto pdu = one.expect(opcode::scsi_response);
    CHECK(pdu.data.at(2 + 2) == std::byte{5});
    CHECK(pdu.data.at(2 + 12) == std::byte{0x25});
}

TEST_CASE("removing a target asks for a logout, then ends the session", "[rfc7143-11.9]") {
    fixture f;
    auto one = f.logged_in();
    CHECK(f.run(f.server->remove_target(name, std::chrono::milliseconds(50))).has_value());
    const auto message = one.expect(opcode::async_message).as<async_message_bhs>();
    CHECK(message.event == static_cast<std::uint8_t>(async_event::logout_request));
    one.expect(opcode::async_message);  // the session is dropped
    CHECK_FALSE(one.receive());
    wire_initiator late(f.portal());
    const auto refused = late.login(name);
    CHECK(refused.status_class == 2);
    CHECK(refused.status_detail == 3);
}

TEST_CASE("garbage ends its own connection and no other") {
    fixture f;
    auto good = f.logged_in();
    struct row {
        const char* what;
        std::vector<std::byte> bytes;
    };
    login_request_bhs huge{};
    huge.opcode_byte = 0x43;
    huge.data_segment_bytes = 0xffffff;
    scsi_command_bhs command{};
    command.opcode_byte = 1;
    const std::vector<row> rows = {
        {"ones", std::vector<std::byte>(4096, std::byte{0xff})},
        {"http", std::vector<std::byte>(4096, std::byte{'G'})},
        {"a segment too long", {bytes_of(huge).begin(), bytes_of(huge).end()}},
        {"a command before the login", {bytes_of(command).begin(), bytes_of(command).end()}},
    };
    for (const auto& row : rows) {
        CAPTURE(row.what);
        wire_initiator bad(f.portal());
        bad.send_bytes(row.bytes);
        while (bad.receive()) continue;
    }
    wire_initiator half(f.portal());
    half.send_bytes(const_bytes(rows[2].bytes).first(20));
    ::shutdown(half.descriptor(), SHUT_WR);
    CHECK_FALSE(half.receive());
    good.send_nop(1);
    good.expect(opcode::nop_in);
}

TEST_CASE("who does not log in in time is put out") {
    target_server_options options;
    options.login_timeout = std::chrono::milliseconds(50);
    fixture f(std::move(options));
    wire_initiator idle(f.portal());
    CHECK_FALSE(idle.receive());
}

TEST_CASE("a silent initiator is asked, then put out", "[rfc7143-11.19]") {
    target_server_options options;
    options.keepalive_idle = std::chrono::milliseconds(50);
    options.keepalive_timeout = std::chrono::milliseconds(50);
    fixture f(std::move(options));
    wire_initiator idle(f.portal());
    CHECK(idle.login(name).status_class == 0);
    CHECK(idle.expect(opcode::nop_in).as<nop_in_bhs>().initiator_task_tag == reserved_tag);
    CHECK_FALSE(idle.receive());
}

TEST_CASE("a peer that does not read does not fill memory, and gets everything once it reads") {
    fixture f({}, 1);
    auto one = f.logged_in();
    constexpr std::uint32_t reads = 100;
    for (std::uint32_t i = 0; i < reads; ++i) one.send_read(100 + i, 0, 2048, 0);  // 100 MiB of answers
    std::vector<std::size_t> bytes(reads);
    for (std::uint32_t done = 0; done < reads;) {
        const auto pdu = one.expect(opcode::scsi_data_in);
        const auto bhs = pdu.as<data_in_bhs>();
        bytes.at(bhs.initiator_task_tag - 100u) += pdu.data.size();
        if ((bhs.flags & data_in_flag::status) != 0) ++done;
    }
    for (const auto count : bytes) CHECK(count == 2048u * 512);
}

TEST_CASE("sessions are listed while they last") {
    fixture f;
    auto one = f.logged_in();
    one.send_read(1, 0, 8);
    one.expect(opcode::scsi_data_in);
    const auto sessions = f.server->sessions();
    REQUIRE(sessions.size() == 1);
    CHECK(sessions[0].initiator_name == "iqn.2000-01.test:i");
    CHECK(sessions[0].target_name == name);
    CHECK(sessions[0].read_bytes == 4096);
    CHECK(sessions[0].tsih != 0);
}

// What ends commands from outside: other nexuses, deadlines, devices that never return, and how initiators hear of it.
#include <algorithm>

#include "tests/conformance/target_fixture.hpp"

using namespace obd;
using namespace obd::iscsi;
using namespace obd::iscsi::testing;

namespace {

constexpr std::uint8_t busy = 0x08, reservation_conflict = 0x18, task_set_full = 0x28;
constexpr std::uint32_t commands_cleared = 0x062f00, registrations_preempted = 0x062a05;
constexpr std::uint32_t nexus_loss = 0x062907, reset_occurred = 0x062903;

/// PERSISTENT RESERVE OUT.
void send_reserve_out(wire_initiator& one, std::uint32_t itt, std::uint8_t action, std::uint64_t key,
                      std::uint64_t service_key) {
    std::vector<std::byte> list(24);
    store(mutable_bytes(list), wire::big_uint64_t(key));
    store(mutable_bytes(list), wire::big_uint64_t(service_key), 8);
    one.send_command({.itt = itt,
                      .cdb = {0x5f, action, 0x05, 0, 0, 0, 0, 0, 24, 0},
                      .direction = command_flag::write,
                      .bytes = 24,
                      .lun = 1},
                     list);
}

std::uint8_t reserve_out(wire_initiator& one, std::uint8_t action, std::uint64_t key, std::uint64_t service_key) {
    send_reserve_out(one, 0x8000, action, key, service_key);
    return one.expect(opcode::scsi_response).as<scsi_response_bhs>().status;
}

target_server_options with_deadline(int milliseconds) {
    target_server_options options;
    options.command_deadline = std::chrono::milliseconds(milliseconds);
    return options;
}

}  // namespace

TEST_CASE("PREEMPT AND ABORT ends the preempted nexus's commands before it answers", "[spc4-5.13.11.5]") {
    constexpr std::uint8_t register_key = 0, preempt_and_abort = 5;
    fixture f;
    auto one = f.logged_in(1);
    auto two = f.logged_in(2);
    auto third = f.logged_in(3);
    CHECK(reserve_out(one, register_key, 0, 1) == 0);
    CHECK(reserve_out(two, register_key, 0, 2) == 0);
    f.slow->hold();
    two.send_read(10, 0, 8, 1);
    third.send_read(11, 0, 8, 1);
    one.send_read(12, 0, 8, 1);
    f.slow->wait_until_held(3);
    CHECK(reserve_out(one, preempt_and_abort, 1, 2) == 0);
    f.slow->release();
    CHECK(one.expect(opcode::scsi_data_in).as<data_in_bhs>().initiator_task_tag == 12u);
    CHECK(third.expect(opcode::scsi_data_in).as<data_in_bhs>().initiator_task_tag == 11u);
    // TAS is zero: the aborted command says nothing, the unit attentions tell.
    std::vector<std::uint32_t> told = {two.sense_of_unit(1), two.sense_of_unit(1)};
    std::sort(told.begin(), told.end());
    CHECK(told == std::vector<std::uint32_t>{registrations_preempted, commands_cleared});
    CHECK(two.sense_of_unit(1) == 0);
    CHECK(third.sense_of_unit(1) == 0);
}

TEST_CASE("PREEMPT AND ABORT waits for a write that is under way", "[spc4-5.13.11.5]") {
    fixture f;
    auto one = f.logged_in(1);
    auto two = f.logged_in(2);
    CHECK(reserve_out(one, 0, 0, 1) == 0);
    CHECK(reserve_out(two, 0, 0, 2) == 0);
    f.slow->hold(false);
    two.send_write(10, 0, std::vector<std::byte>(512, std::byte{1}), 1);
    f.slow->wait_until_held(1);
    send_reserve_out(one, 20, 5, 1, 2);
    one.send_nop(21);
    one.expect(opcode::nop_in);  // the PREEMPT AND ABORT is not answered yet
    f.slow->release();
    const auto response = one.expect(opcode::scsi_response).as<scsi_response_bhs>();
    CHECK(response.initiator_task_tag == 20u);
    CHECK(response.status == 0);
}

TEST_CASE("a device that never returns holds no function longer than the deadline", "[rfc7143-11.5]") {
    const auto function = GENERATE(task_function::abort_task, task_function::abort_task_set,
                                   task_function::logical_unit_reset, task_function::target_warm_reset);
    fixture f(with_deadline(100));
    auto one = f.logged_in();
    f.slow->hold(false);
    one.send_write(10, 0, std::vector<std::byte>(1024, std::byte{1}), 1);
    f.slow->wait_until_held(1);
    one.send_management(function, 20, 10, 1);
    CHECK(one.expect(opcode::task_management_response).as<task_management_response_bhs>().response == 0);
    if (function == task_function::logical_unit_reset || function == task_function::target_warm_reset) {
        CHECK(one.sense_of_unit(1) == reset_occurred);
    }
    // The write may still come: nobody looks at its blocks until then, others are served.
    one.send_read(11, 1, 1, 1);
    CHECK(one.expect(opcode::scsi_response).as<scsi_response_bhs>().status == busy);
    one.send_write(12, 0, std::vector<std::byte>(512, std::byte{2}), 1);
    CHECK(one.expect(opcode::scsi_response).as<scsi_response_bhs>().status == busy);
    one.send_read(13, 0, 8, 0);
    if (function != task_function::target_warm_reset) one.expect(opcode::scsi_data_in);
    f.slow->release();
    for (std::uint32_t itt = 100;; ++itt) {
        one.send_read(itt, 0, 2, 1);
        auto pdu = one.receive();
        while (pdu && pdu->as<basic_bhs>().initiator_task_tag != itt) pdu = one.receive();
        REQUIRE(pdu);
        if (pdu->code() == opcode::scsi_response) continue;
        CHECK(pdu->data == std::vector<std::byte>(1024, std::byte{1}));
        break;
    }
}

TEST_CASE("a write past its deadline fails, whatever the device does", "[rfc7143-11.4]") {
    fixture f(with_deadline(100));
    auto one = f.logged_in();
    f.slow->hold(false);
    one.send_write(10, 0, std::vector<std::byte>(512, std::byte{1}), 1);
    const auto pdu = one.expect(opcode::scsi_response);
    CHECK(pdu.as<scsi_response_bhs>().status == 2);
    CHECK(pdu.data.at(2 + 2) == std::byte{0x0b});
    CHECK(pdu.data.at(2 + 12) == std::byte{0x2e});
}

TEST_CASE("a device that never returns holds neither logout nor reinstatement", "[rfc7143-6.3.5]") {
    fixture f(with_deadline(100));
    auto old = f.logged_in(1);
    auto leaving = f.logged_in(2);
    f.slow->hold(false);
    old.send_write(10, 0, std::vector<std::byte>(512, std::byte{1}), 1);
    leaving.send_write(10, 8, std::vector<std::byte>(512, std::byte{1}), 1);
    f.slow->wait_until_held(2);
    leaving.send_logout(11);
    CHECK(leaving.expect(opcode::logout_response).as<logout_response_bhs>().response == 0);
    wire_initiator fresh(f.portal());
    CHECK(fresh.login(name, "iqn.2000-01.test:i", 1).status_class == 0);
    wire_initiator again(f.portal());
    CHECK(again.login(name, "iqn.2000-01.test:i", 2).status_class == 0);
}

TEST_CASE("a function gives up waiting for data that the initiator does not send", "[rfc7143-4.2.3.3]") {
    target_server_options options;
    options.data_out_patience = std::chrono::milliseconds(50);
    options.command_deadline = std::chrono::milliseconds(1000);
    fixture f(std::move(options));
    auto one = f.logged_in();
    one.send_command(
        {.itt = 10, .cdb = {0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0}, .direction = command_flag::write, .bytes = 512});
    one.expect(opcode::ready_to_transfer);
    one.send_management(task_function::abort_task_set, 20);
    CHECK(one.expect(opcode::task_management_response).as<task_management_response_bhs>().response == 0);
}

TEST_CASE("FastAbort: the other session is told which unit's tasks end", "[rfc7143-4.2.3.4]") {
    fixture f;
    auto one = f.logged_in(1);
    wire_initiator two(f.portal());
    CHECK(two.login(name, "iqn.2000-01.test:i", 2, {"TaskReporting=FastAbort,RFC3720"}).status_class == 0);
    two.settle(1);
    f.slow->hold();
    two.send_read(10, 0, 8, 1);
    f.slow->wait_until_held(1);
    one.send_management(task_function::clear_task_set, 20, reserved_tag, 1);
    CHECK(one.expect(opcode::task_management_response).as<task_management_response_bhs>().response == 0);
    const auto message = two.expect(opcode::async_message).as<async_message_bhs>();
    CHECK(message.event == static_cast<std::uint8_t>(async_event::tasks_terminated));
    CHECK(message.lun == std::uint64_t{1} << 48);
    f.slow->release();
    CHECK(two.sense_of_unit(1) == commands_cleared);
}

TEST_CASE("I_T NEXUS RESET ends the nexus's commands and reservation, and tells it alone", "[rfc7144]") {
    fixture f;
    wire_initiator one(f.portal());
    CHECK(one.login(name, "iqn.2000-01.test:i", 1, {"iSCSIProtocolLevel=2"}).status_class == 0);
    one.settle(1);
    auto two = f.logged_in(2);
    one.send_command({.itt = 1, .cdb = {0x16, 0, 0, 0, 0, 0}, .lun = 1});  // RESERVE(6)
    CHECK(one.expect(opcode::scsi_response).as<scsi_response_bhs>().status == 0);
    f.slow->hold();
    one.send_read(10, 0, 8, 1);
    f.slow->wait_until_held(1);
    two.send_read(11, 0, 8, 1);
    CHECK(two.expect(opcode::scsi_response).as<scsi_response_bhs>().status == reservation_conflict);
    one.send_management(task_function::i_t_nexus_reset, 20);
    CHECK(one.expect(opcode::task_management_response).as<task_management_response_bhs>().response == 0);
    f.slow->release();
    one.send_management(task_function::query_asynchronous_event, 21, reserved_tag, 1);
    const auto query = one.expect(opcode::task_management_response).as<task_management_response_bhs>();
    CHECK(query.response == static_cast<std::uint8_t>(task_response::function_succeeded));
    CHECK(query.additional_response_information == std::array<std::uint8_t, 3>{0x16, 0x29, 0x07});
    CHECK(one.sense_of_unit(1) == nexus_loss);
    CHECK(two.sense_of_unit(1) == 0);
}

TEST_CASE("who does not heed the request to log out is told that the session is dropped", "[rfc7143-11.9.1]") {
    fixture f;
    auto one = f.logged_in();
    CHECK(f.run(f.server->remove_target(name, std::chrono::milliseconds(50))).has_value());
    CHECK(one.expect(opcode::async_message).as<async_message_bhs>().event ==
          static_cast<std::uint8_t>(async_event::logout_request));
    const auto message = one.expect(opcode::async_message).as<async_message_bhs>();
    CHECK(message.event == static_cast<std::uint8_t>(async_event::session_drop));
    CHECK(message.parameter2 == 2u);  // DefaultTime2Wait
    CHECK_FALSE(one.receive());
}

TEST_CASE("a cold reset drops the target's sessions after its response", "[rfc7143-11.5.1]") {
    fixture f;
    auto one = f.logged_in(1);
    auto two = f.logged_in(2);
    one.send_management(task_function::target_cold_reset, 20);
    CHECK(one.expect(opcode::task_management_response).as<task_management_response_bhs>().response == 0);
    for (auto* each : {&one, &two}) {
        CHECK(each->expect(opcode::async_message).as<async_message_bhs>().event ==
              static_cast<std::uint8_t>(async_event::session_drop));
        CHECK_FALSE(each->receive());
    }
}

TEST_CASE("a unit's commands are limited over all sessions: TASK SET FULL", "[sam5-5.3.1]") {
    target_server_options options;
    options.tasks_per_unit = 6;
    fixture f(std::move(options));
    auto one = f.logged_in(1);
    auto two = f.logged_in(2);
    f.slow->hold();
    for (std::uint32_t itt = 0; itt < 4; ++itt) one.send_read(itt, 0, 8, 1);
    f.slow->wait_until_held(4);
    for (std::uint32_t itt = 0; itt < 4; ++itt) two.send_read(itt, 0, 8, 1);
    for (int refused = 0; refused < 2; ++refused) {
        CHECK(two.expect(opcode::scsi_response).as<scsi_response_bhs>().status == task_set_full);
    }
    two.send_read(9, 0, 8, 0);  // another unit
    two.expect(opcode::scsi_data_in);
    f.slow->release();
    for (int i = 0; i < 4; ++i) one.expect(opcode::scsi_data_in);
    for (int i = 0; i < 2; ++i) two.expect(opcode::scsi_data_in);
    for (std::uint32_t itt = 0; itt < 6; ++itt) two.send_read(itt, 0, 8, 1);
    for (int i = 0; i < 6; ++i) two.expect(opcode::scsi_data_in);
}

TEST_CASE("Data-Out memory is bounded: TASK SET FULL", "[sam5-5.3.1]") {
    fixture f;
    f.add(2, std::make_shared<fault_disk>(device_geometry{.size = {64 << 20}, .access = access_mode::read_write}));
    auto one = f.logged_in();
    one.settle(2);
    constexpr std::uint32_t bytes = 16 << 20;
    std::size_t asked = 0;
    for (std::uint32_t itt = 10; itt < 60; ++itt) {
        one.send_command({.itt = itt,
                          .cdb = {0x2a, 0, 0, 0, 0, 0, 0, 0x80, 0, 0},
                          .direction = command_flag::write,
                          .bytes = bytes,
                          .lun = 2});
        const auto pdu = one.receive();
        REQUIRE(pdu);
        if (pdu->code() == opcode::scsi_response) {
            CHECK(pdu->as<scsi_response_bhs>().status == task_set_full);
            break;
        }
        asked += bytes;
    }
    CHECK(asked == std::size_t{128} << 20);
}

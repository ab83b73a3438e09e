// The full-feature phase, PDU by PDU.
#include "tests/unit/protocol/session_script.hpp"

using namespace obd;
using namespace obd::iscsi;
using namespace obd::iscsi::testing;

namespace {

constexpr std::uint8_t writes = command_flag::write | 1;

nop_out_bhs nop(std::uint32_t itt, std::uint32_t cmd_sn, bool immediate) {
    nop_out_bhs bhs{};
    bhs.opcode_byte = static_cast<std::uint8_t>(opcode::nop_out) | (immediate ? immediate_bit : std::uint8_t{0});
    bhs.flags = final_bit;
    bhs.initiator_task_tag = itt;
    bhs.target_transfer_tag = reserved_tag;
    bhs.cmd_sn = cmd_sn;
    return bhs;
}

}  // namespace

TEST_CASE("sequence numbers wrap by serial arithmetic", "[rfc7143-4.2.2]") {
    CHECK(before(serial32{0xffffffff}, serial32{0}));
    CHECK_FALSE(before(serial32{0}, serial32{0xffffffff}));
    CHECK_FALSE(before(serial32{5}, serial32{5}));
    command_window window(serial32{0xfffffffe}, 4);
    CHECK(window.max() == serial32{1});
    CHECK(window.accept(serial32{0xfffffffe}) == command_window::verdict::in_order);
    CHECK(window.accept(serial32{0}) == command_window::verdict::ahead);
    CHECK(window.accept(serial32{2}) == command_window::verdict::outside);
    CHECK(window.accept(serial32{0xfffffffe}) == command_window::verdict::outside);
    window.release();
    CHECK(window.max() == serial32{2});
}

TEST_CASE("an immediate command does not move ExpCmdSN", "[rfc7143-4.2.2.1]") {
    script s;
    s.recv(nop(7, 1, true));
    auto answer = s.take(opcode::nop_in).as<nop_in_bhs>();
    CHECK(answer.exp_cmd_sn == 1u);
    CHECK(answer.stat_sn == 100u);
    s.recv(nop(8, 1, false));
    answer = s.take(opcode::nop_in).as<nop_in_bhs>();
    CHECK(answer.exp_cmd_sn == 2u);
    CHECK(answer.max_cmd_sn == 1u + 128u);
    CHECK(answer.stat_sn == 101u);
}

TEST_CASE("commands outside of the window are dropped without a word", "[rfc7143-4.2.2.1]") {
    script s;
    s.recv(s.command({.itt = 1, .cmd_sn = 1 + 128}));
    s.recv(s.command({.itt = 2, .cmd_sn = 0}));
    CHECK(s.sent.empty());
    CHECK(s.begun.empty());
}

TEST_CASE("a command ahead of its turn waits for those before it", "[rfc7143-4.2.2.1]") {
    script s;
    s.recv(s.command({.itt = 2, .cmd_sn = 2}));
    CHECK(s.begun.empty());
    s.recv(s.command({.itt = 1, .cmd_sn = 1}));
    REQUIRE(s.begun.size() == 2);
    CHECK(s.begun[0]->initiator_task_tag == 1);
    CHECK(s.begun[1]->initiator_task_tag == 2);
}

TEST_CASE("Data-In is cut by MaxRecvDataSegmentLength and MaxBurstLength", "[rfc7143-11.7]") {
    session_parameters agreed;
    agreed.initiator_max_recv_bytes = 1024;
    agreed.max_burst_bytes = 1536;
    script s(agreed);
    s.recv(s.command({.bytes = 4096}));
    auto& task = *s.begun.at(0);
    task.gives = 3072;
    s.target().data_in(task, s.pattern(3072), 3072, session::slice::last);
    struct row {
        std::uint32_t offset, bytes;
        std::uint8_t flags;
    };
    constexpr std::uint8_t last = final_bit | data_in_flag::status | data_in_flag::underflow;
    const row rows[] = {{0, 1024, 0}, {1024, 512, final_bit}, {1536, 1024, 0}, {2560, 512, last}};
    std::uint32_t data_sn = 0;
    for (const auto& row : rows) {
        const auto pdu = s.take(opcode::scsi_data_in);
        const auto bhs = pdu.as<data_in_bhs>();
        CHECK(bhs.buffer_offset == row.offset);
        CHECK(pdu.data.size() == row.bytes);
        CHECK(bhs.flags == row.flags);
        CHECK(bhs.data_sn == data_sn++);
        CHECK(bhs.stat_sn == (row.flags == last ? 100u : 0u));
        CHECK(bhs.residual == (row.flags == last ? 1024u : 0u));
        CHECK(pdu.data.at(0) == static_cast<std::byte>(row.offset * 7));
    }
    CHECK(s.sent.empty());
    CHECK(s.target().active_tasks() == 0);
}

TEST_CASE("residuals of responses", "[rfc7143-11.4.5]") {
    struct row {
        std::uint32_t expected, gives;
        std::uint8_t flags;
        std::uint32_t residual;
    };
    const auto row = GENERATE(values<struct row>({{512, 512, final_bit, 0},
                                                  {0, 512, final_bit | response_flag::overflow, 512},
                                                  {512, 0, final_bit | response_flag::underflow, 512},
                                                  {100, 512, final_bit | response_flag::overflow, 412}}));
    script s;
    s.recv(s.command({.bytes = row.expected}));
    s.begun.at(0)->gives = row.gives;
    s.target().finish(*s.begun[0], 0, {});
    const auto bhs = s.take(opcode::scsi_response).as<scsi_response_bhs>();
    CHECK(bhs.flags == row.flags);
    CHECK(bhs.residual == row.residual);
}

TEST_CASE("R2T asks for what immediate data did not bring", "[rfc7143-11.8]") {
    session_parameters agreed;
    agreed.max_burst_bytes = 1024;
    agreed.max_outstanding_r2t = 2;
    script s(agreed);
    const std::vector<std::byte> data(4096, std::byte{0x5a});
    auto bhs = s.command({.flags = final_bit | writes, .bytes = 4096});
    s.recv(bhs, const_bytes(data).first(512));
    const auto first = s.take(opcode::ready_to_transfer).as<ready_to_transfer_bhs>();
    const auto second = s.take(opcode::ready_to_transfer).as<ready_to_transfer_bhs>();
    CHECK(first.buffer_offset == 512u);
    CHECK(first.desired_bytes == 1024u);
    CHECK(first.stat_sn == 100u);
    CHECK(second.r2t_sn == 1u);
    CHECK(second.buffer_offset == 1536u);
    CHECK(first.target_transfer_tag != second.target_transfer_tag);
    CHECK(s.sent.empty());
    s.recv(s.data_out(1, first.target_transfer_tag, 0, 512, 512, 0), const_bytes(data).first(512));
    CHECK(s.sent.empty());
    s.recv(s.data_out(1, first.target_transfer_tag, 1, 1024, 512), const_bytes(data).first(512));
    const auto third = s.take(opcode::ready_to_transfer).as<ready_to_transfer_bhs>();
    CHECK(third.buffer_offset == 2560u);
    s.recv(s.data_out(1, second.target_transfer_tag, 0, 1536, 1024), const_bytes(data).first(1024));
    const auto fourth = s.take(opcode::ready_to_transfer).as<ready_to_transfer_bhs>();
    CHECK(fourth.desired_bytes == 512u);
    s.recv(s.data_out(1, third.target_transfer_tag, 0, 2560, 1024), const_bytes(data).first(1024));
    CHECK(s.arrived.empty());
    s.recv(s.data_out(1, fourth.target_transfer_tag, 0, 3584, 512), const_bytes(data).first(512));
    REQUIRE(s.arrived.size() == 1);
    CHECK(std::all_of(s.arrived[0]->out.bytes().begin(), s.arrived[0]->out.bytes().end(),
                      [](std::byte b) { return b == std::byte{0x5a}; }));
    s.target().finish(*s.arrived[0], 0, {});
    CHECK(s.take(opcode::scsi_response).as<scsi_response_bhs>().exp_data_sn == 4u);
}

TEST_CASE("unsolicited data counts immediate data against FirstBurstLength", "[rfc7143-13.14]") {
    session_parameters agreed;
    agreed.initial_r2t = false;
    agreed.first_burst_bytes = 1024;
    script s(agreed);
    const std::vector<std::byte> data(1024);
    s.recv(s.command({.flags = writes, .bytes = 2048}), const_bytes(data).first(512));
    CHECK(s.sent.empty());
    SECTION("up to it is taken") {
        s.recv(s.data_out(1, reserved_tag, 0, 512, 512), const_bytes(data).first(512));
        CHECK(s.take(opcode::ready_to_transfer).as<ready_to_transfer_bhs>().buffer_offset == 1024u);
    }
    SECTION("beyond it the command fails") {
        s.recv(s.data_out(1, reserved_tag, 0, 512, 1024), data);
        const auto pdu = s.take(opcode::scsi_response);
        CHECK(pdu.as<scsi_response_bhs>().status == 2);
        CHECK(pdu.data.at(2 + 2) == std::byte{0x0b});
        CHECK(pdu.data.at(2 + 12) == std::byte{0x0c});
        CHECK(pdu.data.at(2 + 13) == std::byte{0x0c});
    }
}

TEST_CASE("unsolicited data is refused when InitialR2T is Yes", "[rfc7143-13.10]") {
    script s;  // the standard's default
    const std::vector<std::byte> data(512);
    s.recv(s.command({.flags = writes, .bytes = 512}));
    CHECK(s.begun.empty());
    CHECK(s.sent.empty());  // the data that is on its way is swallowed first
    s.recv(s.data_out(1, reserved_tag, 0, 0, 512), data);
    CHECK(s.take(opcode::scsi_response).as<scsi_response_bhs>().status == 2);
}

TEST_CASE("a DataSN out of order fails the command", "[rfc7143-7.9]") {
    script s;
    const std::vector<std::byte> data(512);
    s.recv(s.command({.flags = final_bit | writes, .bytes = 512}));
    const auto r2t = s.take(opcode::ready_to_transfer).as<ready_to_transfer_bhs>();
    s.recv(s.data_out(1, r2t.target_transfer_tag, 27, 0, 512), data);
    CHECK(s.arrived.empty());
    CHECK(s.take(opcode::scsi_response).as<scsi_response_bhs>().status == 2);
}

TEST_CASE("data of a task that is gone is swallowed", "[rfc7143-4.2.3.3]") {
    script s;
    const std::vector<std::byte> data(512);
    s.recv(s.command({.flags = final_bit | writes, .bytes = 512}));
    const auto r2t = s.take(opcode::ready_to_transfer).as<ready_to_transfer_bhs>();
    s.recv(s.management(task_function::abort_task, 9, 1));
    CHECK(s.take(opcode::task_management_response).as<task_management_response_bhs>().response == 0);
    s.recv(s.data_out(1, r2t.target_transfer_tag, 0, 0, 512), data);
    CHECK(s.sent.empty());
    CHECK(s.target().active_tasks() == 0);
}

TEST_CASE("a place for Data-Out outlives its task", "[rfc7143-11.7]") {
    script s;
    s.recv(s.command({.flags = final_bit | writes, .bytes = 512}));
    const auto r2t = s.take(opcode::ready_to_transfer).as<ready_to_transfer_bhs>();
    const auto bhs = s.data_out(1, r2t.target_transfer_tag, 0, 0, 512);
    pdu_frame frame;
    frame.header = bytes_of(bhs);
    frame.data_bytes = 512;
    const auto place = s.target().place(frame);
    REQUIRE(place.size() == 512);
    s.recv(s.management(task_function::abort_task_set, 9));
    std::fill(place.begin(), place.end(), std::byte{1});  // AddressSanitizer watches
    s.recv(bhs, place);
    CHECK(s.arrived.empty());
}

TEST_CASE("ABORT TASK by reference", "[rfc7143-11.6.1]") {
    script s;
    const auto response_to = [&](std::uint32_t referenced, std::uint32_t ref_cmd_sn) {
        auto bhs = s.management(task_function::abort_task, 50, referenced);
        bhs.ref_cmd_sn = ref_cmd_sn;
        s.recv(bhs);
        return s.take(opcode::task_management_response).as<task_management_response_bhs>().response;
    };
    s.recv(s.command({.itt = 1}));
    CHECK(response_to(1, 1) == 0);
    CHECK(response_to(1, 1) == 1);  // it has ended
    CHECK(s.target().active_tasks() == 0);
}

TEST_CASE("a function waits for what the device still does", "[rfc7143-4.2.3.3]") {
    script s;
    s.abort_answer = session_host::stop::later;
    s.recv(s.command({.itt = 1}));
    s.recv(s.management(task_function::abort_task_set, 9));
    CHECK(s.sent.empty());
    s.recv(nop(10, s.next_cmd_sn(), true));
    s.take(opcode::nop_in);  // others go on
    s.target().task_ended(*s.begun.at(0));
    CHECK(s.take(opcode::task_management_response).as<task_management_response_bhs>().response == 0);
    CHECK(s.sent.empty());  // and the aborted task says nothing
}

TEST_CASE("task management functions are answered by table", "[rfc7143-11.6.1]") {
    struct row {
        task_function function;
        std::uint8_t lun;
        task_response response;
    };
    const auto row = GENERATE(values<struct row>({
        {task_function::abort_task_set, 0, task_response::function_complete},
        {task_function::abort_task_set, 9, task_response::lun_does_not_exist},
        {task_function::clear_aca, 0, task_response::function_not_supported},
        {task_function::task_reassign, 0, task_response::reassignment_not_supported},
        {static_cast<task_function>(77), 0, task_response::function_not_supported},
    }));
    script s;
    auto bhs = s.management(row.function, 9);
    bhs.lun = std::uint64_t{row.lun} << 48;
    s.recv(bhs);
    CHECK(s.take(opcode::task_management_response).as<task_management_response_bhs>().response ==
          static_cast<std::uint8_t>(row.response));
}

TEST_CASE("resets are passed on once the session's own tasks are gone", "[rfc7143-11.5.1]") {
    script s;
    s.recv(s.command({.itt = 1}));
    s.recv(s.management(task_function::logical_unit_reset, 9));
    REQUIRE(s.managed.size() == 1);
    CHECK(s.target().active_tasks() == 0);
    CHECK(s.sent.empty());
    s.target().management_done(9, task_response::function_complete);
    s.take(opcode::task_management_response);
}

TEST_CASE("an ordered task waits for older ones, and younger ones wait for it", "[sam5-8.6]") {
    script s;
    constexpr std::uint8_t ordered = final_bit | command_flag::read | 2;
    constexpr std::uint8_t head = final_bit | command_flag::read | 3;
    s.recv(s.command({.itt = 1}));
    s.recv(s.command({.itt = 2, .flags = ordered}));
    s.recv(s.command({.itt = 3}));
    s.recv(s.command({.itt = 4, .flags = head}));
    REQUIRE(s.begun.size() == 2);
    CHECK(s.begun[1]->initiator_task_tag == 4);
    s.target().finish(*s.begun[0], 0, {});
    REQUIRE(s.begun.size() == 3);
    CHECK(s.begun[2]->initiator_task_tag == 2);
    s.target().finish(*s.begun[2], 0, {});
    REQUIRE(s.begun.size() == 4);
    CHECK(s.begun[3]->initiator_task_tag == 3);
}

TEST_CASE("an ordered write of nothing, with data announced, waits and ends", "[sam5-8.6]") {
    session_parameters agreed;
    agreed.initial_r2t = false;
    script s(agreed);
    s.recv(s.command({.itt = 1}));
    s.recv(s.command({.itt = 2, .flags = command_flag::write | 2, .bytes = 0}));
    CHECK(s.begun.size() == 1);
    s.target().finish(*s.begun[0], 0, {});
    REQUIRE(s.begun.size() == 2);
    s.recv(s.data_out(2, reserved_tag, 0, 0, 0));
    CHECK(s.arrived.size() == 1);
}

TEST_CASE("what is not understood is rejected with its header", "[rfc7143-11.17]") {
    struct row {
        std::uint8_t opcode_byte;
        reject_reason reason;
    };
    const auto row = GENERATE(values<struct row>({{0x1c, reject_reason::command_not_supported},
                                                  {0x10, reject_reason::protocol_error},
                                                  {0x43, reject_reason::protocol_error},
                                                  {0x3f, reject_reason::command_not_supported}}));
    script s;
    basic_bhs bhs{};
    bhs.opcode_byte = row.opcode_byte;
    s.recv(bhs);
    const auto pdu = s.take(opcode::reject);
    CHECK(pdu.as<reject_bhs>().reason == static_cast<std::uint8_t>(row.reason));
    REQUIRE(pdu.data.size() == bhs_bytes);
    CHECK(pdu.data[0] == static_cast<std::byte>(row.opcode_byte));
}

TEST_CASE("a NOP-In that asks does not use up StatSN", "[rfc7143-11.19]") {
    script s;
    s.target().ask_ping();
    const auto ping = s.take(opcode::nop_in).as<nop_in_bhs>();
    CHECK(ping.initiator_task_tag == reserved_tag);
    CHECK(ping.target_transfer_tag != reserved_tag);
    CHECK(ping.stat_sn == 100u);
    auto answer = nop(reserved_tag, 1, true);
    answer.target_transfer_tag = ping.target_transfer_tag;
    s.recv(answer);
    CHECK(s.sent.empty());
    s.recv(nop(3, 1, true));
    CHECK(s.take(opcode::nop_in).as<nop_in_bhs>().stat_sn == 100u);
}

TEST_CASE("long text is continued", "[rfc7143-11.11]") {
    session_parameters agreed;
    agreed.type = session_type::discovery;
    agreed.initiator_max_recv_bytes = 512;
    script s(agreed);
    s.targets = std::string(700, 'x');
    text_request_bhs bhs{};
    bhs.opcode_byte = static_cast<std::uint8_t>(opcode::text_request) | immediate_bit;
    bhs.flags = final_bit;
    bhs.initiator_task_tag = 5;
    bhs.target_transfer_tag = reserved_tag;
    s.recv(bhs, as_bytes(std::string_view("SendTargets=All\0", 16)));
    const auto first = s.take(opcode::text_response);
    CHECK(first.data.size() == 512);
    CHECK(first.as<text_response_bhs>().flags == continue_bit);
    bhs.target_transfer_tag = first.as<text_response_bhs>().target_transfer_tag;
    s.recv(bhs);
    const auto second = s.take(opcode::text_response);
    CHECK(second.data.size() == 188);
    CHECK(second.as<text_response_bhs>().flags == final_bit);
    CHECK(second.as<text_response_bhs>().target_transfer_tag == reserved_tag);
}

TEST_CASE("logout ends the session, recovery is refused", "[rfc7143-11.15]") {
    struct row {
        std::uint8_t reason, response;
        pdu_verdict verdict;
    };
    const auto row = GENERATE(values<struct row>(
        {{0, 0, pdu_verdict::close_after_send}, {1, 0, pdu_verdict::close_after_send}, {2, 2, pdu_verdict::go_on}}));
    script s;
    s.recv(s.command({.itt = 1}));
    logout_request_bhs bhs{};
    bhs.opcode_byte = static_cast<std::uint8_t>(opcode::logout_request) | immediate_bit;
    bhs.reason = static_cast<std::uint8_t>(final_bit | row.reason);
    bhs.initiator_task_tag = 6;
    CHECK(s.recv(bhs) == row.verdict);
    CHECK(s.take(opcode::logout_response).as<logout_response_bhs>().response == row.response);
}

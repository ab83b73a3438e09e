// Task management functions over sets of tasks: what they wait for, and what they answer. RFC 7143 §4.2.3, RFC 7144.
#include "tests/unit/protocol/session_script.hpp"

using namespace obd;
using namespace obd::iscsi;
using namespace obd::iscsi::testing;

namespace {

constexpr std::uint8_t writes = command_flag::write | 1;

struct answer {
    std::uint32_t itt;
    std::uint8_t response;
};

/// The responses to functions among what was sent, in order; the rest is dropped.
std::vector<answer> answers(script& s) {
    std::vector<answer> found;
    for (const auto& pdu : s.sent) {
        if (pdu.code() != opcode::task_management_response) continue;
        const auto bhs = pdu.as<task_management_response_bhs>();
        found.push_back({bhs.initiator_task_tag, bhs.response});
    }
    s.sent.clear();
    return found;
}

/// A write that waits for the data of one R2T; its target transfer tag.
std::uint32_t write_awaiting_data(script& s, std::uint32_t itt) {
    s.recv(s.command({.itt = itt, .flags = final_bit | writes, .bytes = 512}));
    return s.take(opcode::ready_to_transfer).as<ready_to_transfer_bhs>().target_transfer_tag;
}

session_parameters level(std::uint32_t protocol_level) {
    session_parameters agreed;
    agreed.protocol_level = protocol_level;
    return agreed;
}

}  // namespace

TEST_CASE("a function on a set waits for the commands before it", "[rfc7143-4.2.3.3]") {
    script s;
    auto function = s.management(task_function::abort_task_set, 9);
    function.cmd_sn = 3;
    s.recv(function);
    CHECK(s.sent.empty());
    s.recv(s.command({.itt = 3, .cmd_sn = 3}));  // not one of the set: it comes after the function
    s.recv(s.command({.itt = 2, .cmd_sn = 2}));
    CHECK(s.begun.empty());
    s.recv(s.command({.itt = 1, .cmd_sn = 1}));
    const auto found = answers(s);
    REQUIRE(found.size() == 1);
    CHECK(found[0].response == 0);
    CHECK(s.begun.size() == 3);
    REQUIRE(s.target().active_tasks() == 1);
    s.target().for_each_task([](const scsi_task& task) { CHECK(task.initiator_task_tag == 3); });
}

TEST_CASE("a number outside of the window does not hold a function", "[rfc7143-4.2.3.3]") {
    const std::uint32_t cmd_sn = GENERATE(0u, 1u, 1u + 128 + 1, 0x80000000u);
    script s;
    auto function = s.management(task_function::abort_task_set, 9);
    function.cmd_sn = cmd_sn;
    s.recv(function);
    CHECK(answers(s).size() == 1);
}

TEST_CASE("a target reset plugs the numbers before it", "[rfc7143-4.2.3.3]") {
    script s;
    s.recv(s.command({.itt = 2, .cmd_sn = 2}));
    s.recv(s.command({.itt = 3, .cmd_sn = 3}));
    auto function = s.management(task_function::target_warm_reset, 9);
    function.cmd_sn = 3;
    s.recv(function);
    REQUIRE(s.managed.size() == 1);
    REQUIRE(s.begun.size() == 1);  // the one that comes after the reset
    CHECK(s.begun[0]->initiator_task_tag == 3);
    s.target().management_done(9, task_response::function_complete);
    CHECK(s.take(opcode::task_management_response).as<task_management_response_bhs>().exp_cmd_sn == 4u);
    s.recv(s.command({.itt = 1, .cmd_sn = 1}));  // it counts as received
    CHECK(s.begun.size() == 1);
}

TEST_CASE("a function on a set waits for the data that was asked for", "[rfc7143-4.2.3.3]") {
    script s;
    const auto first = write_awaiting_data(s, 1);
    const auto second = write_awaiting_data(s, 2);
    s.recv(s.management(task_function::abort_task_set, 9));
    CHECK(s.sent.empty());
    const std::vector<std::byte> data(512);
    s.recv(s.data_out(1, first, 0, 0, 256, 0), const_bytes(data).first(256));
    s.recv(s.data_out(1, first, 1, 256, 0));  // ended early, as the initiator should
    CHECK(s.target().active_tasks() == 1);
    CHECK(s.sent.empty());
    SECTION("until it is there") {
        s.recv(s.data_out(2, second, 0, 0, 512), data);
    }
    SECTION("or for as long as the owner has patience") {
        CHECK(s.target().awaiting_data());
        s.target().stop_awaiting_data();
    }
    CHECK_FALSE(s.target().awaiting_data());
    CHECK(answers(s).size() == 1);
    CHECK(s.arrived.empty());
    CHECK(s.target().active_tasks() == 0);
}

TEST_CASE("unsolicited data of an aborted task is waited for, too", "[rfc7143-4.2.3.3]") {
    session_parameters agreed;
    agreed.initial_r2t = false;
    script s(agreed);
    s.recv(s.command({.itt = 1, .flags = writes, .bytes = 512}));
    s.recv(s.management(task_function::logical_unit_reset, 9));
    CHECK(s.managed.empty());
    const std::vector<std::byte> data(512);
    s.recv(s.data_out(1, reserved_tag, 0, 0, 512), data);
    CHECK(s.managed.size() == 1);
}

TEST_CASE("who stops sending on an abort is not waited for", "[rfc7143-4.2.3.4]") {
    session_parameters agreed;
    agreed.fast_abort = true;
    script s(agreed);
    const auto tag = write_awaiting_data(s, 1);
    s.recv(s.management(task_function::abort_task_set, 9));
    CHECK(answers(s).size() == 1);
    const std::vector<std::byte> data(512);
    s.recv(s.data_out(1, tag, 0, 0, 512), data);  // it was on its way
    CHECK(s.sent.empty());
}

TEST_CASE("ABORT TASK does not wait for data", "[rfc7143-11.5.1]") {
    script s;
    write_awaiting_data(s, 1);
    s.recv(s.management(task_function::abort_task, 9, 1));
    CHECK(answers(s).size() == 1);
}

TEST_CASE("device and data are waited for in any order", "[rfc7143-4.2.3.3]") {
    const bool device_first = GENERATE(true, false);
    script s;
    s.abort_answer = session_host::stop::later;
    s.recv(s.command({.itt = 1}));
    const auto tag = write_awaiting_data(s, 2);
    s.recv(s.management(task_function::abort_task_set, 9));
    const std::vector<std::byte> data(512);
    const auto let_device_go = [&] { s.target().task_ended(*s.begun.at(0)); };
    if (device_first) let_device_go();
    s.recv(s.data_out(2, tag, 0, 0, 512), data);
    CHECK(answers(s).size() == (device_first ? 1 : 0));
    if (!device_first) let_device_go();
    CHECK(s.target().active_tasks() == 0);
    CHECK(answers(s).size() == (device_first ? 0 : 1));
}

TEST_CASE("ABORT TASK waits for its own task alone", "[rfc7143-4.2.3.2]") {
    script s;
    s.abort_answer = session_host::stop::later;
    s.recv(s.command({.itt = 1}));
    s.recv(s.command({.itt = 2}));
    s.recv(s.management(task_function::abort_task, 8, 1));
    s.recv(s.management(task_function::abort_task, 9, 2));
    CHECK(s.sent.empty());
    s.target().task_ended(*s.begun.at(1));
    const auto found = answers(s);
    REQUIRE(found.size() == 1);
    CHECK(found[0].itt == 9);
}

TEST_CASE("a LUN is the same unit however it is written", "[sam5-4.7.7]") {
    script s;
    auto command = s.command({.itt = 1});
    command.lun = std::uint64_t{0x4000} << 48;
    s.recv(command);
    s.recv(s.management(task_function::abort_task, 9, 1));
    CHECK(answers(s).at(0).response == 0);
    CHECK(s.target().active_tasks() == 0);
}

TEST_CASE("the functions of RFC 7144 are there where they were agreed on", "[rfc7144]") {
    struct row {
        const char* what;
        task_function function;
        std::uint32_t referenced;
        std::uint8_t level_1, level_2;
    };
    constexpr auto none = static_cast<std::uint8_t>(task_response::function_not_supported);
    constexpr auto complete = static_cast<std::uint8_t>(task_response::function_complete);
    constexpr auto succeeded = static_cast<std::uint8_t>(task_response::function_succeeded);
    const auto row = GENERATE(values<struct row>({
        {"a task that is there", task_function::query_task, 1, none, succeeded},
        {"a task that is not", task_function::query_task, 77, none, complete},
        {"some task", task_function::query_task_set, reserved_tag, none, succeeded},
        {"no event", task_function::query_asynchronous_event, reserved_tag, none, complete},
    }));
    CAPTURE(row.what);
    for (const std::uint32_t agreed : {0u, 1u, 2u, 3u}) {
        script s(level(agreed));
        s.recv(s.command({.itt = 1}));
        s.recv(s.management(row.function, 9, row.referenced));
        CHECK(answers(s).at(0).response == (agreed >= 2 ? row.level_2 : row.level_1));
        CHECK(s.target().active_tasks() == 1);
    }
}

TEST_CASE("QUERY ASYNCHRONOUS EVENT tells what waits", "[rfc7144]") {
    script s(level(2));
    s.attention = attention_bytes{0x16, 0x29, 0x00};
    s.recv(s.management(task_function::query_asynchronous_event, 9));
    const auto bhs = s.take(opcode::task_management_response).as<task_management_response_bhs>();
    CHECK(bhs.response == static_cast<std::uint8_t>(task_response::function_succeeded));
    CHECK(bhs.additional_response_information == attention_bytes{0x16, 0x29, 0x00});
}

TEST_CASE("I_T NEXUS RESET ends this nexus's tasks on every unit", "[rfc7144]") {
    script s(level(2));
    s.recv(s.command({.itt = 1}));
    auto elsewhere = s.command({.itt = 2});
    elsewhere.lun = std::uint64_t{7} << 48;
    s.recv(elsewhere);
    auto function = s.management(task_function::i_t_nexus_reset, 9);
    function.lun = std::uint64_t{0x1234} << 32;  // no unit is meant, so none is looked for
    s.recv(function);
    CHECK(s.target().active_tasks() == 0);
    REQUIRE(s.managed.size() == 1);
    CHECK(s.managed[0].function == task_function::i_t_nexus_reset);
    s.target().management_done(9, task_response::function_complete);
    CHECK(answers(s).at(0).response == 0);
}

TEST_CASE("functions beyond the limit are rejected, not kept", "[rfc7143-11.6.1]") {
    script s;
    auto function = s.management(task_function::abort_task_set, 0);
    function.cmd_sn = 100;
    std::size_t rejected = 0;
    for (std::uint32_t i = 0; i < 1000; ++i) {
        function.initiator_task_tag = i;
        s.recv(function);
        for (const auto& one : answers(s)) rejected += one.response == 255 ? 1 : 0;
    }
    CHECK(rejected == 1000 - 32);
}

TEST_CASE("a function without a tag is no function", "[rfc7143-11.5]") {
    script s;
    s.recv(s.management(task_function::abort_task_set, reserved_tag));
    CHECK(s.take(opcode::reject).as<reject_bhs>().reason ==
          static_cast<std::uint8_t>(reject_reason::invalid_pdu_field));
}

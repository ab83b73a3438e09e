// The error cases of RFC 7143 chapter 7 as a table: what comes, what the target says, and whether the connection goes
// on. At ErrorRecoveryLevel 0: nothing is asked for again, a task fails or the connection ends.
#include <functional>

#include "tests/unit/protocol/session_script.hpp"

using namespace obd;
using namespace obd::iscsi;
using namespace obd::iscsi::testing;

namespace {

constexpr std::uint8_t writes = command_flag::write | 1;
const std::vector<std::byte> block(512, std::byte{0x5a});

enum class damage { none, data_digest };

struct outcome {
    pdu_verdict verdict = pdu_verdict::go_on;
    std::optional<reject_reason> rejected = {};
    std::optional<std::uint16_t> sense = {};  ///< ASC and ASCQ of an ABORTED COMMAND
    std::size_t tasks_left = 0;
};

template <typename Bhs>
pdu_verdict give(script& s, const Bhs& bhs, const_bytes data = {}, damage how = damage::none, const_bytes ahs = {}) {
    return s.target().on_pdu({bytes_of(bhs), ahs, data, how == damage::none});
}

struct error_case {
    const char* what;
    const char* clause;
    std::function<pdu_verdict(script&)> play;
    outcome wanted;
};

/// A write with one R2T out; its target transfer tag.
std::uint32_t asked_for_data(script& s, std::uint32_t bytes = 512) {
    s.recv(s.command({.flags = final_bit | writes, .bytes = bytes}));
    return s.take(opcode::ready_to_transfer).as<ready_to_transfer_bhs>().target_transfer_tag;
}

basic_bhs plain(std::uint8_t opcode_byte, std::uint8_t flags = final_bit) {
    basic_bhs bhs{};
    bhs.opcode_byte = opcode_byte;
    bhs.flags = flags;
    bhs.initiator_task_tag = 7;
    bhs.word5 = {0xff, 0xff, 0xff, 0xff};  // the target transfer tag of NOP-Out and text: none
    return bhs;
}

constexpr auto closes = pdu_verdict::close_after_send;
using why = reject_reason;

std::vector<error_case> format_errors() {
    return {
        {"a command with the reserved tag",
         "7.7",
         [](script& s) { return s.recv(s.command({.itt = reserved_tag})); },
         {closes, why::invalid_pdu_field}},
        {"data with a command that does not write",
         "7.7",
         [](script& s) { return give(s, s.command({}), block); },
         {closes, why::invalid_pdu_field}},
        {"a command that neither writes nor is final",
         "7.7",
         [](script& s) { return s.recv(s.command({.flags = command_flag::read | 1})); },
         {closes, why::invalid_pdu_field}},
        {"an additional header of no type",
         "7.7",
         [](script& s) {
             const std::array<std::byte, 4> ahs{std::byte{0}, std::byte{1}, std::byte{9}};
             return give(s, s.command({}), {}, damage::none, ahs);
         },
         {closes, why::invalid_pdu_field}},
        {"an additional header longer than there is",
         "7.7",
         [](script& s) {
             const std::array<std::byte, 4> ahs{std::byte{0}, std::byte{77}, std::byte{1}};
             return give(s, s.command({}), {}, damage::none, ahs);
         },
         {closes, why::invalid_pdu_field}},
        {"a logout for no reason",
         "7.7",
         [](script& s) { return give(s, plain(0x46, final_bit | 3)); },
         {closes, why::invalid_pdu_field}},
        {"text that is final and goes on",
         "7.7",
         [](script& s) { return give(s, plain(0x44, final_bit | continue_bit)); },
         {closes, why::invalid_pdu_field}},
    };
}

std::vector<error_case> digest_errors() {
    return {
        {"a damaged command",
         "7.8",
         [](script& s) { return give(s, s.command({.flags = final_bit | writes}), block, damage::data_digest); },
         {closes, why::data_digest_error}},
        {"a damaged immediate NOP",
         "7.8",
         [](script& s) { return give(s, plain(0x40), block, damage::data_digest); },
         {pdu_verdict::go_on, why::data_digest_error}},
        {"damaged Data-Out",
         "7.8",
         [](script& s) {
             const auto tag = asked_for_data(s);
             return give(s, s.data_out(1, tag, 0, 0, 512), block, damage::data_digest);
         },
         {pdu_verdict::go_on, why::data_digest_error, 0x4705}},
        {"damaged Data-Out of no task",
         "7.8",
         [](script& s) { return give(s, s.data_out(9, 1, 0, 0, 512), block, damage::data_digest); },
         {pdu_verdict::go_on, why::data_digest_error}},
    };
}

std::vector<error_case> sequence_errors() {
    return {
        {"DataSN left out",
         "7.9",
         [](script& s) { return s.recv(s.data_out(1, asked_for_data(s), 1, 0, 512), block); },
         {pdu_verdict::go_on, {}, 0x4705}},
        {"an offset beyond",
         "7.9",
         [](script& s) { return s.recv(s.data_out(1, asked_for_data(s), 0, 512, 512), block); },
         {pdu_verdict::go_on, {}, 0x4705}},
        {"more than was asked for",
         "7.9",
         [](script& s) {
             const std::vector<std::byte> more(1024);
             return s.recv(s.data_out(1, asked_for_data(s), 0, 0, 1024), more);
         },
         {pdu_verdict::go_on, {}, 0x4705}},
        {"less than was asked for",
         "7.9",
         [](script& s) { return s.recv(s.data_out(1, asked_for_data(s, 1024), 0, 0, 512), block); },
         {pdu_verdict::go_on, {}, 0x0c0d}},
        {"the rest of a broken sequence is waited for",
         "7.9",
         [](script& s) { return s.recv(s.data_out(1, asked_for_data(s, 1024), 5, 0, 512, 0), block); },
         {pdu_verdict::go_on, {}, {}, 1}},
        {"a transfer tag that was never given",
         "11.7.4",
         [](script& s) { return s.recv(s.data_out(1, asked_for_data(s) + 9, 0, 0, 512), block); },
         {pdu_verdict::go_on, why::invalid_pdu_field, {}, 1}},
        {"unsolicited data where none may be",
         "13.10",
         [](script& s) {
             s.recv(s.command({.flags = writes, .bytes = 512}));
             return s.recv(s.data_out(1, reserved_tag, 0, 0, 512), block);
         },
         {pdu_verdict::go_on, {}, 0x0c0c}},
        {"a command sent twice",
         "7.2.1",
         [](script& s) {
             s.recv(s.command({.cmd_sn = 1}));
             return s.recv(s.command({.cmd_sn = 1}));
         },
         {pdu_verdict::go_on, {}, {}, 1}},
        {"a command beyond the window", "4.2.2.1", [](script& s) { return s.recv(s.command({.cmd_sn = 129})); }, {}},
    };
}

std::vector<error_case> protocol_errors() {
    return {
        {"a tag that is in use",
         "11.17.1",
         [](script& s) {
             s.recv(s.command({}));
             return s.recv(s.command({}));
         },
         {pdu_verdict::go_on, why::task_in_progress, {}, 1}},
        {"a login in the full-feature phase",
         "7.13",
         [](script& s) { return give(s, plain(0x43)); },
         {closes, why::protocol_error}},
        {"an opcode of the target's",
         "11.17.1",
         [](script& s) { return give(s, plain(0x21)); },
         {pdu_verdict::go_on, why::command_not_supported}},
        {"an opcode of nobody's",
         "11.17.1",
         [](script& s) { return give(s, plain(0x1d)); },
         {pdu_verdict::go_on, why::command_not_supported}},
        {"a SNACK for data",
         "11.16",
         [](script& s) { return give(s, plain(0x10, final_bit)); },
         {pdu_verdict::go_on, why::protocol_error}},
        {"a SNACK for status",
         "11.16",
         [](script& s) { return give(s, plain(0x10, final_bit | 1)); },
         {pdu_verdict::go_on, why::protocol_error}},
        {"a DataACK",
         "11.16",
         [](script& s) { return give(s, plain(0x10, final_bit | 2)); },
         {pdu_verdict::go_on, why::protocol_error}},
        {"an R-Data SNACK",
         "11.16",
         [](script& s) { return give(s, plain(0x10, final_bit | 3)); },
         {pdu_verdict::go_on, why::protocol_error}},
        {"a ping that is also an answer",
         "11.18",
         [](script& s) {
             auto bhs = plain(0x40);
             bhs.word5 = {0, 0, 0, 5};
             return give(s, bhs);
         },
         {pdu_verdict::go_on, why::protocol_error}},
        {"text that is no pair",
         "7.12",
         [](script& s) { return give(s, plain(0x44), as_bytes("hello")); },
         {pdu_verdict::go_on, why::protocol_error}},
        {"a key that may not change now",
         "6.4",
         [](script& s) { return give(s, plain(0x44), as_bytes(std::string_view("TargetPortalGroupTag=2\0", 23))); },
         {pdu_verdict::go_on, why::protocol_error}},
        {"text that answers a tag of nobody's",
         "11.10.4",
         [](script& s) {
             auto bhs = plain(0x44);
             bhs.word5 = {0, 0, 0, 5};
             return give(s, bhs);
         },
         {pdu_verdict::go_on, why::invalid_pdu_field}},
    };
}

void check(const error_case& row) {
    INFO(row.what << ", §" << row.clause);
    script s;
    CHECK(row.play(s) == row.wanted.verdict);
    std::optional<reject_reason> rejected;
    std::optional<std::uint16_t> sense;
    for (const auto& pdu : s.sent) {
        if (pdu.code() == opcode::reject) rejected = static_cast<reject_reason>(pdu.as<reject_bhs>().reason);
        if (pdu.code() != opcode::scsi_response) continue;
        CHECK(pdu.as<scsi_response_bhs>().status == 2);
        CHECK(pdu.data.at(2 + 2) == std::byte{0x0b});
        sense = static_cast<std::uint16_t>(std::to_integer<unsigned>(pdu.data.at(2 + 12)) << 8 |
                                           std::to_integer<unsigned>(pdu.data.at(2 + 13)));
    }
    CHECK(rejected == row.wanted.rejected);
    CHECK(sense == row.wanted.sense);
    CHECK(s.target().active_tasks() == row.wanted.tasks_left);
    CHECK(s.arrived.empty());
}

}  // namespace

TEST_CASE("format errors end the connection", "[rfc7143-7.7]") {
    for (const auto& row : format_errors()) check(row);
}

TEST_CASE("digest errors fail a task or end the connection", "[rfc7143-7.8]") {
    for (const auto& row : digest_errors()) check(row);
}

TEST_CASE("sequence errors fail a task", "[rfc7143-7.9]") {
    for (const auto& row : sequence_errors()) check(row);
}

TEST_CASE("protocol errors are rejected", "[rfc7143-7.13]") {
    for (const auto& row : protocol_errors()) check(row);
}

// A scripted initiator for the session engine: PDUs go in byte by byte, what the session sends is read back, no socket
// and no SCSI behind it. The "device" is the test itself: commands that begin wait in `begun`.
#pragma once

#include <catch2/catch.hpp>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "protocol/iscsi/session.hpp"

namespace obd::iscsi::testing {

struct sent_pdu {
    std::vector<std::byte> header;
    std::vector<std::byte> data;

    opcode code() const { return load<basic_bhs>(header).code(); }
    template <typename Bhs>
    Bhs as() const {
        return load<Bhs>(header);
    }
};

class script final : public session_host {
public:
    explicit script(session_parameters agreed = {}, std::uint32_t cmd_sn = 1, std::uint32_t stat_sn = 100)
        : agreed_(agreed), cmd_sn_(cmd_sn), session_(agreed, serial32{cmd_sn}, serial32{stat_sn}, *this) {}

    session& target() { return session_; }
    std::deque<sent_pdu> sent;
    std::vector<scsi_task*> begun;
    std::vector<scsi_task*> arrived;
    std::vector<management_request> managed;
    std::vector<std::byte> immediate;  ///< of the command that began last
    session_host::stop abort_answer = stop::ended;

    template <typename Bhs>
    pdu_verdict recv(const Bhs& bhs, const_bytes data = {}, const_bytes ahs = {}) {
        return session_.on_pdu({bytes_of(bhs), ahs, data, true});
    }
    /// The oldest PDU that was sent and not yet taken, which must be of that kind.
    sent_pdu take(opcode code) {
        REQUIRE_FALSE(sent.empty());
        auto first = std::move(sent.front());
        sent.pop_front();
        REQUIRE(first.code() == code);
        return first;
    }

    struct command_options {
        std::uint32_t itt = 1;
        std::uint8_t flags = final_bit | command_flag::read | 1;
        std::uint32_t bytes = 512;
        bool immediate = false;
        std::optional<std::uint32_t> cmd_sn = {};
    };
    scsi_command_bhs command(command_options with) {
        scsi_command_bhs bhs{};
        bhs.opcode_byte =
            static_cast<std::uint8_t>(opcode::scsi_command) | (with.immediate ? immediate_bit : std::uint8_t{0});
        bhs.flags = with.flags;
        bhs.initiator_task_tag = with.itt;
        bhs.expected_transfer_bytes = with.bytes;
        bhs.cmd_sn = with.cmd_sn.value_or(with.immediate || with.cmd_sn ? cmd_sn_ : cmd_sn_++);
        return bhs;
    }
    data_out_bhs data_out(std::uint32_t itt, std::uint32_t ttt, std::uint32_t data_sn, std::uint32_t offset,
                          std::uint32_t bytes, std::uint8_t flags = final_bit) {
        data_out_bhs bhs{};
        bhs.opcode_byte = static_cast<std::uint8_t>(opcode::scsi_data_out);
        bhs.flags = flags;
        bhs.data_segment_bytes = bytes;
        bhs.initiator_task_tag = itt;
        bhs.target_transfer_tag = ttt;
        bhs.data_sn = data_sn;
        bhs.buffer_offset = offset;
        return bhs;
    }
    task_management_request_bhs management(task_function function, std::uint32_t itt,
                                           std::uint32_t referenced = reserved_tag) {
        task_management_request_bhs bhs{};
        bhs.opcode_byte = static_cast<std::uint8_t>(opcode::task_management_request) | immediate_bit;
        bhs.function = static_cast<std::uint8_t>(final_bit | static_cast<unsigned>(function));
        bhs.initiator_task_tag = itt;
        bhs.referenced_task_tag = referenced;
        bhs.cmd_sn = cmd_sn_;
        return bhs;
    }
    io_buffer pattern(std::size_t bytes) {
        auto buffer = pool_.get(bytes);
        for (std::size_t i = 0; i < bytes; ++i) buffer.data()[i] = static_cast<std::byte>(i * 7);
        return buffer;
    }
    std::uint32_t next_cmd_sn() const { return cmd_sn_; }

    // session_host
    void send(const_bytes header, const_bytes data, io_buffer) override {
        sent.push_back({{header.begin(), header.end()}, {data.begin(), data.end()}});
        CHECK(std::uint32_t{load<basic_bhs>(header).data_segment_bytes} == data.size());
    }
    io_buffer allocate(std::size_t bytes) override { return pool_.get(bytes); }
    void begin(scsi_task& task, const_bytes data) override {
        begun.push_back(&task);
        immediate.assign(data.begin(), data.end());
        if (task.writes) session_.take_data(task, takes.value_or(task.expected_out), data);
    }
    void data_arrived(scsi_task& task) override { arrived.push_back(&task); }
    stop abort(scsi_task&) override { return abort_answer; }
    void forget(scsi_task&) override {}
    bool unit_exists(const std::array<std::byte, 8>& lun) override { return lun[1] == std::byte{0}; }
    std::optional<attention_bytes> pending_attention(const lun_bytes&) override { return attention; }
    void manage(const management_request& request) override { managed.push_back(request); }
    std::optional<std::string> send_targets(std::string_view value, session_type) override {
        if (value != "All") return std::nullopt;
        return targets;
    }

    std::optional<std::uint32_t> takes;  ///< of writes; nothing: all that is expected
    std::string targets;
    std::optional<attention_bytes> attention;

private:
    buffer_pool pool_{0};
    session_parameters agreed_;
    std::uint32_t cmd_sn_;
    session session_;
};

}  // namespace obd::iscsi::testing

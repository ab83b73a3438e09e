// An initiator that speaks PDUs over a blocking socket, one at a time: what no real initiator sends, too.
#pragma once

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <optional>
#include <string>
#include <vector>

#include "protocol/iscsi/bhs.hpp"
#include "protocol/iscsi/pdu_reader.hpp"
#include "protocol/iscsi/text.hpp"
#include "protocol/net/endpoint.hpp"

namespace obd::iscsi::testing {

struct received_pdu {
    std::vector<std::byte> header, data;
    opcode code() const { return load<basic_bhs>(header).code(); }
    template <typename Bhs>
    Bhs as() const {
        return load<Bhs>(header);
    }
};

class wire_initiator {
public:
    /// `from`: the address to come from, "127.0.0.2:0"; empty: any.
    explicit wire_initiator(const std::string& portal, const std::string& from = {}) {
        const auto where = parse_endpoint(portal).value();
        socket_.reset(::socket(where.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
        if (!from.empty()) {
            const auto own = parse_endpoint(from).value();
            REQUIRE(::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&own.address), own.length) == 0);
        }
        REQUIRE(::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&where.address), where.length) == 0);
    }

    void send_bytes(const_bytes bytes) {
        while (!bytes.empty()) {
            const auto count = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (count <= 0) return;  // the target has closed; the test sees it when it reads
            bytes = bytes.subspan(static_cast<std::size_t>(count));
        }
    }
    template <typename Bhs>
    void send(Bhs bhs, const_bytes data = {}) {
        bhs.data_segment_bytes = static_cast<std::uint32_t>(data.size());
        std::vector<std::byte> bytes(bytes_of(bhs).begin(), bytes_of(bhs).end());
        bytes.insert(bytes.end(), data.begin(), data.end());
        bytes.resize(bytes.size() + padding_of(static_cast<std::uint32_t>(data.size())));
        send_bytes(bytes);
    }
    /// The next PDU, or nothing when the target has closed. Waits long enough for any machine; a hang fails the test.
    std::optional<received_pdu> receive() {
        received_pdu pdu;
        pdu.header.resize(bhs_bytes);
        if (!read_all(pdu.header)) return std::nullopt;
        const std::uint32_t bytes = load<basic_bhs>(pdu.header).data_segment_bytes;
        pdu.data.resize(bytes + padding_of(bytes));
        if (!read_all(pdu.data)) return std::nullopt;
        pdu.data.resize(bytes);
        return pdu;
    }
    received_pdu expect(opcode code) {
        auto pdu = receive();
        REQUIRE(pdu);
        REQUIRE(pdu->code() == code);
        return std::move(*pdu);
    }

    login_response_bhs login(const std::string& target, const std::string& name = "iqn.2000-01.test:i",
                             std::uint8_t isid = 1, const std::vector<std::string>& more = {}) {
        send_login(target, name, isid, more);
        return expect(opcode::login_response).as<login_response_bhs>();
    }
    void send_login(const std::string& target, const std::string& name = "iqn.2000-01.test:i", std::uint8_t isid = 1,
                    const std::vector<std::string>& more = {}) {
        std::string text;
        append_pair(text, "InitiatorName", name);
        if (target.empty()) {
            append_pair(text, "SessionType", "Discovery");
        } else {
            append_pair(text, "TargetName", target);
        }
        for (const auto& pair : more) text.append(pair).append(1, '\0');
        login_request_bhs bhs{};
        bhs.opcode_byte = static_cast<std::uint8_t>(opcode::login_request) | immediate_bit;
        bhs.flags = final_bit | 1 << 2 | 3;
        bhs.isid[5] = static_cast<std::byte>(isid);
        bhs.cmd_sn = cmd_sn_;
        send(bhs, as_bytes(text));
    }

    void send_read(std::uint32_t itt, std::uint32_t block, std::uint16_t blocks, std::uint8_t lun = 0) {
        send_cdb(itt, 0x28, block, blocks, command_flag::read, std::uint32_t{blocks} * 512, lun, {});
    }
    void send_write(std::uint32_t itt, std::uint32_t block, const_bytes data, std::uint8_t lun = 0) {
        const auto bytes = static_cast<std::uint32_t>(data.size());
        send_cdb(itt, 0x2a, block, static_cast<std::uint16_t>(bytes / 512), command_flag::write, bytes, lun, data);
    }
    /// A WRITE whose CDB counts other blocks than the initiator announces and sends.
    void send_uneven_write(std::uint32_t itt, std::uint32_t block, std::uint16_t blocks, const_bytes data) {
        send_cdb(itt, 0x2a, block, blocks, command_flag::write, static_cast<std::uint32_t>(data.size()), 0, data);
    }
    void send_nop(std::uint32_t itt) {
        nop_out_bhs bhs{};
        bhs.opcode_byte = static_cast<std::uint8_t>(opcode::nop_out) | immediate_bit;
        bhs.flags = final_bit;
        bhs.initiator_task_tag = itt;
        bhs.target_transfer_tag = reserved_tag;
        bhs.cmd_sn = cmd_sn_;
        send(bhs);
    }
    void send_management(task_function function, std::uint32_t itt, std::uint32_t referenced = reserved_tag,
                         std::uint8_t lun = 0) {
        task_management_request_bhs bhs{};
        bhs.opcode_byte = static_cast<std::uint8_t>(opcode::task_management_request) | immediate_bit;
        bhs.function = static_cast<std::uint8_t>(final_bit | static_cast<unsigned>(function));
        bhs.lun = std::uint64_t{lun} << 48;
        bhs.initiator_task_tag = itt;
        bhs.referenced_task_tag = referenced;
        bhs.cmd_sn = cmd_sn_;
        send(bhs);
    }
    struct raw_command {
        std::uint32_t itt;
        std::vector<std::uint8_t> cdb;
        std::uint8_t direction = 0;  ///< command_flag
        std::uint32_t bytes = 0;
        std::uint8_t lun = 0;
        std::uint8_t attribute = 1;
        bool immediate = false;
    };
    void send_command(const raw_command& what, const_bytes data = {}) {
        scsi_command_bhs bhs{};
        bhs.opcode_byte =
            static_cast<std::uint8_t>(opcode::scsi_command) | (what.immediate ? immediate_bit : std::uint8_t{0});
        bhs.flags = static_cast<std::uint8_t>(final_bit | what.direction | what.attribute);
        bhs.lun = std::uint64_t{what.lun} << 48;
        bhs.initiator_task_tag = what.itt;
        bhs.expected_transfer_bytes = what.bytes;
        bhs.cmd_sn = what.immediate ? cmd_sn_ : cmd_sn_++;
        for (std::size_t i = 0; i < what.cdb.size(); ++i) bhs.cdb[i] = static_cast<std::byte>(what.cdb[i]);
        send(bhs, data);
    }
    /// Sense key, ASC and ASCQ of the response to TEST UNIT READY; zeros when it is GOOD.
    std::uint32_t sense_of_unit(std::uint8_t lun) {
        send_command({.itt = 0x7001, .cdb = {0}, .lun = lun});
        const auto pdu = expect(opcode::scsi_response);
        if (pdu.as<scsi_response_bhs>().status == 0) return 0;
        const auto at = [&](std::size_t i) { return std::to_integer<std::uint32_t>(pdu.data.at(2 + i)); };
        return (at(2) & 0xf) << 16 | at(12) << 8 | at(13);
    }
    void send_logout(std::uint32_t itt) {
        logout_request_bhs bhs{};
        bhs.opcode_byte = static_cast<std::uint8_t>(opcode::logout_request) | immediate_bit;
        bhs.reason = final_bit;
        bhs.initiator_task_tag = itt;
        bhs.cmd_sn = cmd_sn_;
        send(bhs);
    }
    /// TEST UNIT READY until the unit attentions of a new nexus are gone.
    void settle(std::uint8_t lun = 0) {
        for (int i = 0; i < 8; ++i) {
            send_cdb(0x7000, 0x00, 0, 0, 0, 0, lun, {});
            if (expect(opcode::scsi_response).as<scsi_response_bhs>().status == 0) return;
        }
        FAIL("unit attentions without end");
    }

    int descriptor() const { return socket_.get(); }

private:
    void send_cdb(std::uint32_t itt, std::uint8_t operation, std::uint32_t block, std::uint16_t blocks,
                  std::uint8_t direction, std::uint32_t bytes, std::uint8_t lun, const_bytes data) {
        scsi_command_bhs bhs{};
        bhs.opcode_byte = static_cast<std::uint8_t>(opcode::scsi_command);
        bhs.flags = static_cast<std::uint8_t>(final_bit | direction | 1);
        bhs.lun = std::uint64_t{lun} << 48;
        bhs.initiator_task_tag = itt;
        bhs.expected_transfer_bytes = bytes;
        bhs.cmd_sn = cmd_sn_++;
        bhs.cdb[0] = static_cast<std::byte>(operation);
        store(mutable_bytes(bhs.cdb), wire::big_uint32_t(block), 2);
        store(mutable_bytes(bhs.cdb), wire::big_uint16_t(blocks), 7);
        send(bhs, data);
    }
    bool read_all(mutable_bytes into) {
        while (!into.empty()) {
            pollfd waiting{socket_.get(), POLLIN, 0};
            REQUIRE(::poll(&waiting, 1, 60'000) == 1);
            const auto count = ::recv(socket_.get(), into.data(), into.size(), 0);
            if (count <= 0) return false;
            into = into.subspan(static_cast<std::size_t>(count));
        }
        return true;
    }

    unique_descriptor socket_;
    std::uint32_t cmd_sn_ = 1;
};

}  // namespace obd::iscsi::testing

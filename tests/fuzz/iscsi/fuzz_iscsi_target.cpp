// Whole sessions without a socket: two initiators, the session engine, the task runner, the SCSI device server and a
// disk in memory, moved by a script that the input is read as. Most PDUs are nearly right, so that the script gets
// deep.
//
// What is checked beside the sanitizers: lengths, the sequence numbers of RFC 7143 §4.2.2, that every answer belongs to
// a command that is out, that Data-In is in order and within what was asked for, and that nothing is left at the end.
#include <algorithm>
#include <array>
#include <map>
#include <set>

#include <boost/asio/post.hpp>

#include "base/limits.hpp"
#include "base/result.hpp"
#include "protocol/net/task_runner.hpp"
#include "tests/support/memory_disk.hpp"

namespace {

using namespace obd;
using namespace obd::iscsi;

/// One loop for all runs; nothing else is kept.
struct world {
    asio::io_context context{1};
    socket_poller poller;
    std::shared_ptr<net_loop> loop = std::make_shared<net_loop>(context, poller, std::chrono::seconds(1));

    void run() {
        context.restart();
        context.poll();
    }
};

world& the_world() {
    static world one;
    return one;
}

/// What the initiator of a session remembers, to check what it gets.
struct outstanding {
    std::uint32_t sent = 0;  ///< commands with this tag that may still be answered, those that were dropped among them
    std::uint32_t room = 0;
    std::uint32_t received = 0;
    std::uint32_t data_sn = 0;
    std::uint32_t transfer_tag = reserved_tag;
    std::uint32_t wanted_offset = 0;
    std::uint32_t wanted_bytes = 0;
};

class initiator final : public session_host, public runner_owner {
public:
    initiator(session_parameters agreed, scsi::lun_inventory& units, std::shared_ptr<late_operations> late, char name)
        : one(agreed, serial32{first_cmd_sn}, serial32{first_stat_sn}, *this),
          runner(one, units.add_nexus({std::string("iqn.2000-01.a:") + name, {}}), the_world().loop, record_, *this,
                 std::move(late), {std::chrono::hours(1), 6}) {}

    void send(const_bytes header, const_bytes data, io_buffer) override {
        const auto bhs = load<basic_bhs>(header);
        ASSERT(bhs.data_segment_bytes == data.size() && data.size() <= one.parameters().initiator_max_recv_bytes);
        for (const auto byte : data) sum_ += static_cast<unsigned>(byte);  // AddressSanitizer looks at all of it
        check_numbers(header, bhs.code());
        const std::uint32_t tag = bhs.initiator_task_tag;
        if (bhs.code() == opcode::scsi_data_in) on_data_in(load<data_in_bhs>(header), tag);
        if (bhs.code() == opcode::ready_to_transfer) on_r2t(load<ready_to_transfer_bhs>(header), tag);
        if (bhs.code() == opcode::scsi_response) ended(tag);
    }
    io_buffer allocate(std::size_t bytes) override { return the_world().loop->buffers().get(bytes); }
    void begin(scsi_task& task, const_bytes immediate) override { runner.begin(task, immediate); }
    void data_arrived(scsi_task& task) override { runner.data_arrived(task); }
    stop abort(scsi_task& task) override { return runner.abort(task); }
    void forget(scsi_task& task) override { runner.forget(task); }
    bool unit_exists(const lun_bytes& lun) override { return runner.nexus().find(lun) != nullptr; }
    std::optional<attention_bytes> pending_attention(const lun_bytes& lun) override {
        const auto unit = runner.nexus().find(lun);
        return unit && unit->pending_attention() ? std::optional(attention_bytes{}) : std::nullopt;
    }
    void manage(const management_request& request) override {
        if (request.function == task_function::i_t_nexus_reset) {
            runner.nexus().reset();
        } else {
            const bool all = request.function >= task_function::target_warm_reset;
            other->ending_tasks([&] {
                other->one.abort_tasks(all ? std::nullopt : std::optional(request.lun));
                return true;
            });
            const auto unit = runner.nexus().find(all ? lun_bytes{} : request.lun);
            if (unit) unit->reset_unit(scsi::reset_kind::logical_unit);
        }
        one.management_done(request.initiator_task_tag, task_response::function_complete);
    }
    std::optional<std::string> send_targets(std::string_view, session_type) override { return std::string(3000, 'x'); }

    std::size_t queued_bytes() const override { return queued; }
    void send_now() override {}
    void something_ended() override {}
    void report(const scsi_task&, const failure&) override {}
    void abort_others(const scsi_task& task, const std::vector<scsi::nexus_id>& whose) override {
        for (auto* each : {this, other}) {
            if (std::find(whose.begin(), whose.end(), each->runner.nexus().id()) == whose.end()) continue;
            each->ending_tasks([&] {
                each->one.abort_tasks(task.lun, each == this ? &task : nullptr);
                return true;
            });
        }
        asio::post(the_world().context, [this, index = task.index, order = task.order, alive = alive_] {
            if (*alive) runner.others_aborted(index, order);
        });
    }

    /// A command goes out. It may be dropped for its CmdSN, so that a later one of the same tag is the one that counts.
    void expects(std::uint32_t tag, std::uint32_t room) {
        auto& command = out[tag];
        ++command.sent;
        command.room = std::max(command.room, room);
    }
    /// One command of that tag was answered, or never will be.
    void ended(std::uint32_t tag) {
        const auto found = out.find(tag);
        ASSERT(found != out.end());
        ++endings_[tag];
        if (--found->second.sent == 0) {
            out.erase(found);
        } else {
            found->second = {.sent = found->second.sent, .room = found->second.room};
        }
    }
    /// Tags of the tasks that may still be answered.
    std::set<std::uint32_t> active() {
        std::set<std::uint32_t> tags;
        one.for_each_task([&](const scsi_task& task) {
            if (task.state != task_state::aborting) tags.insert(task.initiator_task_tag);
        });
        return tags;
    }
    /// Does something that may end tasks; those are never answered.
    template <typename Do>
    bool ending_tasks(Do&& what) {
        const auto before = active();
        const auto answered = endings_;
        const bool result = what();
        const auto after = active();
        for (const auto tag : before) {
            const auto was = answered.find(tag);
            const bool silent = endings_[tag] == (was == answered.end() ? 0 : was->second);
            if (!after.contains(tag) && silent) ended(tag);
        }
        return result;
    }
    void end() {
        one.abort_tasks(std::nullopt);
        for (int i = 0; i < 1000 && one.active_tasks() != 0; ++i) the_world().run();
        ASSERT(one.active_tasks() == 0);
        *alive_ = false;
    }

    static constexpr std::uint32_t first_cmd_sn = 0xfffffff0, first_stat_sn = 0xfffffff8;
    std::map<std::uint32_t, outstanding> out;
    initiator* other = nullptr;
    std::size_t queued = 0;
    std::uint32_t next_cmd_sn = first_cmd_sn;
    std::uint32_t max_cmd_sn = first_cmd_sn + static_cast<std::uint32_t>(limits::tasks_per_connection) - 1;

private:
    void check_numbers(const_bytes header, opcode code) {
        const auto bhs = load<nop_in_bhs>(header);  // these numbers stand at the same place everywhere
        const bool intermediate = code == opcode::scsi_data_in && (load<data_in_bhs>(header).flags & 1) == 0;
        const bool borrows =
            code == opcode::ready_to_transfer || (code == opcode::nop_in && bhs.initiator_task_tag == reserved_tag);
        if (!intermediate) ASSERT(bhs.stat_sn == stat_sn_);
        if (!intermediate && !borrows) ++stat_sn_;
        ASSERT(!before(serial32{bhs.exp_cmd_sn}, serial32{exp_cmd_sn_}));
        ASSERT(!before(serial32{bhs.max_cmd_sn}, serial32{max_cmd_sn}));
        exp_cmd_sn_ = bhs.exp_cmd_sn;
        max_cmd_sn = bhs.max_cmd_sn;
    }
    void on_data_in(const data_in_bhs& bhs, std::uint32_t tag) {
        const auto found = out.find(tag);
        ASSERT(found != out.end());
        auto& command = found->second;
        ASSERT(bhs.buffer_offset == command.received && bhs.data_sn == command.data_sn++);
        command.received += bhs.data_segment_bytes;
        ASSERT(command.received <= command.room);
        if ((bhs.flags & data_in_flag::status) != 0) ended(tag);
    }
    void on_r2t(const ready_to_transfer_bhs& bhs, std::uint32_t tag) {
        ASSERT(out.contains(tag) && bhs.desired_bytes != 0);
        auto& command = out[tag];
        command.transfer_tag = bhs.target_transfer_tag;
        command.wanted_offset = bhs.buffer_offset;
        command.wanted_bytes = bhs.desired_bytes;
    }

    std::map<std::uint32_t, std::uint32_t> endings_;  // by tag
    session_record record_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
    std::uint32_t stat_sn_ = first_stat_sn;
    std::uint32_t exp_cmd_sn_ = first_cmd_sn;
    unsigned sum_ = 0;

public:
    session one;
    task_runner runner;
};

constexpr std::uint8_t in = command_flag::read, both_ways = command_flag::write;
struct template_cdb {
    std::array<std::uint8_t, 16> cdb;
    std::uint8_t direction;
    std::uint32_t bytes;
};
constexpr template_cdb templates[] = {
    {{0x00}, 0, 0},
    {{0x28, 0, 0, 0, 0, 1, 0, 0, 3}, in, 1536},
    {{0x2a, 0, 0, 0, 0, 2, 0, 0, 4}, both_ways, 2048},
    {{0x8a, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 16}, both_ways, 8192},
    {{0x89, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1}, both_ways, 1024},
    {{0x41, 8, 0, 0, 0, 0, 0, 0, 8}, both_ways, 512},
    {{0x42, 0, 0, 0, 0, 0, 0, 0, 24}, both_ways, 24},
    {{0x5f, 0, 5, 0, 0, 0, 0, 0, 24}, both_ways, 24},
    {{0x5f, 5, 5, 0, 0, 0, 0, 0, 24}, both_ways, 24},
    {{0x5e, 0, 0, 0, 0, 0, 0, 1, 0}, in, 256},
    {{0x12, 1, 0x83, 0, 255}, in, 255},
    {{0xa3, 0x0c, 0x80, 0, 0, 0, 0, 0, 0x40, 0}, in, 16384},
    {{0x5a, 0, 0x3f, 0xff, 0, 0, 0, 1, 0}, in, 256},
    {{0x55, 0x10, 0, 0, 0, 0, 0, 0, 28}, both_ways, 28},
    {{0x2f, 2, 0, 0, 0, 0, 0, 0, 2}, both_ways, 1024},
    {{0x35}, 0, 0},
    {{0x83, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 96}, both_ways, 96},
    {{0x9e, 0x12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0}, in, 256},
};

class driver {
public:
    driver(byte_reader& script, initiator& who) : script_(script), who_(who) {}

    /// False when the session has ended.
    bool step(unsigned kind) {
        switch (kind % 8) {
            case 0:
            case 1:
                return command();
            case 2:
            case 3:
                return data_out();
            case 4:
                return management();
            case 5:
                return small();
            case 6:
                return raw();
            default:
                return wait();
        }
    }

private:
    unsigned byte() { return script_.remaining() != 0 ? script_.big<std::uint8_t>() : 0; }
    bool give(const_bytes header, const_bytes data, bool intact = true) {
        pdu_frame frame;
        frame.header = header;
        frame.data_bytes = static_cast<std::uint32_t>(data.size());
        const auto place = who_.one.place(frame);
        if (!place.empty()) std::copy(data.begin(), data.end(), place.begin());
        return who_.one.on_pdu({header, {}, place.empty() ? data : const_bytes(place), intact}) == pdu_verdict::go_on;
    }
    /// Mostly the number whose turn it is; sometimes one that leaves a hole, or is old.
    std::uint32_t cmd_sn(std::uint8_t opcode_byte) {
        if ((opcode_byte & immediate_bit) != 0) return who_.next_cmd_sn;
        const auto how = byte();
        if (how >= 240) return who_.next_cmd_sn + (how - 248);
        if (before(serial32{who_.max_cmd_sn}, serial32{who_.next_cmd_sn})) return who_.next_cmd_sn;
        return who_.next_cmd_sn++;
    }
    std::uint8_t opcode_of(opcode code, unsigned immediate) const {
        return static_cast<std::uint8_t>(static_cast<unsigned>(code) | (immediate != 0 ? immediate_bit : 0u));
    }
    const_bytes payload(std::size_t bytes) const { return const_bytes(filler_).first(std::min(bytes, filler_.size())); }
    bool command();
    bool data_out();
    bool management();
    bool small();
    bool raw();
    bool wait();

    byte_reader& script_;
    initiator& who_;
    std::array<std::byte, 8192> filler_{};
};

bool driver::command() {
    const auto& form = templates[byte() % std::size(templates)];
    const auto choice = byte();
    scsi_command_bhs bhs{};
    bhs.opcode_byte = opcode_of(opcode::scsi_command, choice & 1);
    bhs.cmd_sn = cmd_sn(bhs.opcode_byte);
    bhs.initiator_task_tag = (choice >> 1) % 8;
    bhs.expected_transfer_bytes = form.bytes;
    bhs.lun = std::uint64_t{(choice & 0x20) != 0 ? 1u : 0u} << 48;
    const auto shape = byte();
    std::size_t immediate = 0;
    if (form.direction == both_ways) immediate = std::min<std::size_t>((shape & 3) * 512, form.bytes);
    const bool more_follows = form.direction == both_ways && (shape & 4) != 0;
    bhs.flags = static_cast<std::uint8_t>((more_follows ? 0 : final_bit) | form.direction | (shape >> 3 & 3));
    for (std::size_t i = 0; i < form.cdb.size(); ++i) bhs.cdb[i] = static_cast<std::byte>(form.cdb[i]);
    if ((shape & 0x20) != 0) bhs.cdb[byte() % 16] = static_cast<std::byte>(byte());
    if ((shape & 0x40) != 0) bhs.expected_transfer_bytes = byte() * 64;
    if ((shape & 0x80) != 0) bhs.flags ^= static_cast<std::uint8_t>(byte());
    const bool reads = (bhs.flags & (in | both_ways)) == in;
    const std::uint32_t tag = bhs.initiator_task_tag;
    who_.expects(tag, reads ? std::uint32_t{bhs.expected_transfer_bytes} : 0);
    bhs.data_segment_bytes = static_cast<std::uint32_t>(immediate);
    return give(bytes_of(bhs), payload(immediate));
}

bool driver::data_out() {
    const auto choice = byte();
    const std::uint32_t tag = choice % 8;
    const auto found = who_.out.find(tag);
    data_out_bhs bhs{};
    bhs.opcode_byte = opcode_of(opcode::scsi_data_out, 0);
    bhs.initiator_task_tag = tag;
    bhs.target_transfer_tag = reserved_tag;
    std::size_t bytes = 512;
    if (found != who_.out.end() && (choice & 8) == 0) {
        bhs.target_transfer_tag = found->second.transfer_tag;
        bhs.buffer_offset = found->second.wanted_offset;
        bytes = found->second.wanted_bytes;
    }
    if ((choice & 0x10) != 0) bhs.data_sn = byte() % 4;
    if ((choice & 0x20) != 0) bhs.buffer_offset = byte() * 256;
    if ((choice & 0x40) != 0) bytes = byte() * 8;
    bhs.flags = (choice & 0x80) != 0 ? 0 : final_bit;
    const auto data = payload(bytes);
    bhs.data_segment_bytes = static_cast<std::uint32_t>(data.size());
    return give(bytes_of(bhs), data, byte() % 32 != 31);
}

bool driver::management() {
    const auto choice = byte();
    task_management_request_bhs bhs{};
    bhs.opcode_byte = opcode_of(opcode::task_management_request, choice & 1);
    bhs.function = static_cast<std::uint8_t>(final_bit | (choice >> 1) % 14);
    bhs.cmd_sn = cmd_sn(bhs.opcode_byte);
    bhs.initiator_task_tag = 100;
    bhs.referenced_task_tag = byte() % 8;
    bhs.ref_cmd_sn = who_.next_cmd_sn - 1 + byte() % 4;
    bhs.lun = std::uint64_t{(choice & 0x20) != 0 ? 1u : 0u} << ((choice & 0x40) != 0 ? 48 : 32);
    if ((choice & 0x80) != 0) bhs.cmd_sn = bhs.cmd_sn + byte() % 8;
    return who_.ending_tasks([&] { return give(bytes_of(bhs), {}); });
}

// NOP-Out, text, SNACK, and now and then a logout.
bool driver::small() {
    const auto choice = byte();
    nop_out_bhs bhs{};
    bhs.opcode_byte = opcode_of(opcode::nop_out, choice & 1);
    if ((choice & 6) == 2) bhs.opcode_byte = opcode_of(opcode::text_request, choice & 1);
    if ((choice & 6) == 4) bhs.opcode_byte = opcode_of(opcode::snack_request, 0);
    if ((choice & 0xf6) == 6) bhs.opcode_byte = opcode_of(opcode::logout_request, choice & 1);
    bhs.flags = (choice & 8) != 0 ? continue_bit : final_bit;
    bhs.cmd_sn = cmd_sn(bhs.opcode_byte);
    bhs.initiator_task_tag = (choice & 0x10) != 0 ? reserved_tag : 200;
    bhs.target_transfer_tag = (choice & 0x20) != 0 ? byte() : reserved_tag;
    constexpr std::string_view text("SendTargets=\0MaxRecvDataSegmentLength=1024\0", 43);
    const auto data = as_bytes(text.substr(0, byte() % (text.size() + 1)));
    bhs.data_segment_bytes = static_cast<std::uint32_t>(data.size());
    return who_.ending_tasks([&] { return give(bytes_of(bhs), data); });
}

bool driver::raw() {
    if (script_.remaining() < bhs_bytes + 1) return false;
    std::array<std::byte, bhs_bytes> header{};
    const auto bytes = script_.take(bhs_bytes);
    std::copy(bytes.begin(), bytes.end(), header.begin());
    auto bhs = load<basic_bhs>(header);
    const auto data = script_.take(std::min<std::size_t>(byte(), script_.remaining()));
    bhs.total_ahs_words = 0;
    bhs.data_segment_bytes = static_cast<std::uint32_t>(data.size());
    if (bhs.code() == opcode::scsi_command) {
        const auto command = load<scsi_command_bhs>(bytes_of(bhs));
        const bool reads = (command.flags & (in | both_ways)) == in;
        const std::uint32_t tag = bhs.initiator_task_tag;
        who_.expects(tag, reads ? std::uint32_t{command.expected_transfer_bytes} : 0);
    }
    return who_.ending_tasks([&] { return give(bytes_of(bhs), data); });
}

bool driver::wait() {
    const auto choice = byte();
    if ((choice & 1) != 0) the_world().run();
    if ((choice & 2) != 0) who_.one.stop_awaiting_data();
    if ((choice & 4) != 0) who_.runner.tick(std::chrono::steady_clock::now() + std::chrono::hours((choice >> 4) & 1));
    if ((choice & 8) != 0) who_.one.ask_ping();
    // The socket is full, or takes more again.
    who_.queued = (choice & 0x20) != 0 ? std::size_t{2} << 20 : 0;
    if (who_.queued == 0) who_.runner.output_has_room();
    return true;
}

session_parameters parameters_of(unsigned options) {
    session_parameters agreed;
    agreed.initial_r2t = (options & 1) != 0;
    agreed.immediate_data = (options & 2) != 0;
    agreed.fast_abort = (options & 4) != 0;
    agreed.protocol_level = (options & 8) != 0 ? 2 : 1;
    agreed.max_outstanding_r2t = 1 + (options >> 6);
    agreed.max_burst_bytes = 2048;
    agreed.first_burst_bytes = 1024;
    agreed.initiator_max_recv_bytes = 512;
    return agreed;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    byte_reader script(std::as_bytes(std::span(data, size)));
    scsi::lun_inventory units(scsi::target_port{});
    for (const std::uint16_t lun : {std::uint16_t{0}, std::uint16_t{1}}) {
        const device_geometry geometry{
            .size = {64 << 10}, .access = access_mode::read_write, .discard_granularity_bytes = 4096};
        scsi::unit_options options;
        options.device = std::make_shared<testing::memory_disk>(geometry);
        options.id.serial = std::to_string(lun);
        units.add(lun, std::make_shared<scsi::logical_unit>(std::move(options))).value();
    }
    const auto late = std::make_shared<late_operations>();
    if (script.remaining() == 0) return 0;
    const auto agreed = parameters_of(script.big<std::uint8_t>());
    initiator a(agreed, units, late, 'a');
    initiator b(agreed, units, late, 'b');
    a.other = &b;
    b.other = &a;
    driver of_a(script, a), of_b(script, b);
    while (script.remaining() != 0) {
        const auto next = script.big<std::uint8_t>();
        auto& who = (next & 0x80) != 0 ? of_b : of_a;
        if (!who.step(next)) break;
    }
    a.end();
    b.end();
    the_world().run();
    return 0;
}

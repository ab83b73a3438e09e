// The PDU stream of a session: framing and the full-feature phase, on a host that answers commands at once, later, or
// when they are aborted, as the input says.
#include <vector>

#include "base/result.hpp"
#include "protocol/iscsi/session.hpp"

namespace {

using namespace obd;
using namespace obd::iscsi;

class host final : public session_host {
public:
    session* target = nullptr;
    std::uint8_t mood = 0;

    void send(const_bytes header, const_bytes data, io_buffer) override {
        ASSERT(load<basic_bhs>(header).data_segment_bytes == data.size());
        for (const auto byte : data) sum_ += static_cast<unsigned>(byte);  // AddressSanitizer looks at all of it
    }
    io_buffer allocate(std::size_t bytes) override { return pool_.get(bytes); }
    void begin(scsi_task& task, const_bytes immediate) override {
        task.has_host_state = true;
        if (task.writes && (mood & 1) != 0) return target->take_data(task, std::uint32_t{1} << (mood % 18), immediate);
        if ((mood & 2) != 0) return answer(task);
    }
    void data_arrived(scsi_task& task) override {
        if ((mood & 2) != 0) answer(task);
    }
    stop abort(scsi_task&) override { return (mood & 4) != 0 ? stop::later : stop::ended; }
    void forget(scsi_task&) override {}
    bool unit_exists(const lun_bytes& lun) override { return lun[1] == std::byte{0}; }
    std::optional<attention_bytes> pending_attention(const lun_bytes&) override { return attention_bytes{0x16, 1, 2}; }
    void manage(const management_request& request) override {
        target->management_done(request.initiator_task_tag, task_response::function_complete);
    }
    std::optional<std::string> send_targets(std::string_view, session_type) override { return std::string(3000, 'x'); }

    void answer(scsi_task& task) {
        task.gives = 3000;
        const auto bytes = std::min(task.gives, task.room_in);
        if (bytes == 0) return target->finish(task, 2, std::array<std::byte, 18>{});
        auto buffer = pool_.get(bytes);
        std::fill(buffer.bytes().begin(), buffer.bytes().end(), std::byte{1});
        target->data_in(task, std::move(buffer), bytes, session::slice::last);
    }

private:
    buffer_pool pool_{1 << 20};
    unsigned sum_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    byte_reader reader(std::as_bytes(std::span(data, size)));
    const auto options = reader.big<std::uint8_t>();
    session_parameters agreed;
    agreed.initial_r2t = (options & 1) != 0;
    agreed.immediate_data = (options & 2) != 0;
    agreed.max_outstanding_r2t = 1 + (options >> 4);
    agreed.fast_abort = (options & 4) != 0;
    agreed.protocol_level = (options & 8) != 0 ? 2 : 1;
    agreed.max_burst_bytes = 2048;
    agreed.first_burst_bytes = 1024;
    agreed.initiator_max_recv_bytes = 512;
    host owner;
    session one(agreed, serial32{1}, serial32{1}, owner);
    owner.target = &one;
    const framing how{.header_digest = false, .data_digest = false, .max_data_segment_bytes = 4096};
    while (reader.ok() && reader.remaining() > bhs_bytes) {
        owner.mood = reader.big<std::uint8_t>();
        if ((owner.mood & 32) != 0) one.stop_awaiting_data();
        if ((owner.mood & 8) != 0) {
            one.for_each_task([&](scsi_task& task) {
                if (task.state == task_state::aborting && task.device_works) return one.task_ended(task);
                if (task.state == task_state::running) owner.answer(task);
            });
        }
        auto rest = reader;
        const auto all = rest.take(rest.remaining());
        const auto found = look(how, all);
        if (found.verdict != framing_verdict::framed || found.frame.total_bytes() > all.size()) break;
        const auto place = one.place(found.frame);
        const auto bytes =
            reader.take(found.frame.total_bytes()).subspan(found.frame.head_bytes, found.frame.data_bytes);
        std::copy_n(bytes.begin(), place.size(), place.begin());
        const bool intact = (owner.mood & 16) == 0;
        if (one.on_pdu({found.frame.header, found.frame.ahs, place.empty() ? bytes : const_bytes(place), intact}) !=
            pdu_verdict::go_on)
            break;
    }
    owner.mood = 0;
    one.abort_tasks(std::nullopt);
    one.stop_awaiting_data();
    one.for_each_task([&](scsi_task& task) { one.task_ended(task); });
    ASSERT(one.active_tasks() == 0);
    return 0;
}

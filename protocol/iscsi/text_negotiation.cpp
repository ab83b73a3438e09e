// Text requests in the full-feature phase: SendTargets and the few keys that may change there. RFC 7143 §11.10-11,
// appendix C.
#include <algorithm>

#include "protocol/iscsi/negotiation.hpp"
#include "protocol/iscsi/session.hpp"

namespace obd::iscsi {

pdu_verdict session::on_text(const pdu_view& pdu) {
    const auto bhs = load<text_request_bhs>(pdu.header);
    end_of_command(load<basic_bhs>(pdu.header));
    const bool continued = (bhs.flags & continue_bit) != 0;
    if (bhs.target_transfer_tag == reserved_tag) {
        // A new exchange; one that was left unfinished is forgotten.
        text_collected_.clear();
        text_pending_.clear();
        text_tag_ = reserved_tag;
    } else if (bhs.target_transfer_tag != text_tag_) {
        reject(pdu, reject_reason::invalid_pdu_field);
        return pdu_verdict::go_on;
    }
    if (continued && (bhs.flags & final_bit) != 0) return format_error(pdu);
    if (text_collected_.size() + pdu.data.size() > limits::login_text_bytes) {
        reject(pdu, reject_reason::protocol_error);
        return pdu_verdict::go_on;
    }
    text_collected_.append(as_text(pdu.data));
    if (!continued && text_pending_.empty()) {
        if (!answer_text(text_pending_)) {
            text_pending_.clear();
            text_collected_.clear();
            reject(pdu, reject_reason::protocol_error);
            return pdu_verdict::go_on;
        }
        text_collected_.clear();
    }
    send_text(bhs);
    return pdu_verdict::go_on;
}

bool session::answer_text(std::string& reply) {
    const auto pairs = parse_text(text_collected_);
    if (!pairs) return false;
    const target_preferences wanted;
    negotiation negotiation(agreed_, wanted);
    for (const auto& pair : *pairs) {
        switch (negotiation.on_pair(pair, stage_bit::full_feature, reply)) {
            case negotiation::verdict::answered:
                break;
            case negotiation::verdict::broken:
                return false;
            case negotiation::verdict::handled_apart:
                if (pair.key != "SendTargets") break;  // InitiatorAlias needs no answer
                if (const auto found = host_.send_targets(pair.value, agreed_.type)) {
                    reply += *found;
                } else {
                    append_pair(reply, pair.key, "Reject");
                }
                break;
        }
    }
    return true;
}

// As much as one PDU holds; C and a target transfer tag tell the initiator to ask for the rest.
void session::send_text(const text_request_bhs& request) {
    const auto count =
        std::min<std::size_t>({text_pending_.size(), agreed_.initiator_max_recv_bytes, buffer_pool::largest});
    auto data = copy(as_bytes(std::string_view(text_pending_).substr(0, count)));
    text_pending_.erase(0, count);
    const bool more = !text_pending_.empty();
    const bool request_is_final = (request.flags & final_bit) != 0;
    text_response_bhs bhs{};
    bhs.opcode_byte = static_cast<std::uint8_t>(opcode::text_response);
    bhs.flags = more ? continue_bit : request_is_final ? final_bit : std::uint8_t{0};
    bhs.lun = request.lun;
    bhs.initiator_task_tag = request.initiator_task_tag;
    if (more || !request_is_final) {
        if (text_tag_ == reserved_tag) {
            if (next_transfer_tag_ == reserved_tag) ++next_transfer_tag_;
            text_tag_ = next_transfer_tag_++;
        }
    } else {
        text_tag_ = reserved_tag;
    }
    bhs.target_transfer_tag = text_tag_;
    bhs.data_segment_bytes = static_cast<std::uint32_t>(data.size());
    status_numbers(bhs);
    const auto bytes = data.bytes();
    host_.send(bytes_of(bhs), bytes, std::move(data));
}

}  // namespace obd::iscsi

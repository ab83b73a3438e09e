#include "protocol/iscsi/negotiation.hpp"

#include <algorithm>

namespace obd::iscsi {

negotiation::verdict negotiation::on_pair(const text_pair& pair, std::uint8_t stage, std::string& reply) {
    const key_row* row = find_key(pair.key);
    if (row == nullptr) {
        // RFC 7143 §6.2: a key that the acceptor does not understand is answered with NotUnderstood.
        if (pair.value != "NotUnderstood") append_pair(reply, pair.key, "NotUnderstood");
        return verdict::answered;
    }
    // RFC 7143 §6.3, §6.4: renegotiating a key within one login or one text exchange is a protocol error. Each side
    // sends CHAP_I and CHAP_C once.
    const auto index = static_cast<std::size_t>(row->id);
    if (seen_.test(index)) return verdict::broken;
    seen_.set(index);
    if (row->rule == merge_rule::target_only) return verdict::broken;
    if ((row->when & stage) == 0) {
        append_pair(reply, pair.key, "Reject");
        return verdict::answered;
    }
    if (row->rule == merge_rule::handled_apart) return verdict::handled_apart;
    if (agreed_.type == session_type::discovery && row->discovery == in_discovery::irrelevant) {
        append_pair(reply, pair.key, "Irrelevant");
        return verdict::answered;
    }
    return merge(*row, pair.value, reply);
}

negotiation::verdict negotiation::merge(const key_row& row, std::string_view offer, std::string& reply) {
    switch (row.rule) {
        case merge_rule::declared:
        case merge_rule::minimum:
        case merge_rule::maximum:
            return merge_number(row, offer, reply);
        case merge_rule::logical_and:
        case merge_rule::logical_or:
            return merge_flag(row, offer, reply);
        case merge_rule::first_known:
            return merge_list(row, offer, reply);
        case merge_rule::obsolete_flag:
            append_pair(reply, row.name, "No");
            return verdict::answered;
        case merge_rule::obsolete_range:
            append_pair(reply, row.name, "Reject");
            return verdict::answered;
        case merge_rule::handled_apart:
        case merge_rule::target_only:
            break;
    }
    return verdict::broken;
}

negotiation::verdict negotiation::merge_number(const key_row& row, std::string_view offer, std::string& reply) {
    const auto number = parse_number(offer);
    const bool legal = number && *number >= row.low && *number <= row.high;
    if (row.rule == merge_rule::declared) {
        // A declaration has no answer by which it could be refused.
        if (!legal) return verdict::broken;
        agreed_.*row.number = *number;
        return verdict::answered;
    }
    if (!legal) {
        // RFC 7143 §6.2.2: a value that is not admissible is answered with Reject, and the default stays.
        append_pair(reply, row.name, "Reject");
        return verdict::answered;
    }
    std::uint32_t wanted = row.low;
    if (row.wanted_number != nullptr) wanted = wanted_.*row.wanted_number;
    if (row.id == key_id::protocol_level) wanted = 2;  // RFC 7144's
    std::uint32_t chosen = row.rule == merge_rule::maximum ? std::max(wanted, *number) : std::min(wanted, *number);
    if (row.id == key_id::default_time2wait) chosen = std::max(*number, std::uint32_t{2});
    // RFC 7143 §13.14: FirstBurstLength must not exceed MaxBurstLength.
    if (row.id == key_id::first_burst_length && seen(key_id::max_burst_length))
        chosen = std::min(chosen, agreed_.max_burst_bytes);
    agreed_.*row.number = chosen;
    append_pair(reply, row.name, std::to_string(chosen));
    return verdict::answered;
}

negotiation::verdict negotiation::merge_flag(const key_row& row, std::string_view offer, std::string& reply) {
    if (offer != "Yes" && offer != "No") {
        append_pair(reply, row.name, "Reject");
        return verdict::answered;
    }
    const bool wanted = row.wanted_flag == nullptr || wanted_.*row.wanted_flag;
    const bool offered = offer == "Yes";
    const bool chosen = row.rule == merge_rule::logical_and ? offered && wanted : offered || wanted;
    agreed_.*row.flag = chosen;
    append_pair(reply, row.name, chosen ? "Yes" : "No");
    return verdict::answered;
}

negotiation::verdict negotiation::merge_list(const key_row& row, std::string_view offer, std::string& reply) {
    const auto known = split_list(row.known);
    for (const auto item : split_list(offer)) {
        if (std::find(known.begin(), known.end(), item) == known.end()) continue;
        if (row.flag != nullptr) agreed_.*row.flag = item == row.sets_flag;
        append_pair(reply, row.name, item);
        return verdict::answered;
    }
    append_pair(reply, row.name, "Reject");
    return verdict::answered;
}

void negotiation::settle() {
    agreed_.first_burst_bytes = std::min(agreed_.first_burst_bytes, agreed_.max_burst_bytes);
}

}  // namespace obd::iscsi

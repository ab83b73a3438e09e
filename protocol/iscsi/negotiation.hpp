// Answers to offered keys. RFC 7143 §6.2. Pure; one per login, or per text negotiation.
#pragma once

#include <bitset>
#include <string>
#include <string_view>

#include "protocol/iscsi/key_table.hpp"
#include "protocol/iscsi/text.hpp"

namespace obd::iscsi {

class negotiation {
public:
    enum class verdict {
        answered,       ///< done, an answer was appended where one is due
        handled_apart,  ///< the caller knows what to do with this key
        broken,  ///< the initiator breaks the protocol: login fails with Initiator Error, or the text is rejected
    };

    negotiation(session_parameters& agreed, const target_preferences& wanted) : agreed_(agreed), wanted_(wanted) {}

    /// One pair that the initiator sent in `stage` (one of stage_bit). Appends the answer to `reply`.
    verdict on_pair(const text_pair& pair, std::uint8_t stage, std::string& reply);

    bool seen(key_id id) const { return seen_.test(static_cast<std::size_t>(id)); }
    /// After the last pair: what must hold between the values.
    void settle();

private:
    verdict merge(const key_row& row, std::string_view offer, std::string& reply);
    verdict merge_number(const key_row& row, std::string_view offer, std::string& reply);
    verdict merge_flag(const key_row& row, std::string_view offer, std::string& reply);
    verdict merge_list(const key_row& row, std::string_view offer, std::string& reply);

    session_parameters& agreed_;
    const target_preferences& wanted_;
    std::bitset<key_rows.size()> seen_;
};

}  // namespace obd::iscsi

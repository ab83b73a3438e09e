#include "protocol/iscsi/authenticator.hpp"

#include "protocol/iscsi/text.hpp"

namespace obd::iscsi {

void chap_authenticator::challenge(chap_algorithm chosen, const_bytes random, std::string& reply) {
    algorithm_ = chosen;
    ours_.identifier = static_cast<std::uint8_t>(random[0]);
    ours_.value.assign(random.begin() + 1, random.end());
    append_pair(reply, "CHAP_A", std::to_string(static_cast<unsigned>(algorithm_)));
    append_pair(reply, "CHAP_I", std::to_string(ours_.identifier));
    append_pair(reply, "CHAP_C", format_binary(ours_.value));
    state_ = state::wants_response;
}

chap_authenticator::verdict chap_authenticator::on_response(const chap_keys& keys, const chap_credentials& credentials,
                                                            std::string& reply) {
    if (state_ != state::wants_response || keys.a || !keys.n || !keys.r || keys.i.has_value() != keys.c.has_value()) {
        return verdict::broken;
    }
    const auto response = parse_binary(*keys.r);
    if (!response) return verdict::broken;
    // Both are compared whatever the first comparison says, so that time does not tell a wrong name from a wrong
    // secret.
    const auto expected = chap_response(algorithm_, ours_, credentials.secret);
    const bool right_secret = !expected.empty() && equal_in_constant_time(expected, *response);
    const bool right_name = equal_in_constant_time(as_bytes(*keys.n), as_bytes(credentials.user));
    if (!right_secret || !right_name) return verdict::failed;
    state_ = state::done;
    return keys.i ? answer(keys, credentials, reply) : verdict::authenticated;
}

chap_authenticator::verdict chap_authenticator::answer(const chap_keys& keys, const chap_credentials& credentials,
                                                       std::string& reply) {
    const auto identifier = parse_number(*keys.i);
    const auto value = parse_binary(*keys.c);
    if (!identifier || *identifier > 255 || !value || value->empty() || value->size() > 1024) return verdict::broken;
    if (credentials.mutual_user.empty()) return verdict::failed;
    // RFC 7143 §12.1.3: an initiator that sends our own challenge back is a reflection attack, and the secrets of the
    // two directions must differ.
    if (equal_in_constant_time(*value, ours_.value) || credentials.mutual_secret == credentials.secret)
        return verdict::failed;
    const chap_challenge theirs{static_cast<std::uint8_t>(*identifier), *value};
    const auto response = chap_response(algorithm_, theirs, credentials.mutual_secret);
    if (response.empty()) return verdict::failed;
    append_pair(reply, "CHAP_N", credentials.mutual_user);
    append_pair(reply, "CHAP_R", format_binary(response));
    return verdict::authenticated;
}

}  // namespace obd::iscsi

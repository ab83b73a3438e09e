#include "protocol/iscsi/login.hpp"

#include <algorithm>
#include <utility>

#include "base/limits.hpp"

namespace obd::iscsi {
namespace {

constexpr std::uint8_t our_version = 0;            // RFC 7143 §11.12.4: the only one
constexpr std::size_t login_segment_bytes = 8192;  // §11.12: the default MaxRecvDataSegmentLength holds during login

std::uint8_t current_stage(const login_request_bhs& request) {
    return request.flags >> 2 & 3;
}
std::uint8_t next_stage(const login_request_bhs& request) {
    return request.flags & 3;
}
bool wants_transit(const login_request_bhs& request) {
    return (request.flags & final_bit) != 0;
}

std::uint8_t bit_of(login_stage stage) {
    return stage == login_stage::security ? stage_bit::security : stage_bit::operational;
}

}  // namespace

std::string_view to_string(login_status status) {
    switch (status) {
        case login_status::success:
            return "success";
        case login_status::moved_temporarily:
            return "target moved temporarily";
        case login_status::moved_permanently:
            return "target moved permanently";
        case login_status::initiator_error:
            return "initiator error";
        case login_status::authentication_failure:
            return "authentication failure";
        case login_status::authorization_failure:
            return "authorization failure";
        case login_status::not_found:
            return "target not found";
        case login_status::target_removed:
            return "target removed";
        case login_status::unsupported_version:
            return "unsupported version";
        case login_status::too_many_connections:
            return "too many connections";
        case login_status::missing_parameter:
            return "missing parameter";
        case login_status::cannot_include_in_session:
            return "cannot include in session";
        case login_status::session_type_not_supported:
            return "session type not supported";
        case login_status::session_does_not_exist:
            return "session does not exist";
        case login_status::invalid_during_login:
            return "invalid request during login";
        case login_status::target_error:
            return "target error";
        case login_status::service_unavailable:
            return "service unavailable";
        case login_status::out_of_resources:
            return "out of resources";
    }
    return "unknown status";
}

login_engine::login_engine(login_options options, login_policy& policy)
    : options_(options), policy_(policy), negotiation_(agreed_, options_.preferences) {}

login_step login_engine::on_request(const login_request_bhs& request, const_bytes text) {
    if (const auto refused = check_header(request)) return failure(request, *refused);
    if (!first_) on_first(request);
    if (!pending_reply_.empty()) {
        // §6.2: while our answer is being continued the initiator sends empty requests.
        if (!text.empty()) return failure(request, login_status::initiator_error);
        return answer(request, {});
    }
    if (const auto refused = collect(text)) return failure(request, *refused);
    if ((request.flags & continue_bit) != 0) return answer(request, {});
    std::string reply;
    if (const auto refused = on_text(reply)) return failure(request, *refused);
    return answer(request, std::move(reply));
}

// RFC 7143 §11.12: what must be right in every login request, and equal in all of one login.
std::optional<login_status> login_engine::check_header(const login_request_bhs& request) {
    if ((request.opcode_byte & immediate_bit) == 0 || request.total_ahs_words != 0)
        return login_status::initiator_error;
    if (request.version_min > our_version) return login_status::unsupported_version;
    const bool transit = wants_transit(request);
    if (transit && (request.flags & continue_bit) != 0) return login_status::initiator_error;
    const auto stage = current_stage(request);
    if (stage > 1) return login_status::initiator_error;
    if (transit && (next_stage(request) <= stage || next_stage(request) == 2)) return login_status::initiator_error;
    if (!first_) return std::nullopt;
    const bool same_login = request.isid == first_->isid && request.tsih == first_->tsih &&
                            request.connection_id == first_->connection_id &&
                            request.initiator_task_tag == first_->initiator_task_tag;
    if (!same_login || stage != static_cast<std::uint8_t>(stage_)) return login_status::initiator_error;
    return std::nullopt;
}

void login_engine::on_first(const login_request_bhs& request) {
    first_ = request;
    identity_.isid = request.isid;
    identity_.tsih = request.tsih;
    identity_.connection_id = request.connection_id;
    stage_ = static_cast<login_stage>(current_stage(request));
    cmd_sn_ = serial32{request.cmd_sn};  // login requests are immediate: the number is still to be used
    stat_sn_ = serial32{request.exp_stat_sn};
}

std::optional<login_status> login_engine::collect(const_bytes text) {
    if (collected_.size() + text.size() > limits::login_text_bytes) return login_status::initiator_error;
    collected_.append(as_text(text));
    return std::nullopt;
}

std::optional<login_status> login_engine::on_text(std::string& reply) {
    const std::string text = std::exchange(collected_, {});
    const auto pairs = parse_text(text);
    if (!pairs) return login_status::initiator_error;
    if (!names_known_) {
        if (const auto refused = on_names(*pairs, reply)) return refused;
    }
    chap_keys chap;
    for (const auto& pair : *pairs) {
        switch (negotiation_.on_pair(pair, bit_of(stage_), reply)) {
            case negotiation::verdict::answered:
                break;
            case negotiation::verdict::broken:
                return login_status::initiator_error;
            case negotiation::verdict::handled_apart:
                if (const auto refused = on_pair_apart(pair, chap, reply)) return refused;
                break;
        }
    }
    if (!chap.empty()) return authenticate(chap, reply);
    return std::nullopt;
}

// RFC 7143 §6.3: the first request (all of its parts, when it is continued) names the initiator, the session type and
// the target; every later decision depends on them.
std::optional<login_status> login_engine::on_names(const std::vector<text_pair>& pairs, std::string& reply) {
    std::optional<std::string_view> initiator, target;
    for (const auto& pair : pairs) {
        if (pair.key == "InitiatorName") initiator = pair.value;
        if (pair.key == "TargetName") target = pair.value;
        if (pair.key != "SessionType") continue;
        if (pair.value != "Discovery" && pair.value != "Normal") return login_status::session_type_not_supported;
        agreed_.type = pair.value == "Discovery" ? session_type::discovery : session_type::normal;
    }
    if (!initiator) return login_status::missing_parameter;
    const auto initiator_name = normalise_name(*initiator);
    if (!initiator_name) return login_status::initiator_error;
    identity_.initiator_name = *initiator_name;
    if (agreed_.type == session_type::normal) {
        if (!target) return login_status::missing_parameter;
        const auto target_name = normalise_name(*target);
        if (!target_name) return login_status::not_found;
        identity_.target_name = *target_name;
    }
    names_known_ = true;
    admission_ = policy_.admit(identity_, agreed_.type);
    if (admission_.status != login_status::success) return admission_.status;
    if (identity_.tsih != 0) {
        const auto joined = policy_.join(identity_);
        if (joined != login_status::success) return joined;
    }
    // An initiator that starts in the operational stage refuses to authenticate.
    if (stage_ == login_stage::operational && admission_.auth) return login_status::authentication_failure;
    if (agreed_.type == session_type::normal) {
        // RFC 7143 §13.9: in the first login response of a normal session, and §13.6 for the alias.
        append_pair(reply, "TargetPortalGroupTag", std::to_string(options_.portal_group_tag));
        if (!admission_.target_alias.empty()) append_pair(reply, "TargetAlias", admission_.target_alias);
    }
    return std::nullopt;
}

std::optional<login_status> login_engine::on_pair_apart(const text_pair& pair, chap_keys& chap, std::string& reply) {
    const auto id = find_key(pair.key)->id;
    if (id == key_id::auth_method) return on_auth_method(pair.value, reply);
    if (id == key_id::chap_a) chap.a = pair.value;
    if (id == key_id::chap_i) chap.i = pair.value;
    if (id == key_id::chap_c) chap.c = pair.value;
    if (id == key_id::chap_n) chap.n = pair.value;
    if (id == key_id::chap_r) chap.r = pair.value;
    if (id == key_id::initiator_alias) identity_.initiator_alias = std::string(pair.value.substr(0, 255));
    return std::nullopt;
}

std::optional<login_status> login_engine::on_auth_method(std::string_view offered, std::string& reply) {
    const auto methods = split_list(offered);
    const auto offers = [&](std::string_view method) {
        return std::find(methods.begin(), methods.end(), method) != methods.end();
    };
    const std::string_view wanted = admission_.auth ? "CHAP" : "None";
    if (!offers(wanted)) return login_status::authentication_failure;
    chap_chosen_ = admission_.auth.has_value();
    append_pair(reply, "AuthMethod", wanted);
    return std::nullopt;
}

std::optional<login_status> login_engine::authenticate(const chap_keys& chap, std::string& reply) {
    if (!chap_chosen_ || authenticated_) return login_status::initiator_error;
    const auto random = [this](mutable_bytes bytes) { policy_.fill_random(bytes); };
    switch (chap_.on_keys(chap, *admission_.auth, random, reply)) {
        case chap_authenticator::verdict::more:
            return std::nullopt;
        case chap_authenticator::verdict::authenticated:
            authenticated_ = true;
            return std::nullopt;
        case chap_authenticator::verdict::failed:
            wrong_secret_ = true;
            return login_status::authentication_failure;
        case chap_authenticator::verdict::broken:
            break;
    }
    return login_status::initiator_error;
}

void login_engine::declare(std::string& reply) {
    if (declared_) return;
    declared_ = true;
    agreed_.target_max_recv_bytes = options_.preferences.max_recv_bytes;
    append_pair(reply, "MaxRecvDataSegmentLength", std::to_string(agreed_.target_max_recv_bytes));
}

login_step login_engine::answer(const login_request_bhs& request, std::string reply) {
    const bool continued = (request.flags & continue_bit) != 0;
    if (stage_ == login_stage::operational && !continued && names_known_) declare(reply);
    pending_reply_ += reply;
    login_step step;
    step.text = pending_reply_.substr(0, login_segment_bytes);
    pending_reply_.erase(0, step.text.size());
    bool transit = wants_transit(request) && pending_reply_.empty();
    if (stage_ == login_stage::security && transit && !may_leave_security()) {
        // The exchange is under way when CHAP was chosen: the initiator's T waits. Otherwise it tries to do without.
        if (!chap_chosen_) return failure(request, login_status::authentication_failure);
        transit = false;
    }
    std::uint8_t flags = static_cast<std::uint8_t>(static_cast<unsigned>(stage_) << 2);
    if (!pending_reply_.empty()) flags |= continue_bit;
    if (transit) flags = static_cast<std::uint8_t>(flags | final_bit | next_stage(request));
    auto& bhs = step.reply;
    bhs.opcode_byte = static_cast<std::uint8_t>(opcode::login_response);
    bhs.flags = flags;
    bhs.isid = request.isid;
    bhs.tsih = request.tsih;
    bhs.initiator_task_tag = request.initiator_task_tag;
    bhs.data_segment_bytes = static_cast<std::uint32_t>(step.text.size());
    bhs.stat_sn = stat_sn_.value;
    bhs.exp_cmd_sn = cmd_sn_.value;
    bhs.max_cmd_sn = (cmd_sn_ + static_cast<std::uint32_t>(limits::tasks_per_connection - 1)).value;
    ++stat_sn_;
    if (transit) {
        stage_ = static_cast<login_stage>(next_stage(request));
        if (stage_ == login_stage::full_feature) {
            negotiation_.settle();
            step.then = login_step::next::full_feature;
        }
    }
    return step;
}

login_step login_engine::failure(const login_request_bhs& request, login_status status) {
    login_step step;
    auto& bhs = step.reply;
    bhs.opcode_byte = static_cast<std::uint8_t>(opcode::login_response);
    bhs.isid = request.isid;
    bhs.tsih = request.tsih;
    bhs.initiator_task_tag = request.initiator_task_tag;
    bhs.stat_sn = stat_sn_.value;
    bhs.exp_cmd_sn = request.cmd_sn;
    bhs.max_cmd_sn = request.cmd_sn;
    step.wrong_secret = wrong_secret_;
    refuse(step, status);
    if (class_of(status) == 1) {
        // RFC 7143 §11.13.5: a redirection names the new address.
        append_pair(step.text, "TargetAddress", admission_.moved_to);
        bhs.data_segment_bytes = static_cast<std::uint32_t>(step.text.size());
    }
    return step;
}

void login_engine::refuse(login_step& step, login_status status) {
    step.reply.flags = static_cast<std::uint8_t>(step.reply.flags & ~(final_bit | continue_bit | 3));
    step.reply.status_class = class_of(status);
    step.reply.status_detail = detail_of(status);
    step.reply.data_segment_bytes = 0;
    step.text.clear();
    step.then = login_step::next::close;
}

}  // namespace obd::iscsi

// The login phase of one connection as a state machine. RFC 7143 §6.3 and §11.12-13. Pure; a connection feeds it every
// login request and sends what it gives back.
#pragma once

#include <array>
#include <optional>
#include <string>

#include "base/bytes.hpp"
#include "protocol/iscsi/authenticator.hpp"
#include "protocol/iscsi/bhs.hpp"
#include "protocol/iscsi/login_status.hpp"
#include "protocol/iscsi/negotiation.hpp"
#include "protocol/iscsi/serial32.hpp"

namespace obd::iscsi {

/// §11.12.3.
enum class login_stage : std::uint8_t { security = 0, operational = 1, full_feature = 3 };

/// Who logs in where.
struct login_identity {
    std::string initiator_name;  ///< folded as normalise_name() does
    std::string initiator_alias;
    std::string target_name;  ///< empty in a discovery session
    std::array<std::byte, 6> isid{};
    std::uint16_t tsih = 0;  ///< as the initiator sent it; 0: a new session
    std::uint16_t connection_id = 0;
};

/// What the policy says about a login whose names are known.
struct admission {
    login_status status = login_status::success;
    std::string moved_to;  ///< "address:port[,tag]" for the two redirections
    std::string target_alias;
    std::optional<chap_credentials> auth;  ///< nothing: no authentication is asked for
};

/// Targets, credentials and randomness. Called while a login request is handled.
class login_policy {
public:
    virtual ~login_policy() = default;
    virtual admission admit(const login_identity& who, session_type type) = 0;
    /// TSIH ≠ 0: what the new connection would be to the session it names.
    virtual login_status join(const login_identity& who) = 0;
    virtual void fill_random(mutable_bytes bytes) = 0;
};

struct login_options {
    target_preferences preferences;
    std::uint16_t portal_group_tag = 1;
};

struct login_step {
    enum class next {
        more,          ///< send the reply, wait for another request
        full_feature,  ///< the login is complete once the owner has made the session: it sets the TSIH and sends the
                       ///< reply
        close,         ///< send the reply, close the connection
    };
    login_response_bhs reply{};
    std::string text;
    next then = next::more;
    bool wrong_secret = false;  ///< CHAP failed: the owner may delay the reply
};

class login_engine {
public:
    login_engine(login_options options, login_policy& policy);

    /// Never throws for peer input. `text` is the whole data segment.
    login_step on_request(const login_request_bhs& request, const_bytes text);

    const session_parameters& agreed() const { return agreed_; }
    const login_identity& identity() const { return identity_; }
    serial32 cmd_sn() const { return cmd_sn_; }    ///< of the first command of the session
    serial32 stat_sn() const { return stat_sn_; }  ///< of the next status
    /// For a login that the owner has to refuse after full_feature was reached (no resources, shutting down).
    static void refuse(login_step& step, login_status status);

private:
    std::optional<login_status> check_header(const login_request_bhs& request);
    void on_first(const login_request_bhs& request);
    std::optional<login_status> collect(const_bytes text);
    std::optional<login_status> on_text(std::string& reply);
    std::optional<login_status> on_names(const std::vector<text_pair>& pairs, std::string& reply);
    std::optional<login_status> on_pair_apart(const text_pair& pair, chap_keys& chap, std::string& reply);
    std::optional<login_status> on_auth_method(std::string_view offered, std::string& reply);
    std::optional<login_status> authenticate(const chap_keys& chap, std::string& reply);
    bool may_leave_security() const { return authenticated_ || !admission_.auth; }
    void declare(std::string& reply);
    login_step answer(const login_request_bhs& request, std::string reply);
    login_step failure(const login_request_bhs& request, login_status status);

    login_options options_;
    login_policy& policy_;
    session_parameters agreed_;
    negotiation negotiation_;
    login_identity identity_;
    admission admission_;
    chap_authenticator chap_;
    std::optional<login_request_bhs> first_;
    login_stage stage_ = login_stage::security;
    std::string collected_;      // text of requests with the C bit
    std::string pending_reply_;  // what did not fit into one response
    serial32 cmd_sn_;
    serial32 stat_sn_;
    bool names_known_ = false;
    bool declared_ = false;
    bool chap_chosen_ = false;
    bool authenticated_ = false;
    bool wrong_secret_ = false;
};

}  // namespace obd::iscsi

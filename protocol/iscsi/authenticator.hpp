// The security stage's exchange after AuthMethod: the target's half of CHAP, one-way or mutual. RFC 7143 §12.1.3. Pure.
#pragma once

#include <optional>
#include <string>

#include "protocol/iscsi/chap.hpp"

namespace obd::iscsi {

/// Secrets for one target or for discovery. Empty user: no CHAP.
struct chap_credentials {
    std::string user;
    std::string secret;
    std::string mutual_user;  ///< with which the target answers the initiator's challenge; empty: one-way
    std::string mutual_secret;
};

/// What one login PDU said about CHAP.
struct chap_keys {
    std::optional<std::string> a, i, c, n, r;
    bool empty() const { return !a && !i && !c && !n && !r; }
};

class chap_authenticator {
public:
    enum class verdict { more, authenticated, failed, broken };

    /// `random` fills a span with unpredictable bytes.
    template <typename Random>
    verdict on_keys(const chap_keys& keys, const chap_credentials& credentials, Random&& random, std::string& reply) {
        if (state_ == state::wants_algorithm) {
            if (!keys.a || keys.n || keys.r || keys.i || keys.c) return verdict::broken;
            const auto chosen = choose_algorithm(*keys.a);
            if (!chosen) return verdict::failed;
            std::vector<std::byte> bytes(challenge_bytes(*chosen) + 1);
            random(mutable_bytes(bytes));
            challenge(*chosen, bytes, reply);
            return verdict::more;
        }
        return on_response(keys, credentials, reply);
    }

private:
    enum class state { wants_algorithm, wants_response, done };
    void challenge(chap_algorithm chosen, const_bytes random, std::string& reply);
    verdict on_response(const chap_keys& keys, const chap_credentials& credentials, std::string& reply);
    verdict answer(const chap_keys& keys, const chap_credentials& credentials, std::string& reply);

    state state_ = state::wants_algorithm;
    chap_algorithm algorithm_ = chap_algorithm::md5;
    chap_challenge ours_;
};

}  // namespace obd::iscsi

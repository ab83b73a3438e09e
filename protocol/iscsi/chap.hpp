// CHAP as iSCSI uses it. RFC 1994, RFC 7143 §12.1.3 and the IANA registry of CHAP algorithms. Pure: the randomness is
// given.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.hpp"

namespace obd::iscsi {

/// The IANA "CHAP Authentication Algorithms" registry: the values of CHAP_A.
enum class chap_algorithm : std::uint8_t { md5 = 5, sha1 = 6, sha256 = 7, sha3_256 = 8 };

/// The first of an initiator's CHAP_A list that this target knows. Nothing: none, or the list is malformed.
std::optional<chap_algorithm> choose_algorithm(std::string_view offered);

struct chap_challenge {
    std::uint8_t identifier = 0;
    std::vector<std::byte> value;
};

/// How long a challenge of ours is: as long as the digest, which RFC 7143 §12.1.3 wants at least for SHA forms.
std::size_t challenge_bytes(chap_algorithm algorithm);

/// digest(identifier ‖ secret ‖ challenge). RFC 1994 §4.1. Runs OpenSSL; empty if it lacks the algorithm (FIPS mode).
std::vector<std::byte> chap_response(chap_algorithm algorithm, const chap_challenge& challenge,
                                     std::string_view secret);

/// In time that depends on the length alone.
bool equal_in_constant_time(const_bytes a, const_bytes b);

}  // namespace obd::iscsi

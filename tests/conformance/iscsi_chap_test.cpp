// CHAP over the wire: discovery and normal sessions, one way and mutual, every algorithm, and those who try to get
// around it. RFC 7143 §12.1.3.
#include <map>

#include "protocol/iscsi/chap.hpp"
#include "tests/conformance/target_fixture.hpp"

using namespace obd;
using namespace obd::iscsi;
using namespace obd::iscsi::testing;

namespace {

const chap_credentials secrets{"user", "secret-of-the-user", "target", "secret-of-the-target"};
const std::string guarded = "iqn.2026-11.test:guarded";

struct guarded_fixture : fixture {
    guarded_fixture() : fixture(with_discovery_auth()) {
        server->add_target({.name = guarded, .alias = {}, .auth = secrets, .allowed_initiators = {}}).value();
    }
    static target_server_options with_discovery_auth() {
        target_server_options options;
        options.discovery_auth = secrets;
        return options;
    }
};

using pairs = std::vector<std::string>;

/// One exchange of the security stage.
class chap_login {
public:
    chap_login(const std::string& portal, std::string target) : wire_(portal), target_(std::move(target)) {}

    std::map<std::string, std::string> exchange(const pairs& keys, bool last = false) {
        std::string text;
        for (const auto& pair : keys) text.append(pair).append(1, '\0');
        login_request_bhs bhs{};
        bhs.opcode_byte = static_cast<std::uint8_t>(opcode::login_request) | immediate_bit;
        bhs.flags = last ? final_bit | 3 : 0;  // from the security stage to the full-feature phase
        bhs.isid[5] = std::byte{1};
        wire_.send(bhs, as_bytes(text));
        const auto pdu = wire_.expect(opcode::login_response);
        response = pdu.as<login_response_bhs>();
        std::map<std::string, std::string> found;
        const auto parsed = parse_text(as_text(pdu.data));
        REQUIRE(parsed);
        for (const auto& pair : *parsed) found.emplace(pair.key, pair.value);
        return found;
    }
    /// Up to the target's challenge.
    std::map<std::string, std::string> challenge(const std::string& algorithms) {
        pairs first = {"InitiatorName=iqn.2000-01.test:i", "AuthMethod=CHAP"};
        first.push_back(target_.empty() ? "SessionType=Discovery" : "TargetName=" + target_);
        exchange(first);
        return exchange({"CHAP_A=" + algorithms});
    }
    std::uint32_t status() const { return response.status_class * 256u + response.status_detail; }
    bool in_full_feature() const { return status() == 0 && (response.flags & (final_bit | 3)) == (final_bit | 3); }
    wire_initiator& wire() { return wire_; }

    login_response_bhs response{};

private:
    wire_initiator wire_;
    std::string target_;
};

std::string answer_to(std::map<std::string, std::string>& theirs, const std::string& secret) {
    const auto algorithm = static_cast<chap_algorithm>(*parse_number(theirs["CHAP_A"]));
    const chap_challenge challenge{static_cast<std::uint8_t>(*parse_number(theirs["CHAP_I"])),
                                   *parse_binary(theirs["CHAP_C"])};
    return "CHAP_R=" + format_binary(chap_response(algorithm, challenge, secret));
}

}  // namespace

TEST_CASE("CHAP, both ways, with every algorithm, for discovery and for a target", "[rfc7143-12.1.3]") {
    guarded_fixture f;
    for (const std::string& target : {std::string(), guarded}) {
        for (const auto algorithm :
             {chap_algorithm::md5, chap_algorithm::sha1, chap_algorithm::sha256, chap_algorithm::sha3_256}) {
            CAPTURE(target, static_cast<int>(algorithm));
            chap_login one(f.portal(), target);
            auto theirs = one.challenge(std::to_string(static_cast<int>(algorithm)));
            CHECK(theirs["CHAP_A"] == std::to_string(static_cast<int>(algorithm)));
            const chap_challenge ours{200, *from_hex("00112233445566778899aabbccddeeff")};
            auto answer = one.exchange(
                {"CHAP_N=user", answer_to(theirs, secrets.secret), "CHAP_I=200", "CHAP_C=" + format_binary(ours.value)},
                true);
            CHECK(one.in_full_feature());
            CHECK(answer["CHAP_N"] == "target");
            CHECK(answer["CHAP_R"] == format_binary(chap_response(algorithm, ours, secrets.mutual_secret)));
        }
    }
}

TEST_CASE("the target never gives the same challenge twice", "[rfc7143-12.1.3]") {
    guarded_fixture f;
    std::vector<std::string> seen;
    for (int i = 0; i < 8; ++i) {
        chap_login one(f.portal(), guarded);
        seen.push_back(one.challenge("5")["CHAP_C"]);
    }
    std::sort(seen.begin(), seen.end());
    CHECK(std::adjacent_find(seen.begin(), seen.end()) == seen.end());
}

TEST_CASE("discovery that asks for CHAP is not had without", "[rfc7143-12.1.3]") {
    guarded_fixture f;
    wire_initiator one(f.portal());
    const auto refused = one.login("");
    CHECK(refused.status_class == 2);
    CHECK(refused.status_detail == 1);
    CHECK_FALSE(one.receive());
}

TEST_CASE("answers that do not authenticate", "[rfc7143-12.1.3]") {
    constexpr std::uint32_t authentication_failure = 0x0201, initiator_error = 0x0200;
    struct row {
        const char* what;
        std::function<pairs(std::map<std::string, std::string>&)> answer;
        std::uint32_t status;
    };
    const std::string right = secrets.secret;
    const std::vector<row> rows = {
        {"a wrong secret",
         [](auto& theirs) {
             return pairs{"CHAP_N=user", answer_to(theirs, "guess")};
         },
         authentication_failure},
        {"a wrong name",
         [&](auto& theirs) {
             return pairs{"CHAP_N=User", answer_to(theirs, right)};
         },
         authentication_failure},
        {"the target's own secret",
         [](auto& theirs) {
             return pairs{"CHAP_N=user", answer_to(theirs, secrets.mutual_secret)};
         },
         authentication_failure},
        {"our challenge reflected",
         [&](auto& theirs) {
             return pairs{"CHAP_N=user", answer_to(theirs, right), "CHAP_I=1", "CHAP_C=" + theirs["CHAP_C"]};
         },
         authentication_failure},
        {"no name", [&](auto& theirs) { return pairs{answer_to(theirs, right)}; }, initiator_error},
        {"no response", [](auto&) { return pairs{"CHAP_N=user"}; }, initiator_error},
        {"a response that is no number",
         [](auto&) {
             return pairs{"CHAP_N=user", "CHAP_R=hello"};
         },
         initiator_error},
        {"an identifier without a challenge",
         [&](auto& theirs) {
             return pairs{"CHAP_N=user", answer_to(theirs, right), "CHAP_I=1"};
         },
         initiator_error},
        {"an identifier beyond a byte",
         [&](auto& theirs) {
             return pairs{"CHAP_N=user", answer_to(theirs, right), "CHAP_I=256", "CHAP_C=0x0123"};
         },
         initiator_error},
        {"a challenge of more than 1024 bytes",
         [&](auto& theirs) {
             return pairs{"CHAP_N=user", answer_to(theirs, right), "CHAP_I=1", "CHAP_C=0x" + std::string(2050, '1')};
         },
         initiator_error},
        {"the algorithm again", [](auto&) { return pairs{"CHAP_A=5"}; }, initiator_error},
        {"nothing, and on to the next stage", [](auto&) { return pairs{}; }, 0},
    };
    for (const auto& row : rows) {
        CAPTURE(row.what);
        guarded_fixture f;  // a fresh one: wrong secrets make the next answer wait
        chap_login one(f.portal(), guarded);
        auto theirs = one.challenge("5");
        one.exchange(row.answer(theirs), true);
        CHECK(one.status() == row.status);
        CHECK_FALSE(one.in_full_feature());
        if (row.status != 0) CHECK_FALSE(one.wire().receive());
    }
}

TEST_CASE("answers to wrong secrets of one address wait for each other", "[rfc7143-12.1.3]") {
    guarded_fixture f;
    std::vector<std::unique_ptr<chap_login>> guessers;
    std::vector<std::map<std::string, std::string>> challenges;
    for (int i = 0; i < 3; ++i) {
        guessers.push_back(std::make_unique<chap_login>(f.portal(), guarded));
        challenges.push_back(guessers.back()->challenge("7"));
    }
    // 0.1, 0.2 and 0.4 s, one after the other although they were asked at once.
    const auto begin = std::chrono::steady_clock::now();
    for (std::size_t i = 0; i < guessers.size(); ++i) {
        guessers[i]->exchange({"CHAP_N=user", answer_to(challenges[i], "guess")}, true);
        CHECK(guessers[i]->status() == 0x0201);
    }
    CHECK(std::chrono::steady_clock::now() - begin >= std::chrono::milliseconds(700));  // a lower bound is no race
    chap_login honest(f.portal(), guarded);
    auto theirs = honest.challenge("7");
    honest.exchange({"CHAP_N=user", answer_to(theirs, secrets.secret)}, true);
    CHECK(honest.in_full_feature());
}

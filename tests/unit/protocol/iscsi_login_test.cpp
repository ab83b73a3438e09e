// The login phase: stages, statuses, authentication, text over several PDUs.
#include <catch2/catch.hpp>

#include "protocol/iscsi/login.hpp"

using namespace obd;
using namespace obd::iscsi;

namespace {

constexpr const char* initiator = "iqn.2000-01.test:i";
constexpr const char* target_name = "iqn.2026-11.test:t";

class policy final : public login_policy {
public:
    admission verdict;
    login_status joined = login_status::session_does_not_exist;

    admission admit(const login_identity&, session_type) override { return verdict; }
    login_status join(const login_identity&) override { return joined; }
    void fill_random(mutable_bytes bytes) override { std::fill(bytes.begin(), bytes.end(), std::byte{0x11}); }
};

std::string text_of(const std::vector<std::string>& pairs) {
    std::string text;
    for (const auto& pair : pairs) text.append(pair).append(1, '\0');
    return text;
}

struct request {
    unsigned csg = 1, nsg = 3;
    bool transit = true, continued = false;
    std::uint8_t version_min = 0;
    std::uint16_t tsih = 0;
    std::uint32_t itt = 1;
    bool immediate = true;
};

class fixture {
public:
    policy rules;
    login_engine engine{login_options{}, rules};

    login_step send(const request& with, const std::vector<std::string>& pairs) {
        return send_raw(with, text_of(pairs));
    }
    login_step send_raw(const request& with, const std::string& text) {
        login_request_bhs bhs{};
        bhs.opcode_byte = static_cast<std::uint8_t>(0x03 | (with.immediate ? immediate_bit : 0));
        bhs.flags = static_cast<std::uint8_t>((with.transit ? final_bit : 0) | (with.continued ? continue_bit : 0) |
                                              with.csg << 2 | (with.transit ? with.nsg : 0));
        bhs.version_min = with.version_min;
        bhs.tsih = with.tsih;
        bhs.initiator_task_tag = with.itt;
        bhs.cmd_sn = 77;
        bhs.exp_stat_sn = 5;
        return engine.on_request(bhs, as_bytes(text));
    }
    std::vector<std::string> names() const {
        return {std::string("InitiatorName=") + initiator, std::string("TargetName=") + target_name,
                "SessionType=Normal"};
    }
};

login_status status_of(const login_step& step) {
    return static_cast<login_status>(step.reply.status_class << 8 | step.reply.status_detail);
}

bool says(const login_step& step, const std::string& pair) {
    const std::string text = std::string(1, '\0') + step.text;
    return text.find(std::string(1, '\0') + pair + std::string(1, '\0')) != std::string::npos;
}

}  // namespace

TEST_CASE("straight to the operational stage and out", "[rfc7143-6.3]") {
    fixture f;
    auto pairs = f.names();
    pairs.push_back("HeaderDigest=CRC32C,None");
    pairs.push_back("MaxRecvDataSegmentLength=65536");
    const auto step = f.send({}, pairs);
    CHECK(status_of(step) == login_status::success);
    CHECK(step.then == login_step::next::full_feature);
    CHECK(step.reply.flags == (final_bit | 1 << 2 | 3));
    CHECK(says(step, "TargetPortalGroupTag=1"));
    CHECK(says(step, "HeaderDigest=CRC32C"));
    CHECK(says(step, "MaxRecvDataSegmentLength=262144"));
    CHECK(f.engine.agreed().initiator_max_recv_bytes == 65536);
    CHECK(f.engine.agreed().header_digest);
    CHECK(f.engine.cmd_sn() == serial32{77});
    CHECK(f.engine.stat_sn() == serial32{6});
    CHECK(step.reply.stat_sn == 5u);
}

TEST_CASE("open-iscsi's way: security with AuthMethod=None first", "[rfc7143-6.3]") {
    fixture f;
    auto pairs = f.names();
    pairs.push_back("AuthMethod=None");
    auto step = f.send({.csg = 0, .nsg = 1}, pairs);
    CHECK(step.then == login_step::next::more);
    CHECK(says(step, "AuthMethod=None"));
    CHECK_FALSE(says(step, "MaxRecvDataSegmentLength=262144"));
    step = f.send({}, {"InitialR2T=No", "MaxBurstLength=16776192"});
    CHECK(step.then == login_step::next::full_feature);
    CHECK(says(step, "InitialR2T=No"));
    CHECK(f.engine.agreed().max_burst_bytes == 16776192);
}

TEST_CASE("logins that fail, and how", "[rfc7143-11.13.5]") {
    const std::string i = std::string("InitiatorName=") + initiator;
    const std::string t = std::string("TargetName=") + target_name;
    struct row {
        const char* what;
        request with;
        std::vector<std::string> pairs;
        login_status status;
    };
    const std::vector<row> rows = {
        {"no initiator name", {}, {t}, login_status::missing_parameter},
        {"no target name", {}, {i}, login_status::missing_parameter},
        {"bad initiator name", {}, {"InitiatorName=x", t}, login_status::initiator_error},
        {"bad session type", {}, {i, t, "SessionType=Other"}, login_status::session_type_not_supported},
        {"version", {.version_min = 1}, {i, t}, login_status::unsupported_version},
        {"stage 2", {.csg = 2}, {i, t}, login_status::initiator_error},
        {"backwards", {.csg = 1, .nsg = 0}, {i, t}, login_status::initiator_error},
        {"next stage 2", {.csg = 1, .nsg = 2}, {i, t}, login_status::initiator_error},
        {"T and C", {.continued = true}, {i, t}, login_status::initiator_error},
        {"not immediate", {.immediate = false}, {i, t}, login_status::initiator_error},
        {"repeated key", {}, {i, t, "InitialR2T=No", "InitialR2T=No"}, login_status::initiator_error},
        {"a target's key", {}, {i, t, "TargetPortalGroupTag=1"}, login_status::initiator_error},
        {"bad declaration", {}, {i, t, "MaxRecvDataSegmentLength=1"}, login_status::initiator_error},
        {"unknown session", {.tsih = 9}, {i, t}, login_status::session_does_not_exist},
        {"CHAP where there is none",
         {.csg = 0, .nsg = 1},
         {i, t, "AuthMethod=CHAP"},
         login_status::authentication_failure},
        {"CHAP keys out of the blue", {.csg = 0, .nsg = 1}, {i, t, "CHAP_A=5"}, login_status::initiator_error},
    };
    for (const auto& row : rows) {
        fixture f;
        CAPTURE(row.what);
        const auto step = f.send(row.with, row.pairs);
        CHECK(status_of(step) == row.status);
        CHECK(step.then == login_step::next::close);
        CHECK(step.text.empty());
    }
}

TEST_CASE("what the policy says is passed on", "[rfc7143-11.13.5]") {
    const auto status = GENERATE(login_status::not_found, login_status::authorization_failure,
                                 login_status::target_removed, login_status::service_unavailable);
    fixture f;
    f.rules.verdict.status = status;
    CHECK(status_of(f.send({}, f.names())) == status);
}

TEST_CASE("a redirection names the address", "[rfc7143-11.13.5]") {
    fixture f;
    f.rules.verdict.status = login_status::moved_temporarily;
    f.rules.verdict.moved_to = "10.0.0.1:3260,1";
    const auto step = f.send({}, f.names());
    CHECK(step.reply.status_class == 1);
    CHECK(says(step, "TargetAddress=10.0.0.1:3260,1"));
}

TEST_CASE("keys may be cut anywhere between PDUs", "[rfc7143-6.1]") {
    fixture whole;
    auto pairs = whole.names();
    pairs.push_back("MaxBurstLength=65536");
    const auto text = text_of(pairs);
    for (std::size_t cut = 1; cut < text.size(); cut += 7) {
        fixture f;
        const auto first = f.send_raw({.transit = false, .continued = true}, text.substr(0, cut));
        CHECK(first.text.empty());
        CHECK((first.reply.flags & final_bit) == 0);
        const auto second = f.send_raw({}, text.substr(cut));
        CHECK(second.then == login_step::next::full_feature);
        CHECK(says(second, "MaxBurstLength=65536"));
    }
}

TEST_CASE("text without end is refused", "[rfc7143-6.1]") {
    fixture f;
    auto step = f.send_raw({.transit = false, .continued = true}, std::string(8192, 'A'));
    for (int i = 0; i < 10 && step.then == login_step::next::more; ++i) {
        step = f.send_raw({.transit = false, .continued = true}, std::string(8192, 'A'));
    }
    CHECK(status_of(step) == login_status::initiator_error);
}

TEST_CASE("an answer that is too long for one PDU is continued", "[rfc7143-6.2]") {
    fixture f;
    auto pairs = f.names();
    for (int i = 0; i < 600; ++i) pairs.push_back("X-test.key" + std::to_string(i) + "=1");
    const auto text = text_of(pairs);
    auto step = f.send_raw({}, text);
    CHECK(step.text.size() == 8192);
    CHECK((step.reply.flags & continue_bit) != 0);
    CHECK(step.then == login_step::next::more);
    std::string all = step.text;
    while (step.then == login_step::next::more) {
        step = f.send_raw({}, "");
        all += step.text;
    }
    CHECK(step.then == login_step::next::full_feature);
    CHECK(all.find("X-test.key599=NotUnderstood") != std::string::npos);
}

TEST_CASE("keys that mean nothing to discovery are irrelevant", "[rfc7143-13]") {
    fixture f;
    const auto step = f.send({}, {std::string("InitiatorName=") + initiator, "SessionType=Discovery", "InitialR2T=No",
                                  "DefaultTime2Wait=5"});
    CHECK(step.then == login_step::next::full_feature);
    CHECK(says(step, "InitialR2T=Irrelevant"));
    CHECK(says(step, "DefaultTime2Wait=5"));
    CHECK(f.engine.agreed().type == session_type::discovery);
}

TEST_CASE("another login within one is an error", "[rfc7143-11.12]") {
    fixture f;
    f.send({.transit = false}, f.names());
    CHECK(status_of(f.send({.itt = 2}, {})) == login_status::initiator_error);
}

TEST_CASE("CHAP, one way and mutual, with every digest", "[rfc7143-12.1.3]") {
    const auto algorithm =
        GENERATE(chap_algorithm::md5, chap_algorithm::sha1, chap_algorithm::sha256, chap_algorithm::sha3_256);
    const bool mutual = GENERATE(false, true);
    const bool right = GENERATE(true, false);
    fixture f;
    f.rules.verdict.auth = chap_credentials{"user", "secret-of-user", "target", "secret-of-target"};
    auto pairs = f.names();
    pairs.push_back("AuthMethod=CHAP,None");
    auto step = f.send({.csg = 0, .nsg = 1}, pairs);
    REQUIRE(step.then == login_step::next::more);
    CHECK((step.reply.flags & final_bit) == 0);
    step = f.send({.csg = 0, .transit = false}, {"CHAP_A=99," + std::to_string(static_cast<int>(algorithm))});
    REQUIRE(status_of(step) == login_status::success);
    CHECK(says(step, "CHAP_I=17"));
    const chap_challenge theirs{17, std::vector<std::byte>(challenge_bytes(algorithm), std::byte{0x11})};
    CHECK(says(step, "CHAP_C=" + format_binary(theirs.value)));
    const auto response = chap_response(algorithm, theirs, right ? "secret-of-user" : "guess");
    std::vector<std::string> answer = {"CHAP_N=user", "CHAP_R=" + format_binary(response)};
    if (mutual) answer.insert(answer.end(), {"CHAP_I=3", "CHAP_C=0b3q2+7w=="});
    step = f.send({.csg = 0, .nsg = 1}, answer);
    if (!right) {
        CHECK(status_of(step) == login_status::authentication_failure);
        CHECK(step.wrong_secret);
        return;
    }
    CHECK(status_of(step) == login_status::success);
    CHECK((step.reply.flags & final_bit) != 0);
    if (!mutual) return;
    const chap_challenge ours{3, *from_hex("deadbeef")};
    CHECK(says(step, "CHAP_N=target"));
    CHECK(says(step, "CHAP_R=" + format_binary(chap_response(algorithm, ours, "secret-of-target"))));
}

TEST_CASE("CHAP's known answer", "[rfc1994-4.1]") {
    // MD5 of 01 "secret" 0102030405060708, by another program.
    const chap_challenge challenge{1, *from_hex("0102030405060708")};
    CHECK(to_hex(chap_response(chap_algorithm::md5, challenge, "secret")) == "97dcf2f1a1dd8eebbc1e84a61ebd7b33");
}

TEST_CASE("authentication cannot be gone around", "[rfc7143-6.3]") {
    struct row {
        request with;
        std::vector<std::string> extra;
    };
    const std::vector<row> rows = {{{}, {}}, {{.csg = 0, .nsg = 1}, {}}, {{.csg = 0, .nsg = 3}, {"AuthMethod=None"}}};
    for (const auto& row : rows) {
        fixture f;
        f.rules.verdict.auth = chap_credentials{"user", "secret-of-user", "", ""};
        auto pairs = f.names();
        pairs.insert(pairs.end(), row.extra.begin(), row.extra.end());
        CHECK(status_of(f.send(row.with, pairs)) == login_status::authentication_failure);
    }
}

TEST_CASE("our own challenge sent back is a reflection", "[rfc7143-12.1.3]") {
    fixture f;
    f.rules.verdict.auth = chap_credentials{"user", "secret-of-user", "target", "secret-of-target"};
    auto pairs = f.names();
    pairs.push_back("AuthMethod=CHAP");
    f.send({.csg = 0, .transit = false}, pairs);
    f.send({.csg = 0, .transit = false}, {"CHAP_A=5"});
    const chap_challenge theirs{17, std::vector<std::byte>(16, std::byte{0x11})};
    const auto response = chap_response(chap_algorithm::md5, theirs, "secret-of-user");
    const auto step = f.send({.csg = 0, .nsg = 1}, {"CHAP_N=user", "CHAP_R=" + format_binary(response), "CHAP_I=3",
                                                    "CHAP_C=" + format_binary(theirs.value)});
    CHECK(status_of(step) == login_status::authentication_failure);
}

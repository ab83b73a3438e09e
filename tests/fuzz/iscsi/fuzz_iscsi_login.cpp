// Login requests: whatever header and text come, the engine answers or refuses, within bounds.
//
// Input: one byte of policy, then requests: [form: 1 byte][rest]. An even form is a plain request, [flags: 1 byte]
// [words: 1 byte] and so many bytes that each choose a word of the login's vocabulary; an odd one is raw, 48 bytes of
// header, 2 of text length, text.
#include <array>
#include <string>

#include "base/result.hpp"
#include "protocol/iscsi/login.hpp"

namespace {

using namespace obd;
using namespace obd::iscsi;

class policy final : public login_policy {
public:
    explicit policy(unsigned choice) {
        if ((choice & 1) != 0) verdict_.auth = chap_credentials{"u", "s", "m", "t"};
        if ((choice & 2) != 0) verdict_.target_alias = std::string(300, 'a');
        if ((choice & 12) == 12) verdict_.status = login_status::moved_permanently;
        verdict_.moved_to = "192.0.2.1:3260";
        joined_ = (choice & 16) != 0 ? login_status::success : login_status::session_does_not_exist;
    }
    admission admit(const login_identity& who, session_type type) override {
        ASSERT(!who.initiator_name.empty() && (type == session_type::discovery) == who.target_name.empty());
        return verdict_;
    }
    login_status join(const login_identity&) override { return joined_; }
    void fill_random(mutable_bytes bytes) override { std::fill(bytes.begin(), bytes.end(), std::byte{7}); }

private:
    admission verdict_;
    login_status joined_;
};

using namespace std::string_view_literals;
constexpr auto vocabulary = std::array{
    "InitiatorName=iqn.2000-01.a:b\0"sv,
    "TargetName=iqn.2000-01.a:t\0"sv,
    "SessionType=Discovery\0"sv,
    "SessionType=Normal\0"sv,
    "AuthMethod=CHAP,None\0"sv,
    "AuthMethod=None\0"sv,
    "AuthMethod=KRB5,CHAP\0"sv,
    "CHAP_A=5\0"sv,
    "CHAP_A=9,8,7,6\0"sv,
    "CHAP_N=u\0"sv,
    "CHAP_R=0x1234\0"sv,
    "CHAP_I=3\0CHAP_C=0b3q2+7w==\0"sv,
    "HeaderDigest=CRC32C,None\0"sv,
    "DataDigest=None\0"sv,
    "MaxRecvDataSegmentLength=512\0"sv,
    "MaxBurstLength=0x10000\0"sv,
    "FirstBurstLength=16777215\0"sv,
    "InitialR2T=No\0"sv,
    "ImmediateData=Yes\0"sv,
    "TaskReporting=FastAbort\0"sv,
    "iSCSIProtocolLevel=2\0"sv,
    "OFMarker=No\0"sv,
    "X-com.example.key=value\0"sv,
    "MaxConnections="sv,
    "4294967296"sv,
    "=\0"sv,
    "\0"sv,
    ","sv,
};

// MD5 of 07 "s" 07…: what a right answer to the policy's challenge is.
const std::string& right_answer() {
    static const std::string text = [] {
        const chap_challenge challenge{7, std::vector<std::byte>(challenge_bytes(chap_algorithm::md5), std::byte{7})};
        std::string pair;
        append_pair(pair, "CHAP_R", format_binary(chap_response(chap_algorithm::md5, challenge, "s")));
        return pair;
    }();
    return text;
}

std::string words(byte_reader& reader) {
    std::string text;
    for (auto count = reader.big<std::uint8_t>(); count != 0 && reader.remaining() != 0; --count) {
        const auto choice = reader.big<std::uint8_t>();
        if (choice == 255) {
            text += right_answer();
        } else {
            text += vocabulary[choice % vocabulary.size()];
        }
    }
    return text;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    byte_reader reader(std::as_bytes(std::span(data, size)));
    policy rules(reader.big<std::uint8_t>());
    login_engine engine(login_options{}, rules);
    while (reader.remaining() >= 3) {
        login_request_bhs bhs{};
        std::string text;
        if ((reader.big<std::uint8_t>() & 1) == 0) {
            bhs.flags = reader.big<std::uint8_t>();
            text = words(reader);
        } else {
            if (reader.remaining() < bhs_bytes + 2) break;
            bhs = load<login_request_bhs>(reader.take(bhs_bytes));
            const auto length = std::min<std::size_t>(reader.big<std::uint16_t>(), reader.remaining());
            text = as_text(reader.take(length));
        }
        bhs.opcode_byte = 0x43;
        const auto step = engine.on_request(bhs, as_bytes(text));
        ASSERT(step.text.size() <= 8192 && step.reply.data_segment_bytes == step.text.size());
        ASSERT((step.reply.flags & (final_bit | continue_bit)) != (final_bit | continue_bit));
        ASSERT((step.then == login_step::next::close) == (step.reply.status_class != 0));
        if (step.then == login_step::next::more) continue;
        if (step.then == login_step::next::full_feature) {
            const auto& agreed = engine.agreed();
            ASSERT(agreed.first_burst_bytes <= agreed.max_burst_bytes && agreed.initiator_max_recv_bytes >= 512);
            ASSERT(agreed.max_connections == 1 && agreed.error_recovery_level == 0);
        }
        break;
    }
    return 0;
}

// PDU framing, text and negotiation.
#include <catch2/catch.hpp>

#include "base/crc32c.hpp"
#include "protocol/iscsi/negotiation.hpp"
#include "protocol/iscsi/pdu_reader.hpp"

using namespace obd;
using namespace obd::iscsi;

TEST_CASE("a PDU is framed only when its header is whole", "[rfc7143-11.2]") {
    std::vector<std::byte> bytes(48 + 8 + 4);
    basic_bhs bhs{};
    bhs.total_ahs_words = 2;
    bhs.data_segment_bytes = 5;
    store(mutable_bytes(bytes), bhs);
    const auto digest = encode_digest(crc32c(const_bytes(bytes).first(56)));
    std::copy(digest.begin(), digest.end(), bytes.begin() + 56);
    const framing how{.header_digest = true, .data_digest = true, .max_data_segment_bytes = 8192};
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        CHECK(look(how, const_bytes(bytes).first(i)).verdict == framing_verdict::incomplete);
    }
    const auto found = look(how, bytes);
    REQUIRE(found.verdict == framing_verdict::framed);
    CHECK(found.frame.ahs.size() == 8);
    CHECK(found.frame.total_bytes() == 60u + 5 + 3 + 4);
    bytes[20] ^= std::byte{1};
    CHECK(look(how, bytes).verdict == framing_verdict::bad_header_digest);
    const framing narrow{.header_digest = false, .data_digest = false, .max_data_segment_bytes = 4};
    CHECK(look(narrow, bytes).verdict == framing_verdict::segment_too_long);
}

TEST_CASE("the data digest covers the padding", "[rfc7143-11.2.3]") {
    const std::vector<std::byte> data(5, std::byte{1});
    std::vector<std::byte> tail(3 + 4);
    const auto digest = encode_digest(crc32c(const_bytes(tail).first(3), crc32c(data)));
    std::copy(digest.begin(), digest.end(), tail.begin() + 3);
    CHECK(data_digest_matches(data, tail));
    tail[0] = std::byte{1};
    CHECK_FALSE(data_digest_matches(data, tail));
}

TEST_CASE("text is parsed or refused", "[rfc7143-6.1]") {
    const auto pairs = parse_text(std::string_view("A=1\0B=\0C=x=y\0", 14));
    REQUIRE(pairs);
    REQUIRE(pairs->size() == 3);
    CHECK(pairs->at(2).value == "x=y");
    CHECK_FALSE(parse_text("A=1"));
    CHECK_FALSE(parse_text(std::string_view("A\0", 2)));
    CHECK_FALSE(parse_text(std::string_view("=1\0", 3)));
    CHECK_FALSE(parse_text(std::string(64, 'A') + "=1" + '\0'));
}

TEST_CASE("values in text", "[rfc7143-6.1]") {
    CHECK(parse_number("42") == 42u);
    CHECK(parse_number("0x1F") == 31u);
    CHECK_FALSE(parse_number(""));
    CHECK_FALSE(parse_number("-1"));
    CHECK_FALSE(parse_number("4294967296"));
    CHECK(to_hex(*parse_binary("0xABCD")) == "abcd");
    CHECK(to_hex(*parse_binary("0bq80=")) == "abcd");
    CHECK(to_hex(*parse_binary("0Bq83v")) == "abcdef");
    CHECK_FALSE(parse_binary("0bq!=="));
    CHECK_FALSE(parse_binary("abcd"));
    CHECK(normalise_name("IQN.2026-11.io:X") == "iqn.2026-11.io:x");
    CHECK_FALSE(normalise_name("disk"));
    CHECK_FALSE(normalise_name("iqn.2026-11.io:a b"));
}

TEST_CASE("keys are negotiated by their rule", "[rfc7143-13]") {
    struct row {
        const char* offer;
        const char* reply;
    };
    const auto row = GENERATE(values<struct row>({
        {"HeaderDigest=CRC32C,None", "HeaderDigest=CRC32C"},
        {"DataDigest=None", "DataDigest=None"},
        {"DataDigest=X,Y", "DataDigest=Reject"},
        {"MaxConnections=8", "MaxConnections=1"},
        {"MaxConnections=0", "MaxConnections=Reject"},
        {"InitialR2T=No", "InitialR2T=No"},
        {"InitialR2T=Yes", "InitialR2T=Yes"},
        {"ImmediateData=No", "ImmediateData=No"},
        {"ImmediateData=maybe", "ImmediateData=Reject"},
        {"MaxBurstLength=16776192", "MaxBurstLength=16776192"},
        {"MaxBurstLength=511", "MaxBurstLength=Reject"},
        {"FirstBurstLength=262144", "FirstBurstLength=262144"},
        {"FirstBurstLength=0x1000000", "FirstBurstLength=Reject"},
        {"DefaultTime2Wait=0", "DefaultTime2Wait=2"},
        {"DefaultTime2Retain=0", "DefaultTime2Retain=0"},
        {"MaxOutstandingR2T=1", "MaxOutstandingR2T=1"},
        {"MaxOutstandingR2T=65535", "MaxOutstandingR2T=8"},
        {"DataPDUInOrder=No", "DataPDUInOrder=Yes"},
        {"DataSequenceInOrder=No", "DataSequenceInOrder=Yes"},
        {"ErrorRecoveryLevel=2", "ErrorRecoveryLevel=0"},
        {"ErrorRecoveryLevel=3", "ErrorRecoveryLevel=Reject"},
        {"TaskReporting=FastAbort,ResponseFence", "TaskReporting=FastAbort"},
        {"TaskReporting=ResponseFence,FastAbort", "TaskReporting=ResponseFence"},
        {"TaskReporting=Other,RFC3720", "TaskReporting=RFC3720"},
        {"TaskReporting=Other", "TaskReporting=Reject"},
        {"iSCSIProtocolLevel=0", "iSCSIProtocolLevel=0"},
        {"iSCSIProtocolLevel=1", "iSCSIProtocolLevel=1"},
        {"iSCSIProtocolLevel=31", "iSCSIProtocolLevel=2"},
        {"iSCSIProtocolLevel=32", "iSCSIProtocolLevel=Reject"},
        {"iSCSIProtocolLevel=2", "iSCSIProtocolLevel=2"},
        {"OFMarker=Yes", "OFMarker=No"},
        {"IFMarkInt=2048~8192", "IFMarkInt=Reject"},
        {"X-com.example=1", "X-com.example=NotUnderstood"},
        {"MaxRecvDataSegmentLength=65536", ""},
    }));
    session_parameters agreed;
    const target_preferences wanted;
    negotiation one(agreed, wanted);
    const std::string_view offer(row.offer);
    const auto equals = offer.find('=');
    std::string reply;
    const text_pair pair{offer.substr(0, equals), offer.substr(equals + 1)};
    CAPTURE(row.offer);
    CHECK(one.on_pair(pair, stage_bit::operational, reply) == negotiation::verdict::answered);
    if (!reply.empty()) reply.pop_back();
    CHECK(reply == row.reply);
    CHECK(one.on_pair(pair, stage_bit::operational, reply) ==
          (find_key(pair.key) != nullptr ? negotiation::verdict::broken : negotiation::verdict::answered));
}

TEST_CASE("FirstBurstLength does not exceed MaxBurstLength", "[rfc7143-13.14]") {
    session_parameters agreed;
    const target_preferences wanted;
    negotiation one(agreed, wanted);
    std::string reply;
    one.on_pair({"MaxBurstLength", "1024"}, stage_bit::operational, reply);
    one.on_pair({"FirstBurstLength", "8192"}, stage_bit::operational, reply);
    CHECK(agreed.first_burst_bytes == 1024);
}

// Persistent reservations, and RESERVE/RELEASE of SPC-2, as initiators see them. SPC-4 §5.13.
#include <catch2/catch.hpp>

#include "protocol/scsi/transport_id.hpp"
#include "tests/unit/protocol/scsi/script.hpp"

using namespace obd;
using namespace obd::test;

namespace {

/// PERSISTENT RESERVE OUT with a basic parameter list.
struct reserve_out_cdb {
    unsigned action = 0;
    unsigned type = 0;
    std::uint64_t key = 0;
    std::uint64_t action_key = 0;
    unsigned flags = 0;  // byte 20 of the list
};

std::string hex_of(std::uint64_t number, std::size_t digits) {
    std::string out(digits, '0');
    for (std::size_t i = 0; i < digits; ++i) {
        out[digits - 1 - i] = "0123456789abcdef"[number & 0xf];
        number >>= 4;
    }
    return out;
}

std::string cdb_for(const reserve_out_cdb& what, std::size_t bytes = 24) {
    return "5f " + hex_of(what.action, 2) + hex_of(what.type, 2) + " 0000 " + hex_of(bytes, 8) + " 00";
}

std::string list_for(const reserve_out_cdb& what) {
    return hex_of(what.key, 16) + hex_of(what.action_key, 16) + "00000000" + hex_of(what.flags, 2) + "000000";
}

/// Three initiators, a, b and c; a is the script's own.
struct three_initiators {
    explicit three_initiators(scsi::unit_options options = unit_on(thin_disk())) : unit(std::move(options)) {
        b = unit.another('b');
        c = unit.another('c');
        drain(unit, *b);
        drain(unit, *c);
    }
    std::string out(scsi::i_t_nexus& from, const reserve_out_cdb& what) {
        return unit.run_on(from, cdb_for(what), list_for(what));
    }
    std::string a_out(const reserve_out_cdb& what) { return out(*unit.nexus, what); }
    void register_all() {
        CHECK(a_out({.action_key = 0xa}) == "good");
        CHECK(out(*b, {.action_key = 0xb}) == "good");
        CHECK(out(*c, {.action_key = 0xc}) == "good");
    }
    std::string keys() { return unit.run("5e 00 0000000000 00ff 00"); }
    std::string holder() { return unit.run("5e 01 0000000000 00ff 00"); }

    script unit;
    std::unique_ptr<scsi::i_t_nexus> b;
    std::unique_ptr<scsi::i_t_nexus> c;
};

const char* const read_10 = "28 00 00000000 00 0001 00";
const char* const write_10 = "2a 00 00000000 00 0001 00";

}  // namespace

TEST_CASE("registering, changing and removing keys", "[spc4-5.13.7]") {
    three_initiators all;
    CHECK(all.keys() == "good 0000000000000000");
    CHECK(all.a_out({.key = 1, .action_key = 2}) == "conflict");  // not registered: the key must be zero
    CHECK(all.a_out({.action_key = 0xa}) == "good");
    CHECK(all.keys() == "good 0000000100000008000000000000000a");
    CHECK(all.a_out({.key = 9, .action_key = 0xd}) == "conflict");
    CHECK(all.a_out({.key = 0xa, .action_key = 0xd}) == "good");
    CHECK(all.keys() == "good 0000000200000008000000000000000d");
    CHECK(all.a_out({.action = 6, .key = 0x77, .action_key = 0xe}) == "good");  // … AND IGNORE EXISTING KEY
    CHECK(all.out(*all.b, {.action_key = 0xe}) == "good");
    CHECK(all.keys() == "good 0000000400000010000000000000000e000000000000000e");
    CHECK(all.a_out({.key = 0xe}) == "good");
    CHECK(all.keys() == "good 0000000500000008000000000000000e");
    CHECK(all.unit.run("5e 00 0000000000 0004 00") == "good 00000005");
}

TEST_CASE("who may read and write under each type of reservation", "[spc4-table-65]") {
    struct row {
        unsigned type;
        const char* registered_read;
        const char* registered_write;
        const char* stranger_read;
        const char* stranger_write;
    };
    const char* const r = "read 0+1 in 512";
    const char* const w = "write 0+1 out 512";
    const char* const no = "conflict";
    const auto one = GENERATE_COPY(row{1, r, no, r, no}, row{3, no, no, no, no}, row{5, r, w, r, no},
                                   row{6, r, w, no, no}, row{7, r, w, r, no}, row{8, r, w, no, no});
    CAPTURE(one.type);
    three_initiators all;
    CHECK(all.a_out({.action_key = 0xa}) == "good");
    CHECK(all.out(*all.b, {.action_key = 0xb}) == "good");
    CHECK(all.a_out({.action = 1, .type = one.type, .key = 0xa}) == "good");
    CHECK(all.unit.run(read_10) == r);
    CHECK(all.unit.run(write_10) == w);
    CHECK(all.unit.run_on(*all.b, read_10) == one.registered_read);
    CHECK(all.unit.run_on(*all.b, write_10) == one.registered_write);
    CHECK(all.unit.run_on(*all.c, read_10) == one.stranger_read);
    CHECK(all.unit.run_on(*all.c, write_10) == one.stranger_write);
    CHECK(all.unit.run_on(*all.c, "00 00000000 00") == "good");                       // TEST UNIT READY
    CHECK(all.unit.run_on(*all.c, "35 00 00000000 00 0000 00") == no);                // SYNCHRONIZE CACHE
    CHECK(all.unit.run_on(*all.c, "25 00 00000000 0000 00 00").starts_with("good"));  // READ CAPACITY
    CHECK(all.unit.run_on(*all.c, "1a 08 3f 00 ff 00") == no);                        // MODE SENSE
    CHECK(all.unit.run_on(*all.c, "1b 000000 01 00") == "good");                      // START
    CHECK(all.unit.run_on(*all.c, "1b 000000 00 00") == no);                          // STOP
    CHECK(all.unit.run_on(*all.c, "1e 000000 00 00") == "good");                      // ALLOW
    CHECK(all.unit.run_on(*all.c, "1e 000000 01 00") == no);                          // PREVENT
    const bool all_registrants = one.type >= 7;
    CHECK(all.holder() == "good 0000000200000010" +
                              std::string(all_registrants ? "0000000000000000" : "000000000000000a") +
                              "00000000"
                              "00" +
                              hex_of(one.type, 2) + "0000");
}

TEST_CASE("reserving and releasing", "[spc4-5.13.9]") {
    three_initiators all;
    CHECK(all.a_out({.action = 1, .type = 1, .key = 0xa}) == "conflict");  // not registered
    all.register_all();
    CHECK(all.a_out({.action = 1, .type = 1, .key = 0xb}) == "conflict");  // not its key
    CHECK(all.a_out({.action = 1, .type = 2, .key = 0xa}) == "check 5/24/00 @cdb 2.3");
    CHECK(all.a_out({.action = 1, .type = 0x11, .key = 0xa}) == "check 5/24/00 @cdb 2.7");
    CHECK(all.a_out({.action = 1, .type = 5, .key = 0xa}) == "good");
    CHECK(all.a_out({.action = 1, .type = 5, .key = 0xa}) == "good");
    CHECK(all.a_out({.action = 1, .type = 6, .key = 0xa}) == "conflict");
    CHECK(all.out(*all.b, {.action = 1, .type = 5, .key = 0xb}) == "conflict");
    CHECK(all.out(*all.b, {.action = 2, .type = 5, .key = 0xb}) == "good");  // not the holder: nothing happens
    CHECK(all.a_out({.action = 2, .type = 6, .key = 0xa}) == "check 5/26/04");
    CHECK(all.a_out({.action = 2, .type = 5, .key = 0xa}) == "good");
    CHECK(all.holder() == "good 0000000300000000");
    CHECK(drain(all.unit, *all.b) == "2a/04");
    CHECK(drain(all.unit, *all.c) == "2a/04");
    CHECK(drain(all.unit, *all.unit.nexus).empty());
}

TEST_CASE("the reservation ends with its holder's registration", "[spc4-5.13.11.2]") {
    three_initiators all;
    all.register_all();
    CHECK(all.a_out({.action = 1, .type = 6, .key = 0xa}) == "good");
    CHECK(all.a_out({.key = 0xa}) == "good");
    CHECK(all.holder() == "good 0000000400000000");
    CHECK(drain(all.unit, *all.b) == "2a/04");
}

TEST_CASE("an all-registrants reservation ends with the last registration", "[spc4-5.13.11.2]") {
    three_initiators all;
    all.register_all();
    CHECK(all.a_out({.action = 1, .type = 8, .key = 0xa}) == "good");
    CHECK(all.a_out({.key = 0xa}) == "good");
    CHECK(all.out(*all.b, {.key = 0xb}) == "good");
    CHECK(all.holder().starts_with("good 0000000500000010"));
    CHECK(all.out(*all.c, {.key = 0xc}) == "good");
    CHECK(all.holder() == "good 0000000600000000");
}

TEST_CASE("CLEAR takes everything", "[spc4-5.13.11.6]") {
    three_initiators all;
    all.register_all();
    CHECK(all.a_out({.action = 1, .type = 3, .key = 0xa}) == "good");
    CHECK(all.out(*all.b, {.action = 3, .key = 0xb}) == "good");
    CHECK(all.keys() == "check 6/2a/03");
    CHECK(all.keys() == "good 0000000400000000");
    CHECK(drain(all.unit, *all.c) == "2a/03");
    CHECK(drain(all.unit, *all.b).empty());
}

TEST_CASE("PREEMPT of the holder takes the reservation over", "[spc4-5.13.11.4]") {
    three_initiators all;
    all.register_all();
    CHECK(all.a_out({.action = 1, .type = 5, .key = 0xa}) == "good");
    CHECK(all.out(*all.b, {.action = 4, .type = 6, .key = 0xb, .action_key = 0xa}) == "good");
    CHECK(drain(all.unit, *all.unit.nexus) == "2a/05");
    CHECK(drain(all.unit, *all.c) == "2a/04");  // the type has changed
    CHECK(all.keys() == "good 0000000400000010000000000000000b000000000000000c");
    CHECK(all.holder() ==
          "good 0000000400000010000000000000000b"
          "00000000"
          "0006"
          "0000");
}

TEST_CASE("PREEMPT of registrations leaves the reservation", "[spc4-5.13.11.4]") {
    three_initiators all;
    all.register_all();
    CHECK(all.a_out({.action = 1, .type = 5, .key = 0xa}) == "good");
    CHECK(all.out(*all.b, {.action = 4, .type = 5, .key = 0xb, .action_key = 0xd}) == "conflict");
    CHECK(all.out(*all.b, {.action = 4, .type = 5, .key = 0xb, .action_key = 0}) == "check 5/26/00 @list 8");
    CHECK(all.out(*all.b, {.action = 4, .type = 5, .key = 0xb, .action_key = 0xc}) == "good");
    CHECK(drain(all.unit, *all.c) == "2a/05");
    CHECK(all.holder() ==
          "good 0000000400000010000000000000000a"
          "00000000"
          "0005"
          "0000");
}

TEST_CASE("PREEMPT with key zero takes an all-registrants reservation", "[spc4-5.13.11.4]") {
    three_initiators all;
    all.register_all();
    CHECK(all.a_out({.action = 1, .type = 7, .key = 0xa}) == "good");
    CHECK(all.out(*all.b, {.action = 4, .type = 1, .key = 0xb, .action_key = 0}) == "good");
    CHECK(drain(all.unit, *all.unit.nexus) == "2a/05");
    CHECK(all.holder() ==
          "good 0000000400000010000000000000000b"
          "00000000"
          "0001"
          "0000");
}

TEST_CASE("PREEMPT AND ABORT names whose tasks end", "[spc4-5.13.11.5]") {
    three_initiators all;
    all.register_all();
    CHECK(all.a_out({.action = 1, .type = 1, .key = 0xa}) == "good");
    const reserve_out_cdb what{.action = 5, .type = 1, .key = 0xa, .action_key = 0xb};
    const auto decided = all.unit.send(cdb_for(what), list_for(what));
    const auto& end = std::get<scsi::completed>(decided);
    CHECK(end.code == scsi::status::good);
    CHECK(end.abort_tasks_of == std::vector{all.b->id()});
}

TEST_CASE("REGISTER AND MOVE hands the reservation to another port", "[spc4-5.13.8]") {
    three_initiators all;
    all.register_all();
    CHECK(all.a_out({.action = 1, .type = 1, .key = 0xa}) == "good");
    const auto move = [&](scsi::i_t_nexus& from, std::uint64_t key, char to, std::uint64_t new_key) {
        const auto id = scsi::encode_transport_id(initiator(to));
        const auto list = hex_of(key, 16) + hex_of(new_key, 16) +
                          "00"
                          "02"
                          "0001" +
                          hex_of(id.size(), 8) + to_hex(id);
        return all.unit.run_on(from, cdb_for({.action = 7}, list.size() / 2), list);
    };
    CHECK(move(*all.b, 0xb, 'c', 0xcc) == "conflict");  // not the holder
    CHECK(move(*all.unit.nexus, 0xa, 'a', 0xcc) == "check 5/26/00 @list 24");
    CHECK(move(*all.unit.nexus, 0xa, 'c', 0) == "check 5/26/00 @list 8");
    CHECK(move(*all.unit.nexus, 0xa, 'c', 0xcc) == "good");  // UNREG: a is gone
    CHECK(all.holder() ==
          "good 0000000400000010"
          "00000000000000cc"
          "00000000"
          "0001"
          "0000");
    CHECK(all.keys() == "good 0000000400000010000000000000000b00000000000000cc");
}

TEST_CASE("SPEC_I_PT registers other ports too", "[spc4-6.16.3]") {
    three_initiators all;
    const auto id = scsi::encode_transport_id(initiator('z'));
    const auto list = list_for({.action_key = 0xa, .flags = 0x08}) + hex_of(id.size(), 8) + to_hex(id);
    CHECK(all.unit.run(cdb_for({}, list.size() / 2), list) == "good");
    CHECK(all.keys() == "good 0000000100000010000000000000000a000000000000000a");
    const auto z = all.unit.another('z');
    drain(all.unit, *z);
    CHECK(all.out(*z, {.action = 1, .type = 3, .key = 0xa}) == "good");
    CHECK(all.unit.run(read_10) == "conflict");
}

TEST_CASE("READ FULL STATUS and the capabilities", "[spc4-6.15.5]") {
    script unit(thin_disk());
    const reserve_out_cdb what{.action_key = 0xa};
    CHECK(unit.run(cdb_for(what), list_for(what)) == "good");
    const reserve_out_cdb hold{.action = 1, .type = 3, .key = 0xa};
    CHECK(unit.run(cdb_for(hold), list_for(hold)) == "good");
    const auto id = scsi::encode_transport_id(initiator('a'));
    CHECK(unit.run("5e 03 0000000000 0fff 00") == "good 00000001" + hex_of(24 + id.size(), 8) + "000000000000000a" +
                                                      "00000000"
                                                      "01"
                                                      "03"
                                                      "00000000"
                                                      "0001" +
                                                      hex_of(id.size(), 8) + to_hex(id));
    CHECK(unit.run("5e 02 0000000000 0fff 00") ==
          "good 0008"
          "0c"
          "80"
          "ea01"
          "0000");
    CHECK(unit.run("5e 04 0000000000 0fff 00") == "check 5/24/00 @cdb 1.4");
}

TEST_CASE("parameter lists of a wrong length or with APTPL that cannot be kept", "[spc4-6.16.2]") {
    script unit(thin_disk());
    CHECK(unit.run(cdb_for({}, 23)) == "check 5/1a/00");
    CHECK(unit.run(cdb_for({}, 32), list_for({.action_key = 1}) + "0000000000000000") == "check 5/1a/00");
    CHECK(unit.run(cdb_for({}), list_for({.action_key = 1, .flags = 1})) == "check 5/26/00 @list 20.0");
}

TEST_CASE("with APTPL reservations survive a restart, without they do not", "[spc4-5.13.5]") {
    scsi::persistent_state kept;
    auto options = unit_on(thin_disk());
    options.persist = [&](const scsi::persistent_state& state) {
        kept = state;
        return result<void>{};
    };
    const bool aptpl = GENERATE(true, false);
    {
        three_initiators first(options);
        CHECK(first.a_out({.action_key = 0xa, .flags = aptpl ? 1U : 0U}) == "good");
        CHECK(first.a_out({.action = 1, .type = 3, .key = 0xa}) == "good");
        CHECK(first.unit.unit->state().reservations.held.has_value());
    }
    options.restored = kept;
    three_initiators second(options);
    CHECK(second.unit.run_on(*second.b, read_10) == (aptpl ? "conflict" : "read 0+1 in 512"));
    CHECK(second.unit.run(read_10) == "read 0+1 in 512");
    CHECK(second.keys() == (aptpl ? "good 0000000000000008000000000000000a" : "good 0000000000000000"));
}

TEST_CASE("registrations outlive the session", "[spc4-5.13.7]") {
    three_initiators all;
    CHECK(all.out(*all.b, {.action_key = 0xb}) == "good");
    CHECK(all.out(*all.b, {.action = 1, .type = 3, .key = 0xb}) == "good");
    all.b.reset();
    CHECK(all.unit.run(read_10) == "conflict");
    const auto again = all.unit.another('b');
    drain(all.unit, *again);
    CHECK(all.unit.run_on(*again, read_10) == "read 0+1 in 512");
}

TEST_CASE("RESERVE(6) and RELEASE(6)", "[spc2-7.22]") {
    three_initiators all;
    CHECK(all.unit.run("16 00000000 00") == "good");
    CHECK(all.unit.run("16 00000000 00") == "good");
    CHECK(all.unit.run_on(*all.b, "16 00000000 00") == "conflict");
    CHECK(all.unit.run_on(*all.b, "00 00000000 00") == "conflict");
    CHECK(all.unit.run_on(*all.b, "1a 08 3f 00 ff 00") == "conflict");
    CHECK(all.unit.run_on(*all.b, read_10) == "conflict");
    CHECK(all.unit.run_on(*all.b, "12 00 00 0004 00").starts_with("good"));
    CHECK(all.unit.run_on(*all.b, "17 00000000 00") == "good");  // releases nothing
    CHECK(all.unit.run(read_10) == "read 0+1 in 512");
    CHECK(all.unit.run_on(*all.b, read_10) == "conflict");
    CHECK(all.unit.run("57 00 0000000000 0000 00") == "good");
    CHECK(all.unit.run_on(*all.b, "56 00 0000000000 0000 00") == "good");
    CHECK(all.unit.run(read_10) == "conflict");
    all.b.reset();  // I_T nexus loss releases
    CHECK(all.unit.run("16 00000000 00") == "good");
    all.unit.unit->reset(scsi::reset_kind::logical_unit);
    CHECK(drain(all.unit, *all.c) == "29/03");
    CHECK(all.unit.run_on(*all.c, read_10) == "read 0+1 in 512");
}

TEST_CASE("the two kinds of reservation exclude each other", "[spc4-5.13.3]") {
    three_initiators all;
    CHECK(all.a_out({.action_key = 0xa}) == "good");
    CHECK(all.unit.run("16 00000000 00") == "conflict");
    CHECK(all.a_out({.key = 0xa}) == "good");
    CHECK(all.unit.run("16 00000000 00") == "good");
    CHECK(all.out(*all.b, {.action_key = 0xb}) == "conflict");
}

TEST_CASE("TransportIDs", "[spc4-7.6.4.6]") {
    const auto port = initiator('a');
    const auto id = scsi::encode_transport_id(port);
    CHECK(id.size() % 4 == 0);
    CHECK(to_hex(const_bytes(id).first(2)) == "4500");
    const auto back = scsi::decode_transport_id(id);
    REQUIRE(back);
    CHECK(back->port == port);
    CHECK(back->bytes == id.size());
    for (std::size_t cut = 0; cut < id.size(); ++cut) CHECK(!scsi::decode_transport_id(const_bytes(id).first(cut)));
    auto device = id;
    device[0] = std::byte{0x05};
    CHECK(!scsi::decode_transport_id(device));
}

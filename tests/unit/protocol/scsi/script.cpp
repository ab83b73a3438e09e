#include "tests/unit/protocol/scsi/script.hpp"

#include <algorithm>
#include <array>
#include <cstdio>

namespace obd::test {

using namespace scsi;

namespace {

std::string format(const char* text, unsigned a, unsigned b = 0, unsigned c = 0) {
    std::array<char, 64> out{};
    std::snprintf(out.data(), out.size(), text, a, b, c);
    return out.data();
}

unsigned at(const std::vector<std::byte>& bytes, std::size_t index) {
    return std::to_integer<unsigned>(bytes.at(index));
}

std::string describe_pointer(unsigned flags, unsigned byte) {
    if ((flags & 0x80) == 0) return {};
    std::string out = (flags & 0x40) != 0 ? " @cdb " : " @list ";
    out += std::to_string(byte);
    if ((flags & 0x08) != 0) out += "." + std::to_string(flags & 7);
    return out;
}

std::string describe_fixed(const std::vector<std::byte>& sense) {
    std::string out = format("check %x/%02x/%02x", at(sense, 2), at(sense, 12), at(sense, 13));
    out += describe_pointer(at(sense, 15), at(sense, 16) << 8 | at(sense, 17));
    if ((at(sense, 0) & 0x80) != 0) {
        out += " info " + std::to_string(at(sense, 3) << 24 | at(sense, 4) << 16 | at(sense, 5) << 8 | at(sense, 6));
    }
    return out;
}

constexpr const char* operation_names[] = {
    "read",    "write", "write_atomic", "write_and_verify", "verify", "compare", "same", "or", "compare_and_write",
    "discard", "flush", "prefetch",     "extents",          "copy",   "erase"};

std::string describe(const operation& work) {
    std::string out = operation_names[static_cast<std::size_t>(work.kind)];
    const auto range = [](byte_offset offset, byte_count count) {
        return " " + std::to_string(offset.value / 512) + "+" + std::to_string(count.value / 512);
    };
    if (work.kind == operation_kind::discard) {
        for (const auto& one : work.ranges) out += range(one.offset, one.count);
    } else if (work.kind == operation_kind::copy) {
        for (const auto& one : work.copies)
            out += range(one.from, one.count) + ">" + std::to_string(one.to.value / 512);
    } else {
        out += range(work.offset, work.count);
    }
    if (work.data_in_bytes != 0) out += " in " + std::to_string(work.data_in_bytes);
    if (work.data_out_bytes != 0) out += " out " + std::to_string(work.data_out_bytes);
    if (work.when == durability::force_unit_access) out += " fua";
    if (work.immediate) out += " immediate";
    if (work.one_block_pattern) out += " pattern";
    if (work.may_deallocate) out += " unmap";
    if (work.extent_limit != 0) out += " limit " + std::to_string(work.extent_limit);
    return out;
}

}  // namespace

std::string describe(const completed& what) {
    if (what.code == status::good) return what.data_in.empty() ? "good" : "good " + to_hex(what.data_in);
    if (what.code == status::condition_met) return "met";
    if (what.code == status::reservation_conflict) return "conflict";
    if (what.code != status::check_condition) return format("status %02x", static_cast<unsigned>(what.code));
    if ((at(what.sense, 0) & 0x7f) == 0x70) return describe_fixed(what.sense);
    return "descriptor " + to_hex(what.sense);
}

std::string describe(const decision& what) {
    if (const auto* end = std::get_if<completed>(&what)) return describe(*end);
    if (const auto* wants = std::get_if<wants_parameters>(&what)) return "wants " + std::to_string(wants->bytes);
    return describe(std::get<operation>(what));
}

std::vector<std::byte> bytes_of_hex(std::string_view hex) {
    std::string text(hex);
    std::erase(text, ' ');
    auto bytes = from_hex(text);
    if (!bytes) throw std::logic_error("bad hex in a test: " + text);
    return *bytes;
}

std::vector<std::byte> cdb_of(std::string_view hex) {
    auto bytes = bytes_of_hex(hex);
    bytes.resize(std::max<std::size_t>(bytes.size(), 16));
    return bytes;
}

initiator_port initiator(char last) {
    initiator_port port{.name = "iqn.2026-11.test:" + std::string(1, last)};
    port.isid = {std::byte{0x40}, std::byte{0}, std::byte{1}, std::byte{0x37}, std::byte{0}, std::byte(last)};
    return port;
}

identity some_identity(std::uint64_t number) {
    identity id;
    id.serial = "0123456789abcde" + std::to_string(number % 10);
    id.naa = 0x3000000000000000 + number;
    id.eui[0] = std::byte{0xaa};
    id.eui[15] = static_cast<std::byte>(number);
    return id;
}

unit_options unit_on(device_geometry geometry) {
    return {.device = std::make_shared<fake_disk>(geometry), .id = some_identity(), .restored = {}, .persist = {}};
}

script::script(device_geometry geometry) : script(unit_on(geometry)) {}

script::script(unit_options options)
    : luns({.name = "iqn.2026-11.io.overlaybd:disk"}), unit(std::make_shared<logical_unit>(std::move(options))) {
    static_cast<void>(luns.add(0, unit).has_value());
    nexus = luns.add_nexus(initiator('a'));
    drain(*this, *nexus);
}

decision script::send(std::string_view cdb, std::string_view list) {
    const auto bytes = cdb_of(cdb);
    const command what{.nexus = nexus->id(), .cdb = bytes};
    auto routed = nexus->begin({}, what);
    if (!std::holds_alternative<wants_parameters>(routed.what) || list.empty()) return std::move(routed.what);
    return routed.unit->parameters(what, bytes_of_hex(list));
}

std::string script::run(std::string_view cdb, std::string_view list) {
    return describe(send(cdb, list));
}

std::string script::finish(std::string_view cdb, const operation_result& found) {
    const auto bytes = cdb_of(cdb);
    const command what{.nexus = nexus->id(), .cdb = bytes};
    auto routed = nexus->begin({}, what);
    const auto* work = std::get_if<operation>(&routed.what);
    if (work == nullptr) return "no operation: " + describe(routed.what);
    return describe(routed.unit->finish(*work, what, found));
}

std::string script::run_on(i_t_nexus& other, std::string_view cdb, std::string_view list) {
    const auto bytes = cdb_of(cdb);
    const command what{.nexus = other.id(), .cdb = bytes};
    auto routed = other.begin({}, what);
    if (!std::holds_alternative<wants_parameters>(routed.what) || list.empty()) return describe(routed.what);
    return describe(routed.unit->parameters(what, bytes_of_hex(list)));
}

std::unique_ptr<i_t_nexus> script::another(char last) {
    return luns.add_nexus(initiator(last));
}

std::string drain(script& on, i_t_nexus& nexus) {
    std::string out;
    while (true) {
        const auto said = on.run_on(nexus, "000000000000");
        if (!said.starts_with("check 6/")) return out;
        if (!out.empty()) out += ' ';
        out += said.substr(8);
    }
}

}  // namespace obd::test

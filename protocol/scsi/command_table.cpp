#include "protocol/scsi/command_table.hpp"

#include <algorithm>
#include <bit>

#include "protocol/scsi/planners.hpp"

namespace obd::scsi {

namespace {

namespace sa = service_action;
using enum opcode;

constexpr auto in = transfer::data_in;
constexpr auto out = transfer::data_out;
constexpr auto no_data = transfer::none;
constexpr auto moment = duration::moment;
constexpr auto media = duration::media;
constexpr auto lengthy = duration::long_media;
constexpr std::uint8_t ff = 0xff;

// Protection information, NACA and the obsolete FUA_NV, RELADR, PMI and LBDATA are bits that no row knows. GROUP NUMBER
// is taken and means nothing: there are no groups to count in (GROUP_SUP is zero).
// clang-format off
constexpr command_spec commands[] = {
    {test_unit_ready, {}, "TEST UNIT READY", "SPC-4 §6.47", no_data, access::always, moment, 6, {},
     plan::test_unit_ready},
    {request_sense, {}, "REQUEST SENSE", "SPC-4 §6.39", in, access::always, moment, 6, {0x01, 0, 0, ff},
     plan::request_sense},
    {read_6, {}, "READ(6)", "SBC-2 §5.5", in, access::reads, media, 6, {0x1f, ff, ff, ff}, plan::read_6},
    {write_6, {}, "WRITE(6)", "SBC-2 §5.24", out, access::writes, media, 6, {0x1f, ff, ff, ff}, plan::write_6},
    {opcode::inquiry, {}, "INQUIRY", "SPC-4 §6.6", in, access::always, moment, 6, {0x01, ff, ff, ff}, plan::inquiry},
    {mode_select_6, {}, "MODE SELECT(6)", "SPC-4 §6.11", out, access::controls, moment, 6, {0x11, 0, 0, ff},
     plan::mode_select_6, plan::accept_mode_select_6},
    {reserve_6, {}, "RESERVE(6)", "SPC-2 §7.22", no_data, access::reservation, moment, 6, {}, plan::reserve_unit},
    {release_6, {}, "RELEASE(6)", "SPC-2 §7.17", no_data, access::reservation, moment, 6, {}, plan::release_unit},
    {mode_sense_6, {}, "MODE SENSE(6)", "SPC-4 §6.13", in, access::controls, moment, 6, {0x08, ff, ff, ff},
     plan::mode_sense_6},
    {opcode::start_stop_unit, {}, "START STOP UNIT", "SBC-3 §5.25", no_data, access::start_stop, moment, 6,
     {0x01, 0, 0x0f, 0xf7}, plan::start_stop_unit},
    {opcode::receive_diagnostic_results, {}, "RECEIVE DIAGNOSTIC RESULTS", "SPC-4 §6.28", in, access::controls, moment,
     6, {0x01, ff, ff, ff}, plan::receive_diagnostic_results},
    {opcode::send_diagnostic, {}, "SEND DIAGNOSTIC", "SPC-4 §6.42", out, access::controls, moment, 6,
     {0xf7, 0, ff, ff}, plan::send_diagnostic},
    {opcode::prevent_allow_medium_removal, {}, "PREVENT ALLOW MEDIUM REMOVAL", "SBC-3 §5.10", no_data,
     access::prevent_allow, moment, 6, {0, 0, 0, 0x03}, plan::prevent_allow_medium_removal},
    {opcode::read_capacity_10, {}, "READ CAPACITY(10)", "SBC-3 §5.15", in, access::always, moment, 10, {},
     plan::read_capacity_10},
    {opcode::read_10, {}, "READ(10)", "SBC-3 §5.11", in, access::reads, media, 10,
     {0x18, ff, ff, ff, ff, 0x1f, ff, ff}, plan::read_10},
    {opcode::write_10, {}, "WRITE(10)", "SBC-3 §5.33", out, access::writes, media, 10,
     {0x18, ff, ff, ff, ff, 0x1f, ff, ff}, plan::write_10},
    {opcode::write_and_verify_10, {}, "WRITE AND VERIFY(10)", "SBC-3 §5.37", out, access::writes, media, 10,
     {0x12, ff, ff, ff, ff, 0x1f, ff, ff}, plan::write_and_verify_10, nullptr, plan::finish_compare},
    {opcode::verify_10, {}, "VERIFY(10)", "SBC-3 §5.29", out, access::reads, media, 10,
     {0x16, ff, ff, ff, ff, 0x1f, ff, ff}, plan::verify_10, nullptr, plan::finish_compare},
    {opcode::pre_fetch_10, {}, "PRE-FETCH(10)", "SBC-3 §5.8", no_data, access::reads, lengthy, 10,
     {0x02, ff, ff, ff, ff, 0x1f, ff, ff}, plan::pre_fetch_10, nullptr, plan::finish_pre_fetch},
    {opcode::synchronize_cache_10, {}, "SYNCHRONIZE CACHE(10)", "SBC-3 §5.26", no_data, access::controls, lengthy, 10,
     {0x02, ff, ff, ff, ff, 0x1f, ff, ff}, plan::synchronize_cache_10},
    {opcode::read_defect_data_10, {}, "READ DEFECT DATA(10)", "SBC-3 §5.17", in, access::reads, moment, 10,
     {0, 0x1f, 0, 0, 0, 0, ff, ff}, plan::read_defect_data_10},
    {opcode::write_same_10, {}, "WRITE SAME(10)", "SBC-3 §5.43", out, access::writes, lengthy, 10,
     {0x08, ff, ff, ff, ff, 0x1f, ff, ff}, plan::write_same_10},
    {opcode::unmap, {}, "UNMAP", "SBC-3 §5.28", out, access::writes, lengthy, 10, {0, 0, 0, 0, 0, 0x1f, ff, ff},
     plan::unmap, plan::accept_unmap, nullptr, needs::discard},
    {opcode::sanitize, sa::block_erase, "SANITIZE, BLOCK ERASE", "SBC-3 §5.24", no_data, access::writes,
     lengthy, 10, {0xa0, 0, 0, 0, 0, 0, ff, ff}, plan::sanitize_block_erase, nullptr, nullptr, needs::erase},
    {opcode::sanitize, sa::exit_failure_mode, "SANITIZE, EXIT FAILURE MODE", "SBC-3 §5.24", no_data,
     access::controls, moment, 10, {0xa0, 0, 0, 0, 0, 0, ff, ff}, plan::sanitize_exit_failure_mode, nullptr, nullptr,
     needs::erase},
    {opcode::log_select, {}, "LOG SELECT", "SPC-4 §6.7", out, access::controls, moment, 10,
     {0x03, ff, ff, 0, 0, 0, ff, ff}, plan::log_select},
    {opcode::log_sense, {}, "LOG SENSE", "SPC-4 §6.8", in, access::always, moment, 10, {0, ff, ff, 0, ff, ff, ff, ff},
     plan::log_sense},
    {opcode::mode_select_10, {}, "MODE SELECT(10)", "SPC-4 §6.12", out, access::controls, moment, 10,
     {0x11, 0, 0, 0, 0, 0, ff, ff}, plan::mode_select_10, plan::accept_mode_select_10},
    {reserve_10, {}, "RESERVE(10)", "SPC-2 §7.21", no_data, access::reservation, moment, 10, {}, plan::reserve_unit},
    {release_10, {}, "RELEASE(10)", "SPC-2 §7.16", no_data, access::reservation, moment, 10, {}, plan::release_unit},
    {opcode::mode_sense_10, {}, "MODE SENSE(10)", "SPC-4 §6.14", in, access::controls, moment, 10,
     {0x18, ff, ff, 0, 0, 0, ff, ff}, plan::mode_sense_10},
    {opcode::persistent_reserve_in, sa::read_keys, "PERSISTENT RESERVE IN, READ KEYS", "SPC-4 §6.15.2", in,
     access::always, moment, 10, {0, 0, 0, 0, 0, 0, ff, ff}, plan::persistent_reserve_in},
    {opcode::persistent_reserve_in, sa::read_reservation, "PERSISTENT RESERVE IN, READ RESERVATION", "SPC-4 §6.15.3",
     in, access::always, moment, 10, {0, 0, 0, 0, 0, 0, ff, ff}, plan::persistent_reserve_in},
    {opcode::persistent_reserve_in, sa::report_capabilities, "PERSISTENT RESERVE IN, REPORT CAPABILITIES",
     "SPC-4 §6.15.4", in, access::always, moment, 10, {0, 0, 0, 0, 0, 0, ff, ff}, plan::persistent_reserve_in},
    {opcode::persistent_reserve_in, sa::read_full_status, "PERSISTENT RESERVE IN, READ FULL STATUS", "SPC-4 §6.15.5",
     in, access::always, moment, 10, {0, 0, 0, 0, 0, 0, ff, ff}, plan::persistent_reserve_in},
    {opcode::persistent_reserve_out, sa::register_key, "PERSISTENT RESERVE OUT, REGISTER", "SPC-4 §5.13.7", out,
     access::reservation, moment, 10, {0, ff, 0, 0, ff, ff, ff, ff}, plan::persistent_reserve_out,
     plan::accept_persistent_reserve_out},
    {opcode::persistent_reserve_out, sa::reserve, "PERSISTENT RESERVE OUT, RESERVE", "SPC-4 §5.13.9", out,
     access::reservation, moment, 10, {0, ff, 0, 0, ff, ff, ff, ff}, plan::persistent_reserve_out,
     plan::accept_persistent_reserve_out},
    {opcode::persistent_reserve_out, sa::release, "PERSISTENT RESERVE OUT, RELEASE", "SPC-4 §5.13.11.2", out,
     access::reservation, moment, 10, {0, ff, 0, 0, ff, ff, ff, ff}, plan::persistent_reserve_out,
     plan::accept_persistent_reserve_out},
    {opcode::persistent_reserve_out, sa::clear, "PERSISTENT RESERVE OUT, CLEAR", "SPC-4 §5.13.11.6", out,
     access::reservation, moment, 10, {0, ff, 0, 0, ff, ff, ff, ff}, plan::persistent_reserve_out,
     plan::accept_persistent_reserve_out},
    {opcode::persistent_reserve_out, sa::preempt, "PERSISTENT RESERVE OUT, PREEMPT", "SPC-4 §5.13.11.4", out,
     access::reservation, moment, 10, {0, ff, 0, 0, ff, ff, ff, ff}, plan::persistent_reserve_out,
     plan::accept_persistent_reserve_out},
    {opcode::persistent_reserve_out, sa::preempt_and_abort, "PERSISTENT RESERVE OUT, PREEMPT AND ABORT",
     "SPC-4 §5.13.11.5", out, access::reservation, moment, 10, {0, ff, 0, 0, ff, ff, ff, ff},
     plan::persistent_reserve_out, plan::accept_persistent_reserve_out},
    {opcode::persistent_reserve_out, sa::register_and_ignore_existing_key,
     "PERSISTENT RESERVE OUT, REGISTER AND IGNORE EXISTING KEY", "SPC-4 §5.13.7", out, access::reservation, moment, 10,
     {0, ff, 0, 0, ff, ff, ff, ff}, plan::persistent_reserve_out, plan::accept_persistent_reserve_out},
    {opcode::persistent_reserve_out, sa::register_and_move, "PERSISTENT RESERVE OUT, REGISTER AND MOVE",
     "SPC-4 §5.13.8", out, access::reservation, moment, 10, {0, ff, 0, 0, ff, ff, ff, ff}, plan::persistent_reserve_out,
     plan::accept_persistent_reserve_out},
    {third_party_copy_out, sa::extended_copy_lid1, "EXTENDED COPY(LID1)", "SPC-4 §6.4", out, access::controls, lengthy,
     16, {0, 0, 0, 0, 0, 0, 0, 0, 0, ff, ff, ff, ff}, plan::extended_copy, plan::accept_extended_copy,
     plan::finish_extended_copy},
    {third_party_copy_in, sa::copy_status_lid1, "RECEIVE COPY STATUS(LID1)", "SPC-4 §6.26", in, access::controls,
     moment, 16, {0, ff, 0, 0, 0, 0, 0, 0, 0, ff, ff, ff, ff}, plan::receive_copy_results},
    {third_party_copy_in, sa::operating_parameters, "RECEIVE COPY OPERATING PARAMETERS", "SPC-4 §6.23", in,
     access::controls, moment, 16, {0, 0, 0, 0, 0, 0, 0, 0, 0, ff, ff, ff, ff}, plan::receive_copy_results},
    {third_party_copy_in, sa::failed_segment_details, "RECEIVE COPY FAILURE DETAILS(LID1)", "SPC-4 §6.22", in,
     access::controls, moment, 16, {0, ff, 0, 0, 0, 0, 0, 0, 0, ff, ff, ff, ff}, plan::receive_copy_results},
    {opcode::read_16, {}, "READ(16)", "SBC-3 §5.13", in, access::reads, media, 16,
     {0x18, ff, ff, ff, ff, ff, ff, ff, ff, ff, ff, ff, ff, 0x1f}, plan::read_16},
    {opcode::compare_and_write, {}, "COMPARE AND WRITE", "SBC-3 §5.2", out, access::writes, media, 16,
     {0x18, ff, ff, ff, ff, ff, ff, ff, ff, 0, 0, 0, ff, 0x1f}, plan::compare_and_write, nullptr, plan::finish_compare},
    {opcode::write_16, {}, "WRITE(16)", "SBC-3 §5.35", out, access::writes, media, 16,
     {0x18, ff, ff, ff, ff, ff, ff, ff, ff, ff, ff, ff, ff, 0x1f}, plan::write_16},
    {opcode::or_write_16, {}, "ORWRITE(16)", "SBC-3 §5.5", out, access::writes, media, 16,
     {0x18, ff, ff, ff, ff, ff, ff, ff, ff, ff, ff, ff, ff, 0x1f}, plan::or_write_16},
    {opcode::write_and_verify_16, {}, "WRITE AND VERIFY(16)", "SBC-3 §5.39", out, access::writes, media, 16,
     {0x12, ff, ff, ff, ff, ff, ff, ff, ff, ff, ff, ff, ff, 0x1f}, plan::write_and_verify_16, nullptr,
     plan::finish_compare},
    {opcode::verify_16, {}, "VERIFY(16)", "SBC-3 §5.31", out, access::reads, media, 16,
     {0x16, ff, ff, ff, ff, ff, ff, ff, ff, ff, ff, ff, ff, 0x1f}, plan::verify_16, nullptr, plan::finish_compare},
    {opcode::pre_fetch_16, {}, "PRE-FETCH(16)", "SBC-3 §5.9", no_data, access::reads, lengthy, 16,
     {0x02, ff, ff, ff, ff, ff, ff, ff, ff, ff, ff, ff, ff, 0x1f}, plan::pre_fetch_16, nullptr, plan::finish_pre_fetch},
    {opcode::synchronize_cache_16, {}, "SYNCHRONIZE CACHE(16)", "SBC-3 §5.27", no_data, access::controls, lengthy, 16,
     {0x02, ff, ff, ff, ff, ff, ff, ff, ff, ff, ff, ff, ff, 0x1f}, plan::synchronize_cache_16},
    {opcode::write_same_16, {}, "WRITE SAME(16)", "SBC-3 §5.44", out, access::writes, lengthy, 16,
     {0x09, ff, ff, ff, ff, ff, ff, ff, ff, ff, ff, ff, ff, 0x1f}, plan::write_same_16},
    {opcode::write_atomic_16, {}, "WRITE ATOMIC(16)", "SBC-4, WRITE ATOMIC(16)", out, access::writes, media, 16,
     {0x18, ff, ff, ff, ff, ff, ff, ff, ff, 0, 0, ff, ff, 0x1f}, plan::write_atomic_16},
    {service_action_in_16, sa::read_capacity_16, "READ CAPACITY(16)", "SBC-3 §5.16", in, access::always, moment, 16,
     {0, 0, 0, 0, 0, 0, 0, 0, 0, ff, ff, ff, ff}, plan::read_capacity_16},
    {service_action_in_16, sa::get_lba_status, "GET LBA STATUS", "SBC-3 §5.4", in, access::reads, media, 16,
     {0, ff, ff, ff, ff, ff, ff, ff, ff, ff, ff, ff, ff}, plan::get_lba_status, nullptr, plan::finish_get_lba_status},
    {opcode::report_luns, {}, "REPORT LUNS", "SPC-4 §6.33", in, access::always, moment, 12,
     {0, ff, 0, 0, 0, ff, ff, ff, ff}, plan::report_luns},
    {maintenance_in, sa::report_identifying_information, "REPORT IDENTIFYING INFORMATION", "SPC-4 §6.32", in,
     access::always, moment, 12, {0, 0, 0, 0, 0, ff, ff, ff, ff, 0xfe}, plan::report_identifying_information},
    {maintenance_in, sa::report_target_port_groups, "REPORT TARGET PORT GROUPS", "SPC-4 §6.37", in, access::always,
     moment, 12, {0xe0, 0, 0, 0, 0, ff, ff, ff, ff}, plan::report_target_port_groups},
    {maintenance_in, sa::report_supported_operation_codes, "REPORT SUPPORTED OPERATION CODES", "SPC-4 §6.35", in,
     access::always, moment, 12, {0, 0x87, ff, ff, ff, ff, ff, ff, ff}, plan::report_supported_operation_codes},
    {maintenance_in, sa::report_supported_task_management_functions, "REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS",
     "SPC-4 §6.36", in, access::always, moment, 12, {0, 0x80, 0, 0, 0, ff, ff, ff, ff},
     plan::report_supported_task_management_functions},
    {maintenance_in, sa::report_priority, "REPORT PRIORITY", "SPC-4 §6.34", in, access::always, moment, 12,
     {0, 0xc0, 0, 0, 0, ff, ff, ff, ff}, plan::report_priority},
    {opcode::read_12, {}, "READ(12)", "SBC-3 §5.12", in, access::reads, media, 12,
     {0x18, ff, ff, ff, ff, ff, ff, ff, ff, 0x1f}, plan::read_12},
    {opcode::write_12, {}, "WRITE(12)", "SBC-3 §5.34", out, access::writes, media, 12,
     {0x18, ff, ff, ff, ff, ff, ff, ff, ff, 0x1f}, plan::write_12},
    {opcode::write_and_verify_12, {}, "WRITE AND VERIFY(12)", "SBC-3 §5.38", out, access::writes, media, 12,
     {0x12, ff, ff, ff, ff, ff, ff, ff, ff, 0x1f}, plan::write_and_verify_12, nullptr, plan::finish_compare},
    {opcode::verify_12, {}, "VERIFY(12)", "SBC-3 §5.30", out, access::reads, media, 12,
     {0x16, ff, ff, ff, ff, ff, ff, ff, ff, 0x1f}, plan::verify_12, nullptr, plan::finish_compare},
    {opcode::read_defect_data_12, {}, "READ DEFECT DATA(12)", "SBC-3 §5.18", in, access::reads, moment, 12,
     {0x1f, ff, ff, ff, ff, ff, ff, ff, ff}, plan::read_defect_data_12},
};
// clang-format on

constexpr std::uint8_t absent = 0xff;
static_assert(std::size(commands) < absent);

constexpr std::uint16_t order_of(const command_spec& spec) {
    return static_cast<std::uint16_t>(static_cast<unsigned>(spec.code) << 8 | spec.action.value_or(0));
}

/// The index of each operation code's first row. Does not compile for rows out of order, which a duplicate is, or for
/// an operation code with and without service actions.
consteval std::array<std::uint8_t, 256> index_by_opcode() {
    std::array<std::uint8_t, 256> index{};
    index.fill(absent);
    for (std::size_t i = 0; i < std::size(commands); ++i) {
        const auto& spec = commands[i];
        if (i > 0 && order_of(commands[i - 1]) >= order_of(spec)) throw "rows out of order, or twice";
        if (i > 0 && commands[i - 1].code == spec.code && !spec.action) throw "operation code twice";
        if (spec.action && (spec.usage[0] & 0x1f) != 0) throw "the service action's bits are added by cdb_usage()";
        auto& first = index[static_cast<std::uint8_t>(spec.code)];
        if (first == absent) first = static_cast<std::uint8_t>(i);
    }
    return index;
}
constexpr auto by_opcode = index_by_opcode();

/// The CDB as two words, so that the check for unknown bits is two ANDs.
struct cdb_words {
    std::uint64_t high = 0;
    std::uint64_t low = 0;
};

consteval std::array<cdb_words, std::size(commands)> unknown_bits_of_all() {
    std::array<cdb_words, std::size(commands)> all{};
    for (std::size_t i = 0; i < std::size(commands); ++i) {
        const auto& spec = commands[i];
        for (std::size_t byte = 1; byte < spec.cdb_bytes; ++byte) {
            std::uint8_t known = spec.usage[byte - 1];
            if (byte == 1 && spec.action) known |= 0x1f;
            const std::uint64_t unknown = static_cast<std::uint8_t>(~known);
            auto& word = byte < 8 ? all[i].high : all[i].low;
            word |= unknown << (56 - 8 * (byte % 8));
        }
    }
    return all;
}
constexpr auto unknown_bits = unknown_bits_of_all();

const command_spec* action_row(std::uint8_t first, std::uint16_t action) noexcept {
    for (std::size_t i = first; i < std::size(commands) && commands[i].code == commands[first].code; ++i) {
        if (commands[i].action == action) return &commands[i];
    }
    return nullptr;
}

}  // namespace

std::span<const command_spec> all_commands() noexcept {
    return commands;
}

const command_spec* find_command(const_bytes cdb) noexcept {
    const auto first = by_opcode[std::to_integer<std::uint8_t>(cdb[0])];
    if (first == absent) return nullptr;
    if (!commands[first].action) return &commands[first];
    return action_row(first, std::to_integer<std::uint8_t>(cdb[1]) & 0x1f);
}

const command_spec* find_command(std::uint8_t code, std::optional<std::uint16_t> action) noexcept {
    const auto first = by_opcode[code];
    if (first == absent || commands[first].action.has_value() != action.has_value()) return nullptr;
    return action ? action_row(first, *action) : &commands[first];
}

bool has_service_actions(std::uint8_t code) noexcept {
    const auto first = by_opcode[code];
    return first != absent && commands[first].action.has_value();
}

std::uint8_t cdb_usage(const command_spec& spec, std::size_t index) noexcept {
    if (index == 0) return static_cast<std::uint8_t>(spec.code);
    const auto bits = spec.usage[index - 1];
    return index == 1 && spec.action ? static_cast<std::uint8_t>(bits | *spec.action) : bits;
}

std::optional<field_pointer> unknown_bit(const command_spec& spec, const_bytes cdb) noexcept {
    const auto& unknown = unknown_bits[static_cast<std::size_t>(&spec - commands)];
    const auto high = boost::endian::big_to_native(load<std::uint64_t>(cdb, 0));
    const auto low = boost::endian::big_to_native(load<std::uint64_t>(cdb, 8));
    if (((high & unknown.high) | (low & unknown.low)) == 0) [[likely]]
        return {};

    const bool in_high = (high & unknown.high) != 0;
    const auto mask = in_high ? unknown.high : unknown.low;
    const auto wrong = (in_high ? high : low) & mask;
    const auto from_top = static_cast<unsigned>(std::countl_zero(wrong));
    const auto byte = static_cast<std::uint16_t>(from_top / 8 + (in_high ? 0 : 8));
    const auto byte_mask = static_cast<std::uint8_t>(mask >> (56 - from_top / 8 * 8));
    std::uint8_t bit = static_cast<std::uint8_t>(7 - from_top % 8);
    while (bit < 7 && (byte_mask >> (bit + 1) & 1) != 0) ++bit;  // the field begins where the unknown bits do
    return field_pointer{.in = field_pointer::part::cdb, .byte = byte, .bit = bit};
}

access access_of(const command_spec& spec, const_bytes cdb) noexcept {
    const auto field = std::to_integer<std::uint8_t>(cdb[4]);
    if (spec.medium == access::start_stop) {
        const bool starts = (field & 0xf1) == 0x01;  // START = 1 and POWER CONDITION = 0
        return starts ? access::always : access::controls;
    }
    if (spec.medium == access::prevent_allow) return (field & 0x03) == 0 ? access::always : access::controls;
    return spec.medium;
}

}  // namespace obd::scsi

// Whole sessions of CDBs and parameter lists on a thin unit: no crash, and every operation within the disk.
//
// Input: records of [nexus and list length: 2 bytes][CDB: 16 bytes][list].
#include "base/limits.hpp"
#include "tests/unit/protocol/scsi/script.hpp"

using namespace obd;

namespace {

void check(const scsi::operation& work) {
    constexpr byte_count disk{test::disk_blocks * 512};
    ASSERT(within(work.offset, work.count, disk));
    ASSERT(work.data_in_bytes <= limits::max_transfer_bytes && work.data_out_bytes <= limits::max_transfer_bytes);
    for (const auto& range : work.ranges) ASSERT(within(range.offset, range.count, disk));
    for (const auto& copy : work.copies)
        ASSERT(within(copy.from, copy.count, disk) && within(copy.to, copy.count, disk));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    auto options = test::unit_on(test::thin_disk());
    options.removable = true;
    options.persist = [](const scsi::persistent_state&) { return result<void>{}; };
    test::script target(std::move(options));
    const auto other = target.another('b');

    byte_reader reader(std::as_bytes(std::span(data, size)));
    while (reader.remaining() >= 18) {
        const auto head = reader.big<std::uint16_t>();
        const auto cdb = reader.take(16);
        auto& nexus = (head & 0x8000) != 0 ? *other : *target.nexus;
        const scsi::command what{.nexus = nexus.id(), .cdb = cdb};
        auto routed = nexus.begin({}, what);
        auto decided = std::move(routed.what);
        if (const auto* wants = std::get_if<scsi::wants_parameters>(&decided)) {
            const auto bytes = std::min<std::size_t>({head & 0xffU, wants->bytes, reader.remaining()});
            decided = routed.unit->parameters(what, reader.take(bytes));
            ASSERT(!std::holds_alternative<scsi::wants_parameters>(decided));
        }
        if (const auto* work = std::get_if<scsi::operation>(&decided)) {
            check(*work);
            static_cast<void>(routed.unit->finish(*work, what, {}));
        }
    }
    return 0;
}

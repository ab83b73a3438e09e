#include "protocol/net/device_operations.hpp"

#include <algorithm>

namespace obd::iscsi {
namespace {

using scsi::operation_kind;
using scsi::operation_result;
using done = asio::awaitable<result<operation_result>>;

// Reads and writes of our own making go in pieces of this size, whatever the range is.
constexpr std::uint64_t piece_bytes = 1 << 20;

std::optional<miscompare> first_difference(byte_offset at, const_bytes found, const_bytes wanted) {
    const auto where = std::mismatch(found.begin(), found.end(), wanted.begin(), wanted.end()).first;
    if (where == found.end()) return std::nullopt;
    return miscompare{at + byte_count{static_cast<std::uint64_t>(where - found.begin())}};
}

done read(const device_work& work) {
    CO_TRYV(co_await work.device->read(work.operation->offset, work.data_in));
    co_return operation_result{};
}

done write(const device_work& work) {
    CO_TRYV(co_await work.device->write(work.operation->offset, work.data_out, work.operation->when));
    co_return operation_result{};
}

done write_atomic(const device_work& work) {
    CO_TRYV(co_await work.device->write_atomic(work.operation->offset, work.data_out, work.operation->when));
    co_return operation_result{};
}

/// Compares `count` bytes of the device with `pattern`, which repeats. With an empty pattern it only reads.
done compare(const device_work& work, byte_offset offset, std::uint64_t count, const_bytes pattern) {
    auto buffer = work.buffers->get(std::min(count, piece_bytes));
    operation_result found;
    for (std::uint64_t position = 0; position < count;) {
        const auto piece = buffer.bytes().first(std::min(count - position, piece_bytes));
        const byte_offset at = offset + byte_count{position};
        CO_TRYV(co_await work.device->read(at, piece));
        for (std::uint64_t i = 0; !pattern.empty() && i < piece.size();) {
            const auto from = pattern.subspan((position + i) % pattern.size());
            const auto length = std::min<std::uint64_t>(from.size(), piece.size() - i);
            found.difference = first_difference(at + byte_count{i}, piece.subspan(i, length), from.first(length));
            if (found.difference) co_return found;
            i += length;
        }
        position += piece.size();
    }
    co_return found;
}

done verify(const device_work& work) {
    return compare(work, work.operation->offset, work.operation->count.value, {});
}

done verify_compare(const device_work& work) {
    const auto& operation = *work.operation;
    const auto count = operation.one_block_pattern ? operation.count.value : std::uint64_t{work.data_out.size()};
    return compare(work, operation.offset, count, work.data_out);
}

done write_and_verify(const device_work& work) {
    const auto& operation = *work.operation;
    CO_TRYV(co_await work.device->write(operation.offset, work.data_out, durability::force_unit_access));
    co_return co_await compare(work, operation.offset, work.data_out.size(), work.data_out);
}

done write_same(const device_work& work) {
    const auto& operation = *work.operation;
    const auto count = operation.count.value;
    if (count == 0) co_return operation_result{};
    if (operation.may_deallocate && is_zero(work.data_out)) {
        CO_TRYV(co_await work.device->discard(operation.offset, operation.count));
        co_return operation_result{};
    }
    auto buffer = work.buffers->get(std::min(count, piece_bytes));
    const auto whole = buffer.bytes();
    if (work.data_out.empty()) {
        std::fill(whole.begin(), whole.end(), std::byte{0});
    } else {
        for (std::size_t i = 0; i < whole.size(); i += work.data_out.size()) {
            std::copy_n(work.data_out.begin(), std::min(work.data_out.size(), whole.size() - i),
                        whole.begin() + static_cast<std::ptrdiff_t>(i));
        }
    }
    for (std::uint64_t position = 0; position < count; position += piece_bytes) {
        const auto piece = whole.first(std::min(count - position, piece_bytes));
        const byte_offset at = operation.offset + byte_count{position};
        CO_TRYV(co_await work.device->write(at, piece, operation.when));
    }
    co_return operation_result{};
}

// SBC-3 §5.5: as one step for each logical block range; compare_and_write makes it so against concurrent writes.
done or_write(const device_work& work) {
    const auto& operation = *work.operation;
    auto before = work.buffers->get(work.data_out.size());
    auto after = work.buffers->get(work.data_out.size());
    while (true) {
        CO_TRYV(co_await work.device->read(operation.offset, before.bytes()));
        std::transform(before.bytes().begin(), before.bytes().end(), work.data_out.begin(), after.data(),
                       [](std::byte a, std::byte b) { return a | b; });
        CO_TRY(const auto changed, co_await work.device->compare_and_write(operation.offset, before.bytes(),
                                                                           after.bytes(), operation.when));
        if (!changed) co_return operation_result{};
    }
}

done compare_and_write(const device_work& work) {
    const auto half = work.data_out.size() / 2;
    const auto expected = work.data_out.first(half);
    const auto data = work.data_out.subspan(half);
    operation_result found;
    CO_TRY(found.difference,
           co_await work.device->compare_and_write(work.operation->offset, expected, data, work.operation->when));
    co_return found;
}

done discard(const device_work& work) {
    for (const auto& range : work.operation->ranges) {
        CO_TRYV(co_await work.device->discard(range.offset, range.count));
    }
    co_return operation_result{};
}

done flush(const device_work& work) {
    CO_TRYV(co_await work.device->flush());
    co_return operation_result{};
}

done prefetch(const device_work& work) {
    CO_TRYV(co_await work.device->prefetch(work.operation->offset, work.operation->count));
    co_return operation_result{};
}

done extents(const device_work& work) {
    const auto& operation = *work.operation;
    operation_result found;
    CO_TRY(found.found_extents,
           co_await work.device->extents(operation.offset, operation.count, operation.extent_limit));
    co_return found;
}

done copy(const device_work& work) {
    auto buffer = work.buffers->get(piece_bytes);
    for (const auto& segment : work.operation->copies) {
        for (std::uint64_t position = 0; position < segment.count.value;) {
            const auto piece = buffer.bytes().first(std::min(segment.count.value - position, piece_bytes));
            const byte_offset from = segment.from + byte_count{position};
            const byte_offset to = segment.to + byte_count{position};
            CO_TRYV(co_await segment.source->read(from, piece));
            CO_TRYV(co_await segment.destination->write(to, piece, work.operation->when));
            position += piece.size();
        }
    }
    co_return operation_result{};
}

done erase(const device_work& work) {
    CO_TRYV(co_await work.device->erase());
    const auto& lease = work.operation->lease;
    if (lease != nullptr) lease->succeeded();
    co_return operation_result{};
}

}  // namespace

asio::awaitable<result<scsi::operation_result>> run_operation(const device_work& work) {
    switch (work.operation->kind) {
        case operation_kind::read:
            return read(work);
        case operation_kind::write:
            return write(work);
        case operation_kind::write_atomic:
            return write_atomic(work);
        case operation_kind::write_and_verify:
            return write_and_verify(work);
        case operation_kind::verify:
            return verify(work);
        case operation_kind::verify_compare:
            return verify_compare(work);
        case operation_kind::write_same:
            return write_same(work);
        case operation_kind::or_write:
            return or_write(work);
        case operation_kind::compare_and_write:
            return compare_and_write(work);
        case operation_kind::discard:
            return discard(work);
        case operation_kind::flush:
            return flush(work);
        case operation_kind::prefetch:
            return prefetch(work);
        case operation_kind::extents:
            return extents(work);
        case operation_kind::copy:
            return copy(work);
        case operation_kind::erase:
            return erase(work);
    }
    ASSERT(!"an operation of no known kind");
}

}  // namespace obd::iscsi

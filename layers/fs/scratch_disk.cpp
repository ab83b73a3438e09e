#include "layers/fs/scratch_disk.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <string>

namespace obd::fs {
namespace {

constexpr std::uint64_t block_bytes = 4096;
constexpr std::uint64_t visit_bytes = 1u << 20;

}  // namespace

scratch_disk::scratch_disk(sync_disk* below, byte_count size, int descriptor)
    : below_(below),
      size_(size),
      descriptor_(descriptor),
      blocks_(align_up(size.value, block_bytes) / block_bytes),
      written_((blocks_ + 63) / 64) {}

scratch_disk::~scratch_disk() {
    ::close(descriptor_);
}

result<std::unique_ptr<scratch_disk>> scratch_disk::create(sync_disk* below, byte_count size,
                                                           const std::filesystem::path& directory) {
    int descriptor = ::open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (descriptor < 0 && (errno == EOPNOTSUPP || errno == EISDIR)) {
        auto name = (directory / "overlaybd-scratch-XXXXXX").string();
        descriptor = ::mkostemp(name.data(), O_CLOEXEC);
        if (descriptor >= 0) ::unlink(name.c_str());
    }
    if (descriptor < 0) return fail_errno("a temporary file in " + directory.string());
    return std::unique_ptr<scratch_disk>(new scratch_disk(below, size, descriptor));
}

std::uint64_t scratch_disk::next_written(std::uint64_t block) const {
    for (; block < blocks_; block = (block / 64 + 1) * 64) {
        const auto rest = written_[block / 64] >> (block % 64);
        if (rest != 0) return block + static_cast<std::uint64_t>(std::countr_zero(rest));
    }
    return blocks_;
}

result<void> scratch_disk::read_below(byte_offset offset, mutable_bytes out) {
    const auto end = below_ == nullptr ? 0 : below_->size().value;
    const auto there = offset.value >= end ? 0 : std::min<std::uint64_t>(out.size(), end - offset.value);
    std::ranges::fill(out.subspan(there), std::byte{0});
    if (there == 0) return {};
    return below_->read(offset, out.first(there));
}

result<void> scratch_disk::read_file(byte_offset offset, mutable_bytes out) {
    while (!out.empty()) {
        const auto count = ::pread(descriptor_, out.data(), out.size(), static_cast<off_t>(offset.value));
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return fail_errno("temporary file");
        if (count == 0) {  // the last write was a discard, which does not make the file longer
            std::ranges::fill(out, std::byte{0});
            return {};
        }
        out = out.subspan(static_cast<std::size_t>(count));
        offset = offset + byte_count{static_cast<std::uint64_t>(count)};
    }
    return {};
}

result<void> scratch_disk::write_file(byte_offset offset, const_bytes data) {
    while (!data.empty()) {
        const auto count = ::pwrite(descriptor_, data.data(), data.size(), static_cast<off_t>(offset.value));
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return fail_errno("temporary file");
        data = data.subspan(static_cast<std::size_t>(count));
        offset = offset + byte_count{static_cast<std::uint64_t>(count)};
    }
    return {};
}

result<void> scratch_disk::read(byte_offset offset, mutable_bytes out) {
    TRYV(check_range(offset, out.size()));
    while (!out.empty()) {
        const auto block = offset.value / block_bytes;
        const bool here = is_written(block);
        auto end = block + 1;
        while (end * block_bytes < offset.value + out.size() && is_written(end) == here) ++end;
        const auto count = std::min<std::uint64_t>(out.size(), end * block_bytes - offset.value);
        if (here) {
            TRYV(read_file(offset, out.first(count)));
        } else {
            TRYV(read_below(offset, out.first(count)));
        }
        out = out.subspan(count);
        offset.value += count;
    }
    return {};
}

result<void> scratch_disk::write(byte_offset offset, const_bytes data) {
    TRYV(check_range(offset, data.size()));
    while (!data.empty()) {
        const auto start = offset.value % block_bytes;
        const bool whole = start == 0 && data.size() >= block_bytes;
        const auto count =
            whole ? align_down(data.size(), block_bytes) : std::min<std::uint64_t>(data.size(), block_bytes - start);
        const auto block = offset.value / block_bytes;
        if (whole || is_written(block)) {
            TRYV(write_file(offset, data.first(count)));
        } else {
            std::array<std::byte, block_bytes> filled;
            const auto rest = std::min(block_bytes, size_.value - block * block_bytes);
            TRYV(read_below({block * block_bytes}, mutable_bytes(filled).first(rest)));
            std::memcpy(filled.data() + start, data.data(), count);
            TRYV(write_file({block * block_bytes}, const_bytes(filled).first(rest)));
        }
        for (auto done = block; done < (offset.value + count + block_bytes - 1) / block_bytes; ++done)
            set_written(done);
        data = data.subspan(count);
        offset.value += count;
    }
    return {};
}

result<void> scratch_disk::discard(byte_offset offset, byte_count count) {
    TRYV(check_range(offset, count.value));
    const auto first = align_up(offset.value, block_bytes), end = align_down(offset.value + count.value, block_bytes);
    const std::array<std::byte, block_bytes> zeros{};
    if (first >= end) {
        for (std::uint64_t done = 0; done < count.value; done += sector_bytes) {
            TRYV(write({offset.value + done}, const_bytes(zeros).first(sector_bytes)));
        }
        return {};
    }
    if (offset.value < first) {
        TRYV(write(offset, const_bytes(zeros).first(first - offset.value)));
    }
    if (::fallocate(descriptor_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(first),
                    static_cast<off_t>(end - first)) != 0)
        return fail_errno("temporary file");
    for (auto block = first / block_bytes; block < end / block_bytes; ++block) set_written(block);
    const auto tail = offset.value + count.value - end;
    return tail == 0 ? result<void>() : write({end}, const_bytes(zeros).first(tail));
}

void scratch_disk::forget(byte_offset offset, byte_count count) noexcept {
    const auto first = align_up(offset.value, block_bytes) / block_bytes;
    const auto end = std::min(blocks_, align_down(offset.value + count.value, block_bytes) / block_bytes);
    for (auto block = next_written(first); block < end; block = next_written(block + 1))
        written_[block / 64] &= ~(std::uint64_t{1} << (block % 64));
}

result<void> scratch_disk::visit_blocks(std::uint64_t first, const_bytes now, const change_visitor& visitor) {
    std::vector<std::byte> before(now.size());
    TRYV(read_below({first * block_bytes}, before));
    enum class kind { same, zeroed, data };
    const auto kind_at = [&](std::size_t at) {
        const auto length = std::min<std::size_t>(block_bytes, now.size() - at);
        const auto block = now.subspan(at, length);
        if (std::memcmp(block.data(), before.data() + at, length) == 0) return kind::same;
        return is_zero(block) ? kind::zeroed : kind::data;
    };
    for (std::size_t at = 0; at < now.size();) {
        const auto what = kind_at(at);
        auto end = at;
        do end += block_bytes;
        while (end < now.size() && kind_at(end) == what);
        end = std::min(end, now.size());
        const byte_offset position{first * block_bytes + at};
        if (what == kind::data) {
            TRYV(visitor.data(position, now.subspan(at, end - at)));
        } else if (what == kind::zeroed) {
            TRYV(visitor.zeroed(position, {end - at}));
        }
        at = end;
    }
    return {};
}

result<void> scratch_disk::visit_changes(const change_visitor& visitor) {
    std::vector<std::byte> buffer(visit_bytes);
    for (auto block = next_written(0); block < blocks_;) {
        auto end = block + 1;
        while (end < blocks_ && end - block < visit_bytes / block_bytes && is_written(end)) ++end;
        const auto count = std::min(end * block_bytes, size_.value) - block * block_bytes;
        const auto now = mutable_bytes(buffer).first(count);
        TRYV(read_file({block * block_bytes}, now));
        TRYV(visit_blocks(block, now, visitor));
        block = next_written(end);
    }
    return {};
}

}  // namespace obd::fs

#include "registry/extent_file.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>

#include "base/crc32c.hpp"
#include "base/digest.hpp"

namespace obd::registry {
namespace {

constexpr std::array<char, 8> map_magic{'O', 'B', 'D', 'C', 'A', 'C', 'H', 'E'};
constexpr std::uint32_t map_version = 1;
constexpr std::uint32_t smallest_extent = 4096;
constexpr std::uint32_t largest_extent = 64 << 20;

std::filesystem::path with_suffix(std::filesystem::path stem, const char* suffix) {
    return stem += suffix;
}

std::array<std::byte, 32> raw_digest(std::string_view digest) {
    std::array<std::byte, 32> out{};
    const auto bytes = from_hex(digest.substr(digest.find(':') + 1));
    if (bytes && bytes->size() == out.size()) std::copy(bytes->begin(), bytes->end(), out.begin());
    return out;
}

std::uint32_t header_crc(const cache_map_header& header) {
    return crc32c(bytes_of(header).first(offsetof(cache_map_header, header_crc)));
}

cache_map_header make_header(const extent_layout& layout) {
    cache_map_header header{};
    header.magic = map_magic;
    header.version = map_version;
    header.extent_bytes = layout.extent_bytes;
    header.blob_bytes = layout.blob_size.value;
    header.digest = raw_digest(layout.digest);
    header.header_crc = header_crc(header);
    return header;
}

/// All of it or an error; restarts after signals and short transfers.
result<void> write_all(int fd, const_bytes data, std::uint64_t offset, const std::filesystem::path& path) {
    while (!data.empty()) {
        const auto done = ::pwrite(fd, data.data(), data.size(), static_cast<off_t>(offset));
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return fail_errno("write " + path.string());
        data = data.subspan(static_cast<std::size_t>(done));
        offset += static_cast<std::uint64_t>(done);
    }
    return {};
}

bool read_all(int fd, mutable_bytes out, std::uint64_t offset, int flags) noexcept {
    while (!out.empty()) {
        const iovec target{out.data(), out.size()};
        const auto done = ::preadv2(fd, &target, 1, static_cast<off_t>(offset), flags);
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) return false;
        out = out.subspan(static_cast<std::size_t>(done));
        offset += static_cast<std::uint64_t>(done);
    }
    return true;
}

result<extent_layout> read_header(int fd, const std::string& digest, const std::filesystem::path& path) {
    cache_map_header header{};
    std::array<std::byte, sizeof header> raw{};
    if (!read_all(fd, raw, 0, 0)) return fail(errc::corrupt, path.string() + ": shorter than its header");
    header = obd::load<cache_map_header>(raw);
    const bool known =
        header.magic == map_magic && header.version == map_version && header.header_crc == header_crc(header);
    if (!known || header.digest != raw_digest(digest))
        return fail(errc::corrupt, path.string() + ": not this blob's map");
    const extent_layout layout{digest, {header.blob_bytes}, header.extent_bytes};
    const bool sane = is_power_of_two(layout.extent_bytes) && layout.extent_bytes >= smallest_extent &&
                      layout.extent_bytes <= largest_extent && layout.blob_size.value != 0 &&
                      layout.blob_size.value / layout.extent_bytes < extents_per_blob;
    if (!sane) return fail(errc::corrupt, path.string() + ": absurd sizes");
    return layout;
}

}  // namespace

owned_fd& owned_fd::operator=(owned_fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
}

owned_fd::~owned_fd() {
    if (fd_ >= 0) ::close(fd_);
}

std::uint64_t extent_layout::bytes_of(std::uint64_t extent) const {
    return std::min<std::uint64_t>(extent_bytes, blob_size.value - extent * extent_bytes);
}

extent_file::extent_file(extent_layout layout, std::filesystem::path stem)
    : layout_(std::move(layout)),
      stem_(std::move(stem)),
      ready_(layout_.extents()),
      unverified_(layout_.extents()),
      recent_(layout_.extents()),
      nowait_flag_(RWF_NOWAIT),
      crcs_(layout_.extents()) {}

result<std::unique_ptr<extent_file>> extent_file::open_existing(const std::string& digest, std::filesystem::path stem) {
    const auto map_path = with_suffix(stem, ".map");
    const auto data_path = with_suffix(stem, ".data");
    owned_fd map(::open(map_path.c_str(), O_RDWR | O_CLOEXEC));
    if (!map) return fail_errno(map_path.string());
    owned_fd data(::open(data_path.c_str(), O_RDWR | O_CLOEXEC));
    if (!data) return fail_errno(data_path.string());
    TRY(auto layout, read_header(map.get(), digest, map_path));
    auto file = std::make_unique<extent_file>(std::move(layout), std::move(stem));
    const auto extents = file->layout_.extents();
    std::vector<std::byte> records(extents * sizeof(cache_map_record));
    // A map that ends early (power loss) has no records there.
    for (std::size_t at = 0; at < records.size();) {
        const auto rest = std::span(records).subspan(at);
        const auto done =
            ::pread(map.get(), rest.data(), rest.size(), static_cast<off_t>(sizeof(cache_map_header) + at));
        if (done <= 0) break;
        at += static_cast<std::size_t>(done);
    }
    for (std::uint64_t extent = 0; extent < extents; ++extent) {
        const auto record = obd::load<cache_map_record>(records, extent * sizeof(cache_map_record));
        if (record.seal != seal_of(record.data_crc, extent)) continue;
        file->crcs_[extent] = record.data_crc;
        file->unverified_.set(extent);
        file->present_bytes_ += file->layout_.bytes_of(extent);
    }
    file->map_ = std::move(map);
    file->data_ = std::move(data);
    file->data_fd_ = file->data_.get();
    struct statfs where {};
    // tmpfs knows no RWF_NOWAIT in older kernels, and needs none.
    if (::fstatfs(file->data_.get(), &where) == 0 && where.f_type == TMPFS_MAGIC) file->nowait_flag_ = 0;
    return file;
}

cached_blob::presence extent_file::state(std::uint64_t extent) const noexcept {
    if (ready_.test(extent)) return cached_blob::presence::ready;
    return unverified_.test(extent) ? cached_blob::presence::unverified : cached_blob::presence::absent;
}

bool extent_file::ready(byte_offset offset, std::size_t count) const noexcept {
    if (count == 0 || !within(offset, {count}, layout_.blob_size)) return false;
    const auto last = (offset.value + count - 1) / layout_.extent_bytes;
    for (auto extent = offset.value / layout_.extent_bytes; extent <= last; ++extent) {
        if (!ready_.test(extent)) return false;
    }
    return true;
}

attempt extent_file::try_read(byte_offset offset, mutable_bytes out) noexcept {
    return guarded_read(offset, out, nowait_flag_.load(std::memory_order_relaxed));
}

attempt extent_file::read(byte_offset offset, mutable_bytes out) noexcept {
    return guarded_read(offset, out, 0);
}

attempt extent_file::guarded_read(byte_offset offset, mutable_bytes out, int flags) noexcept {
    // Eviction clears the bit, counts up, then frees the place. A bit that we see set after the first count was
    // cleared, if at all, before a later count; so with equal counts no place was freed before our read was over.
    const auto before = evictions_.load();
    if (!ready(offset, out.size())) return attempt::would_block;
    if (!read_all(data_fd_.load(std::memory_order_relaxed), out, offset.value, flags)) return attempt::would_block;
    if (evictions_.load() != before) return attempt::would_block;
    const auto last = (offset.value + out.size() - 1) / layout_.extent_bytes;
    for (auto extent = offset.value / layout_.extent_bytes; extent <= last; ++extent) {
        if (!recent_.test(extent)) recent_.set(extent);  // tested first: the cache line stays shared between readers
    }
    return attempt::complete;
}

bool extent_file::load(std::uint64_t extent, mutable_bytes out) noexcept {
    if (!unverified_.test(extent)) return false;
    const bool complete = read_all(data_fd_.load(), out, extent * layout_.extent_bytes, 0);
    std::unique_lock lock(mutex_);
    if (!unverified_.test(extent)) return false;  // evicted meanwhile
    if (complete && crc32c(out) == crcs_[extent]) {
        ready_.set(extent);
        recent_.set(extent);
        unverified_.clear(extent);
        return true;
    }
    lock.unlock();
    drop(extent);
    return false;
}

result<void> extent_file::store(std::uint64_t extent, const_bytes data) {
    ASSERT(data.size() == layout_.bytes_of(extent));
    {
        const std::scoped_lock lock(mutex_);
        TRYV(create_files());
    }
    TRYV(write_all(data_.get(), data, extent * layout_.extent_bytes, with_suffix(stem_, ".data")));
    const auto crc = crc32c(data);
    cache_map_record record{};
    record.data_crc = crc;
    record.seal = seal_of(crc, extent);
    const std::scoped_lock lock(mutex_);
    TRYV(write_record(extent, record));
    const bool there_already = ready_.test(extent) || unverified_.test(extent);
    crcs_[extent] = crc;
    recent_.set(extent);
    ready_.set(extent);
    unverified_.clear(extent);
    if (!there_already) present_bytes_ += data.size();
    return {};
}

std::uint64_t extent_file::drop(std::uint64_t extent) noexcept {
    const std::scoped_lock lock(mutex_);
    if (!ready_.test(extent) && !unverified_.test(extent)) return 0;
    ready_.clear(extent);
    unverified_.clear(extent);
    evictions_.fetch_add(1);  // between the bit and the place: see guarded_read()
    const auto bytes = layout_.bytes_of(extent);
    // The record first: a record without bytes would be found out by its checksum, but costs a read. Both may fail on a
    // sick disk; then the checksum decides at the next start.
    static_cast<void>(write_record(extent, {}));
    static_cast<void>(::fallocate(data_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                  static_cast<off_t>(extent * layout_.extent_bytes), static_cast<off_t>(bytes)));
    present_bytes_ -= bytes;
    return bytes;
}

bool extent_file::take_recent_use(std::uint64_t extent) noexcept {
    const bool was = recent_.test(extent);
    if (was) recent_.clear(extent);
    return was;
}

void extent_file::mark_used() noexcept {
    const std::scoped_lock lock(mutex_);
    if (map_) static_cast<void>(::futimens(map_.get(), nullptr));
}

result<void> extent_file::create_files() {
    if (data_) return {};
    const auto data_path = with_suffix(stem_, ".data");
    const auto map_path = with_suffix(stem_, ".map");
    owned_fd data(::open(data_path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (!data) return fail_errno(data_path.string());
    if (::ftruncate(data.get(), static_cast<off_t>(layout_.blob_size.value)) != 0)
        return fail_errno(data_path.string());
    owned_fd map(::open(map_path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (!map) return fail_errno(map_path.string());
    TRYV(write_all(map.get(), bytes_of(make_header(layout_)), 0, map_path));
    struct statfs where {};
    if (::fstatfs(data.get(), &where) == 0 && where.f_type == TMPFS_MAGIC) nowait_flag_ = 0;
    data_fd_ = data.get();
    data_ = std::move(data);
    map_ = std::move(map);
    return {};
}

result<void> extent_file::write_record(std::uint64_t extent, cache_map_record record) {
    if (!map_) return {};
    return write_all(map_.get(), bytes_of(record), sizeof(cache_map_header) + extent * sizeof(cache_map_record),
                     with_suffix(stem_, ".map"));
}

}  // namespace obd::registry

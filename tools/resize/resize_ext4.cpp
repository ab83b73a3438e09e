#include "tools/resize/resize_ext4.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "layers/fs/sync_disk.hpp"
#include "layers/write/blocking.hpp"
#include "tools/image/run_program.hpp"

namespace obd::tools {
namespace {

constexpr std::uint64_t step_bytes = 1u << 20;
constexpr std::uint64_t compare_bytes = 4096;
constexpr std::size_t extents_at_once = 1024;

/// A sparse file that is removed when it is done with.
class scratch_file {
public:
    static result<scratch_file> create(const std::filesystem::path& directory, byte_count size) {
        auto name = (directory / "overlaybd-resize-XXXXXX").string();
        const int descriptor = ::mkostemp(name.data(), O_CLOEXEC);
        if (descriptor < 0) return fail_errno("a temporary file in " + directory.string());
        scratch_file file(descriptor, name);
        if (::ftruncate(descriptor, static_cast<off_t>(size.value)) != 0) return fail_errno(name);
        return file;
    }
    scratch_file(scratch_file&& other) noexcept
        : descriptor_(std::exchange(other.descriptor_, -1)), path_(std::move(other.path_)) {}
    scratch_file& operator=(scratch_file&&) = delete;
    ~scratch_file() {
        if (descriptor_ < 0) return;
        ::close(descriptor_);
        ::unlink(path_.c_str());
    }
    int descriptor() const { return descriptor_; }
    const std::string& path() const { return path_; }

private:
    scratch_file(int descriptor, std::string path) : descriptor_(descriptor), path_(std::move(path)) {}
    int descriptor_;
    std::string path_;
};

/// Calls `visit` with steps of at most step_bytes that cover everything that may hold data.
template <typename Function>
result<void> for_data(block_device& disk, Function visit) {
    const auto size = disk.geometry().size.value;
    for (std::uint64_t at = 0; at < size;) {
        TRY(const auto found, layers::run_blocking(disk.extents({at}, {size - at}, extents_at_once)));
        if (found.empty()) return fail(errc::io_error, "the disk does not say where its data lies");
        for (const auto& extent : found) {
            at = extent.offset.value + extent.length.value;
            if (extent.state != device_extent::kind::data) continue;
            for (auto begin = extent.offset.value; begin < at; begin += step_bytes) {
                TRYV(visit(byte_offset{begin}, std::min(step_bytes, at - begin)));
            }
        }
    }
    return {};
}

result<void> copy_out(block_device& device, fs::sync_disk& disk, const scratch_file& to) {
    std::vector<std::byte> buffer(step_bytes);
    return for_data(device, [&](byte_offset at, std::uint64_t count) -> result<void> {
        const auto part = mutable_bytes(buffer).first(count);
        TRYV(disk.read(at, part));
        for (std::size_t done = 0; done < count;) {
            const auto written =
                ::pwrite(to.descriptor(), part.data() + done, count - done, static_cast<off_t>(at.value + done));
            if (written < 0 && errno != EINTR) return fail_errno(to.path());
            if (written > 0) done += static_cast<std::size_t>(written);
        }
        return {};
    });
}

/// Writes what differs. What the tools freed is a hole in the file or old bytes: no matter.
result<void> copy_back(fs::sync_disk& disk, const scratch_file& from, byte_count wanted) {
    std::vector<std::byte> now(step_bytes), before(step_bytes);
    const auto size = wanted.value;
    for (std::uint64_t at = 0; at < size;) {
        const auto data = ::lseek(from.descriptor(), static_cast<off_t>(at), SEEK_DATA);
        if (data < 0 && errno == ENXIO) break;
        if (data < 0) return fail_errno(from.path());
        at = align_down(static_cast<std::uint64_t>(data), compare_bytes);
        if (at >= size) break;
        const auto count = std::min(step_bytes, size - at);
        if (::pread(from.descriptor(), now.data(), count, static_cast<off_t>(at)) != static_cast<ssize_t>(count))
            return fail_errno(from.path());
        TRYV(disk.read({at}, mutable_bytes(before).first(count)));
        for (std::uint64_t block = 0; block < count; block += compare_bytes) {
            const auto length = std::min(compare_bytes, count - block);
            if (std::memcmp(now.data() + block, before.data() + block, length) == 0) continue;
            TRYV(disk.write({at + block}, const_bytes(now).subspan(block, length)));
        }
        at += count;
    }
    return disk.flush();
}

}  // namespace

result<void> resize_ext4(block_device& device, byte_count wanted, const std::filesystem::path& scratch) {
    const auto size = device.geometry().size;
    ASSERT(wanted <= size);
    const auto disk = fs::make_device_disk(device);
    TRY(const auto file, scratch_file::create(scratch, size));
    TRYV(copy_out(device, *disk, file));
    TRY(const auto checked, run_program({"e2fsck", "-f", "-p", file.path()}, "e2fsprogs"));
    if (checked > 1) return fail(errc::corrupt, "the file system needs a repair that e2fsck does not do by itself");
    const auto kib = std::to_string(wanted.value / 1024) + "K";
    TRY(const auto resized, run_program({"resize2fs", "-p", file.path(), kib}, "e2fsprogs"));
    if (resized != 0 && wanted < size)
        return fail(errc::out_of_space, "the file system's contents do not fit into " + kib + " (see resize2fs above)");
    if (resized != 0) return fail(errc::io_error, "resize2fs failed with status " + std::to_string(resized));
    return copy_back(*disk, file, wanted);
}

}  // namespace obd::tools

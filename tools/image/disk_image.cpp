#include "tools/image/disk_image.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "tools/image/run_program.hpp"

namespace obd::tools {
namespace {

constexpr std::uint64_t block_bytes = 4096;
constexpr std::uint64_t step_bytes = 1 << 20;

result<int> open_file(const std::filesystem::path& path) {
    const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) return fail_errno(path.string());
    return descriptor;
}

/// A qcow2 file may name other files of this machine as its contents; a stranger's must not.
/// QEMU's docs/interop/qcow2.txt, "Header".
result<void> check_alone(const std::filesystem::path& path) {
    TRY(const auto descriptor, open_file(path));
    std::array<std::byte, 80> header{};
    const auto count = ::pread(descriptor, header.data(), header.size(), 0);
    ::close(descriptor);
    if (count < 72) return fail(errc::corrupt, path.string() + ": a qcow2 header that is cut off");
    byte_reader reader(header);
    reader.skip(4);
    const auto version = reader.big<std::uint32_t>();
    const auto backing_file = reader.big<std::uint64_t>();
    reader.skip(72 - 16);
    const auto features = version >= 3 ? reader.big<std::uint64_t>() : 0;
    constexpr std::uint64_t external_data = 4;
    if (backing_file != 0 || (features & external_data) != 0)
        return fail(errc::unsupported, path.string() +
                                           ": is not complete without another file (qemu-img rebase, or "
                                           "convert, makes it so)");
    return {};
}

/// Gives `take` the runs of blocks that are not zero.
result<void> give_blocks(byte_offset at, const_bytes bytes,
                         const std::function<result<void>(byte_offset, const_bytes)>& take) {
    for (std::size_t begin = 0; begin < bytes.size();) {
        if (is_zero(bytes.subspan(begin, block_bytes))) {
            begin += block_bytes;
            continue;
        }
        auto end = begin + block_bytes;
        while (end < bytes.size() && !is_zero(bytes.subspan(end, block_bytes))) end += block_bytes;
        TRYV(take({at.value + begin}, bytes.subspan(begin, end - begin)));
        begin = end;
    }
    return {};
}

}  // namespace

bool disk_image::is_qcow2(const std::filesystem::path& path) {
    const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0) return false;
    std::array<char, 4> magic{};
    const auto count = ::pread(descriptor, magic.data(), magic.size(), 0);
    ::close(descriptor);
    return count == 4 && std::memcmp(magic.data(), "QFI\xfb", 4) == 0;
}

result<disk_image> disk_image::open(const std::filesystem::path& path, disk_part part,
                                    const std::filesystem::path& scratch) {
    std::optional<scratch_directory> work;
    auto raw = path;
    if (is_qcow2(path)) {
        TRY(auto made, scratch_directory::create(scratch));
        raw = made.path() / "disk.raw";
        work.emplace(std::move(made));
        TRYV(check_alone(path));
        const auto source = std::filesystem::absolute(path).string();  // never an option, never a protocol
        TRY(const auto status,
            run_program({"qemu-img", "convert", "-f", "qcow2", "-O", "raw", source, raw.string()}, "qemu-utils"));
        if (status != 0) return fail(errc::corrupt, path.string() + ": qemu-img cannot read it");
    }
    TRY(const auto descriptor, open_file(raw));
    disk_image opened(descriptor, std::move(work));
    struct stat status {};
    if (::fstat(descriptor, &status) != 0) return fail_errno(raw.string());
    if (!S_ISREG(status.st_mode)) return fail(errc::invalid_argument, path.string() + ": is no file");
    opened.part_ = {{0}, {static_cast<std::uint64_t>(status.st_size)}};
    if (opened.part_.size.value == 0) return fail(errc::corrupt, path.string() + ": is empty");
    if (part == disk_part::whole) return opened;
    const auto read = [&opened](byte_offset at, mutable_bytes out) { return opened.read(at, out); };
    auto root = find_root(opened.part_.size, read);
    if (!root) return in_context(std::move(root).error(), path.string());
    opened.part_ = *root;
    return opened;
}

disk_image::disk_image(disk_image&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), scratch_(std::move(other.scratch_)), part_(other.part_) {}

disk_image::~disk_image() {
    if (descriptor_ >= 0) ::close(descriptor_);
}

byte_count disk_image::size() const {
    return {align_up(part_.size.value, block_bytes)};
}

/// What lies behind the end of the file is zeros.
result<void> disk_image::read(byte_offset at, mutable_bytes out) const {
    while (!out.empty()) {
        const auto count = ::pread(descriptor_, out.data(), out.size(), static_cast<off_t>(at.value));
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return fail_errno("disk image");
        if (count == 0) {
            std::ranges::fill(out, std::byte{0});
            return {};
        }
        out = out.subspan(static_cast<std::size_t>(count));
        at = at + byte_count{static_cast<std::uint64_t>(count)};
    }
    return {};
}

result<void> disk_image::for_data(const std::function<result<void>(byte_offset, const_bytes)>& take) const {
    std::vector<std::byte> buffer(step_bytes);
    const auto size = part_.size.value;
    for (std::uint64_t at = 0; at < size;) {
        const auto data = ::lseek(descriptor_, static_cast<off_t>(part_.begin.value + at), SEEK_DATA);
        if (data < 0 && errno == ENXIO) return {};
        if (data >= 0)  // else the file system knows no holes
            at = align_down(static_cast<std::uint64_t>(data) - part_.begin.value, block_bytes);
        if (at >= size) return {};
        const auto count = std::min(step_bytes, size - at);
        const auto part = mutable_bytes(buffer).first(align_up(count, block_bytes));
        std::ranges::fill(part.subspan(count), std::byte{0});
        TRYV(read(part_.begin + byte_count{at}, part.first(count)));
        TRYV(give_blocks({at}, part, take));
        at += count;
    }
    return {};
}

}  // namespace obd::tools

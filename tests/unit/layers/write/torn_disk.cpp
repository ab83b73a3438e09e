#include "tests/unit/layers/write/torn_disk.hpp"

#include <algorithm>
#include <cstring>

namespace obd::test {

using layers::file;
using layers::open_mode;

class torn_file final : public file {
public:
    torn_file(torn_disk& disk, std::shared_ptr<torn_content> content, std::string name)
        : disk_(disk), content_(std::move(content)), name_(std::move(name)) {}

    const std::string& name() const noexcept override { return name_; }
    std::uint64_t block_bytes() const noexcept override { return torn_content::block; }

    attempt try_read(byte_offset offset, mutable_bytes out) noexcept override {
        const std::lock_guard lock(content_->mutex);
        copy_out(offset, out);
        return attempt::complete;
    }
    result<void> read(byte_offset offset, mutable_bytes out) override {
        const std::lock_guard lock(content_->mutex);
        copy_out(offset, out);
        return {};
    }

    result<void> write(byte_offset offset, const_bytes bytes) override {
        TRYV(disk_.live());
        const auto used = disk_.capacity_ == 0 ? 0 : disk_.allocated_blocks();
        const std::lock_guard lock(content_->mutex);
        auto& now = content_->seen;
        if (disk_.capacity_ != 0) {
            std::uint64_t fresh = 0;
            for_blocks(offset.value, bytes.size(), [&](std::uint64_t b) { fresh += now.blocks.count(b) == 0; });
            if (used + fresh > disk_.capacity_) return fail(errc::out_of_space, name_);
        }
        grow(offset.value + bytes.size());
        std::copy(bytes.begin(), bytes.end(), now.bytes.begin() + static_cast<std::ptrdiff_t>(offset.value));
        for_blocks(offset.value, bytes.size(), [&](std::uint64_t b) { now.blocks.insert(b); });
        return {};
    }

    result<void> sync() override {
        const std::lock_guard lock(content_->mutex);
        TRYV(disk_.live());
        if (std::exchange(disk_.fail_sync_, false)) return fail(errc::io_error, name_ + ": sync");
        content_->stable = content_->seen;
        return {};
    }

    result<byte_count> size() override {
        const std::lock_guard lock(content_->mutex);
        return byte_count{content_->seen.size};
    }
    result<byte_count> allocated() override {
        const std::lock_guard lock(content_->mutex);
        return byte_count{content_->seen.blocks.size() * torn_content::block};
    }
    result<void> resize(byte_count size) override {
        TRYV(disk_.live());
        const std::lock_guard lock(content_->mutex);
        auto& now = content_->seen;
        if (size.value >= now.size) {
            grow(size.value);
            return {};
        }
        const auto from = static_cast<std::ptrdiff_t>(size.value);
        std::fill(now.bytes.begin() + from, now.bytes.end(), std::byte{0});
        now.blocks.erase(now.blocks.lower_bound(align_up(size.value, torn_content::block) / torn_content::block),
                         now.blocks.end());
        now.size = size.value;
        return {};
    }

    result<void> punch_hole(byte_offset offset, byte_count count) override {
        const std::lock_guard lock(content_->mutex);
        auto& now = content_->seen;
        TRYV(disk_.live());
        const auto end = std::min(offset.value + count.value, now.size);
        if (offset.value >= end) return {};
        std::fill(now.bytes.begin() + static_cast<std::ptrdiff_t>(offset.value),
                  now.bytes.begin() + static_cast<std::ptrdiff_t>(end), std::byte{0});
        const auto first = align_up(offset.value, torn_content::block) / torn_content::block;
        const auto last =
            end == now.size ? align_up(end, torn_content::block) / torn_content::block : end / torn_content::block;
        for (auto b = first; b < last; ++b) now.blocks.erase(b);
        return {};
    }

    result<std::optional<stretch>> next_data(byte_offset from) override {
        const std::lock_guard lock(content_->mutex);
        const auto& now = content_->seen;
        auto first = now.blocks.lower_bound(from.value / torn_content::block);
        if (first == now.blocks.end() || *first * torn_content::block >= now.size) return std::optional<stretch>{};
        auto last = *first;
        for (auto next = std::next(first); next != now.blocks.end() && *next == last + 1; ++next) last = *next;
        return std::optional(stretch{.begin = {std::max(*first * torn_content::block, from.value)},
                                     .end = {std::min((last + 1) * torn_content::block, now.size)}});
    }

    result<mutable_bytes> map(byte_count count) override {
        const std::lock_guard lock(content_->mutex);
        grow(count.value);
        content_->mapped = true;  // the bytes never move from now on
        for_blocks(0, count.value, [&](std::uint64_t b) { content_->seen.blocks.insert(b); });
        return mutable_bytes(content_->seen.bytes).first(count.value);
    }

private:
    template <typename Each>
    static void for_blocks(std::uint64_t offset, std::uint64_t count, Each each) {
        if (count == 0) return;
        for (auto b = offset / torn_content::block; b <= (offset + count - 1) / torn_content::block; ++b) each(b);
    }
    void grow(std::uint64_t size) {
        auto& now = content_->seen;
        now.size = std::max(now.size, size);
        const auto space = align_up(now.size, torn_content::block);
        if (now.bytes.size() >= space) return;
        ASSERT(!content_->mapped);
        now.bytes.resize(space);
    }
    void copy_out(byte_offset offset, mutable_bytes out) const noexcept {
        const auto& now = content_->seen;
        const auto there = offset.value < now.size ? std::min<std::uint64_t>(out.size(), now.size - offset.value) : 0;
        std::copy_n(now.bytes.begin() + static_cast<std::ptrdiff_t>(there > 0 ? offset.value : 0), there, out.begin());
        std::fill(out.begin() + static_cast<std::ptrdiff_t>(there), out.end(), std::byte{0});
    }

    torn_disk& disk_;
    std::shared_ptr<torn_content> content_;
    std::string name_;
};

namespace {

using image = torn_content::image;

/// What is found of a file whose `stable` state was synced and whose `seen` state was not.
image survivor(const image& stable, const image& seen, std::mt19937_64& random) {
    constexpr auto block = torn_content::block;
    const auto pick = [&] { return (random() & 1) != 0; };
    image left;
    left.size = pick() ? seen.size : stable.size;
    left.bytes.resize(std::max(align_up(left.size, block), std::max(stable.bytes.size(), seen.bytes.size())));
    std::set<std::uint64_t> all = stable.blocks;
    all.insert(seen.blocks.begin(), seen.blocks.end());
    for (const auto b : all) {
        const bool was = stable.blocks.count(b) != 0;
        const bool is = seen.blocks.count(b) != 0;
        const bool whole_new = pick();
        if (was != is && !(whole_new ? is : was)) continue;  // a hole
        left.blocks.insert(b);
        for (std::uint64_t at = b * block; at < (b + 1) * block; at += sector_bytes) {
            const bool from_seen = was && is ? pick() : is;
            const auto& from = from_seen ? seen.bytes : stable.bytes;
            if (at + sector_bytes > from.size()) continue;
            std::copy_n(from.begin() + static_cast<std::ptrdiff_t>(at), sector_bytes,
                        left.bytes.begin() + static_cast<std::ptrdiff_t>(at));
        }
    }
    const auto end = align_up(left.size, block);
    left.bytes.resize(end);
    std::fill(left.bytes.begin() + static_cast<std::ptrdiff_t>(left.size), left.bytes.end(), std::byte{0});
    left.blocks.erase(left.blocks.lower_bound(end / block), left.blocks.end());
    return left;
}

}  // namespace

result<void> torn_disk::live() {
    const std::lock_guard lock(mutex_);
    if (!left_to_live_) return {};
    if (*left_to_live_ == 0) return fail(errc::io_error, "the machine is dead");
    --*left_to_live_;
    return {};
}

result<std::shared_ptr<file>> torn_disk::open(const std::filesystem::path& path, open_mode mode) {
    if (dead()) return fail(errc::io_error, "the machine is dead");
    const std::lock_guard lock(mutex_);
    const auto found = seen_.find(path.string());
    if (found == seen_.end() && (mode == open_mode::existing || mode == open_mode::read_only)) {
        return fail(errc::not_found, path.string());
    }
    if (found != seen_.end() && mode == open_mode::create) return fail(errc::already_exists, path.string());
    if (found == seen_.end()) seen_[path.string()] = std::make_shared<torn_content>();
    return std::shared_ptr<file>(std::make_shared<torn_file>(*this, seen_[path.string()], path.string()));
}

result<bool> torn_disk::exists(const std::filesystem::path& path) {
    const std::lock_guard lock(mutex_);
    return seen_.count(path.string()) != 0;
}

result<void> torn_disk::remove(const std::filesystem::path& path) {
    TRYV(live());
    const std::lock_guard lock(mutex_);
    seen_.erase(path.string());
    return {};
}

result<void> torn_disk::rename(const std::filesystem::path& from, const std::filesystem::path& to) {
    TRYV(live());
    const std::lock_guard lock(mutex_);
    seen_[to.string()] = seen_.at(from.string());
    seen_.erase(from.string());
    return {};
}

result<void> torn_disk::sync_directory_of(const std::filesystem::path&) {
    TRYV(live());
    const std::lock_guard lock(mutex_);
    stable_ = seen_;
    return {};
}

void torn_disk::lose_power(std::mt19937_64& random) {
    revive();
    names all = stable_;
    all.insert(seen_.begin(), seen_.end());
    names left;
    for (const auto& [name, unused] : all) {
        const auto& from = (random() & 1) != 0 ? seen_ : stable_;
        const auto found = from.find(name);
        if (found != from.end()) left[name] = found->second;
    }
    for (const auto& [name, content] : left) {
        content->seen = survivor(content->stable, content->seen, random);
        content->stable = content->seen;
        content->mapped = false;
    }
    seen_ = left;
    stable_ = left;
}

void torn_disk::settle() {
    for (const auto& [name, content] : seen_) {
        content->stable = content->seen;
        content->mapped = false;
    }
    stable_ = seen_;
}

std::vector<std::byte> torn_disk::read(const std::filesystem::path& path) {
    const auto& now = seen_.at(path.string())->seen;
    return {now.bytes.begin(), now.bytes.begin() + static_cast<std::ptrdiff_t>(now.size)};
}

void torn_disk::write(const std::filesystem::path& path, const std::vector<std::byte>& bytes) {
    seen_[path.string()] = std::make_shared<torn_content>();
    torn_file into(*this, seen_[path.string()], path.string());
    ASSERT(into.write({0}, bytes).has_value());
}

std::uint64_t torn_disk::allocated_blocks() {
    const std::lock_guard lock(mutex_);
    std::uint64_t blocks = 0;
    for (const auto& [name, content] : seen_) blocks += content->seen.blocks.size();
    return blocks;
}

}  // namespace obd::test

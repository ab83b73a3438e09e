// blob_cache over a directory of extent files, with a bound on their bytes. docs/cache.md.
//
// Eviction gives way in two steps: blobs that nobody has open go first, as a whole, the least recently used one first;
// then extents of open blobs by the clock algorithm, which gives an extent that was read since the last turn another
// one.
#include <fcntl.h>
#include <spdlog/logger.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <list>
#include <map>
#include <mutex>
#include <vector>

#include "base/digest.hpp"
#include "registry/blob_cache.hpp"
#include "registry/extent_file.hpp"

namespace obd::registry {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

constexpr auto pause_after_error = 10s;  // a full disk is not asked again for every extent

class extent_cache;

/// A blob in use. Keeps the cache's books right when it goes.
class open_blob final : public cached_blob {
public:
    open_blob(extent_cache& cache, std::unique_ptr<extent_file> file) : cache_(cache), file_(std::move(file)) {}
    ~open_blob() override;

    byte_count size() const noexcept override { return file_->layout().blob_size; }
    std::uint32_t extent_bytes() const noexcept override { return file_->layout().extent_bytes; }
    presence state(std::uint64_t extent) const noexcept override { return file_->state(extent); }
    attempt try_read(byte_offset offset, mutable_bytes out) noexcept override { return file_->try_read(offset, out); }
    attempt read(byte_offset offset, mutable_bytes out) noexcept override { return file_->read(offset, out); }
    bool load(std::uint64_t extent, mutable_bytes out) noexcept override;
    void store(std::uint64_t extent, const_bytes data) noexcept override;
    void drop(std::uint64_t extent) noexcept override;

    extent_file& file() { return *file_; }

private:
    extent_cache& cache_;
    std::unique_ptr<extent_file> file_;
};

class extent_cache final : public blob_cache {
public:
    extent_cache(blob_cache_options options, spdlog::logger& log) : options_(std::move(options)), log_(log) {}

    void start();
    std::shared_ptr<cached_blob> open(std::string_view digest, byte_count size) override;
    byte_count used() const noexcept override;

    void store(extent_file& file, std::uint64_t extent, const_bytes data);
    void add_used(std::int64_t bytes);
    void closed(open_blob& blob);

private:
    struct idle_blob {
        std::string stem;  ///< file name without suffix
        std::uint64_t bytes;
        timespec last_use;
    };

    bool usable();
    void scan();
    bool make_room(std::uint64_t bytes);
    bool evict_idle();
    std::uint64_t evict_open();
    void remove_files(const std::string& stem);
    void complain(const std::string& what);
    fs::path directory() const { return options_.dir / "extents-v1"; }

    const blob_cache_options options_;
    spdlog::logger& log_;

    mutable std::mutex mutex_;
    std::condition_variable closed_;
    owned_fd lock_;                          ///< held: the directory is ours
    std::uint64_t used_ = 0;                 ///< bytes of extents of open and idle blobs
    std::map<std::string, idle_blob> idle_;  ///< by stem
    std::list<open_blob*> open_;             ///< clock order: the hand is at the front
    std::uint64_t hand_extent_ = 0;          ///< within the front blob
    std::chrono::steady_clock::time_point paused_until_{};
};

std::string stem_of(std::string_view digest) {
    return std::string(digest.substr(digest.find(':') + 1));
}

open_blob::~open_blob() {
    cache_.closed(*this);
}

bool open_blob::load(std::uint64_t extent, mutable_bytes out) noexcept {
    const auto before = file_->present_bytes();
    const bool good = file_->load(extent, out);
    if (!good) cache_.add_used(static_cast<std::int64_t>(file_->present_bytes()) - static_cast<std::int64_t>(before));
    return good;
}

void open_blob::store(std::uint64_t extent, const_bytes data) noexcept {
    cache_.store(*file_, extent, data);
}

void open_blob::drop(std::uint64_t extent) noexcept {
    cache_.add_used(-static_cast<std::int64_t>(file_->drop(extent)));
}

void extent_cache::start() {
    const std::scoped_lock lock(mutex_);
    static_cast<void>(usable());
}

/// Takes the directory when that has not happened yet. REQUIRES: mutex_.
bool extent_cache::usable() {
    if (lock_) return true;
    std::error_code error;
    fs::create_directories(directory(), error);
    owned_fd lock(::open((directory() / "lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (!lock) {
        complain("no cache in " + options_.dir.string() + ": " + fail_errno("").code.message());
        return false;
    }
    // Two processes would evict each other's extents unseen.
    if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
        complain("no cache in " + options_.dir.string() + ": another process uses it");
        return false;
    }
    lock_ = std::move(lock);
    scan();
    return true;
}

void extent_cache::scan() {
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(directory(), error)) {
        const auto name = entry.path().filename().string();
        if (!name.ends_with(".data")) continue;
        const auto stem = name.substr(0, name.size() - 5);
        struct stat data {};
        struct stat map {};
        const auto map_path = directory() / (stem + ".map");
        const bool whole = is_sha256_digest("sha256:" + stem) && ::stat(entry.path().c_str(), &data) == 0 &&
                           ::stat(map_path.c_str(), &map) == 0;
        if (!whole) {
            remove_files(stem);
            continue;
        }
        const auto bytes = static_cast<std::uint64_t>(data.st_blocks) * 512;
        idle_[stem] = {stem, bytes, map.st_mtim};
        used_ += bytes;
    }
    if (error) complain("cache directory " + directory().string() + ": " + error.message());
    static_cast<void>(make_room(0));  // the capacity may be smaller than last time
}

std::shared_ptr<cached_blob> extent_cache::open(std::string_view digest, byte_count size) {
    std::unique_lock lock(mutex_);
    // One that is being destroyed just now still writes to the files.
    const auto is_this = [&](open_blob* other) { return other->file().layout().digest == digest; };
    closed_.wait(lock, [&] { return std::none_of(open_.begin(), open_.end(), is_this); });
    const auto stem = stem_of(digest);
    const auto path = directory() / stem;
    std::unique_ptr<extent_file> file;
    if (usable() && idle_.contains(stem)) {
        auto existing = extent_file::open_existing(std::string(digest), path);
        used_ -= idle_[stem].bytes;
        idle_.erase(stem);
        if (existing) {
            file = std::move(*existing);
            used_ += file->present_bytes();
        } else {
            log_.warn("cached blob thrown away: {}", existing.error().message());
            remove_files(stem);
        }
    }
    if (!file) {
        if (size.value == 0) return nullptr;
        const extent_layout layout{std::string(digest), size, options_.extent_bytes};
        file = std::make_unique<extent_file>(layout, path);
    }
    auto blob = std::make_shared<open_blob>(*this, std::move(file));
    open_.push_back(blob.get());
    return blob;
}

void extent_cache::closed(open_blob& blob) {
    const std::scoped_lock lock(mutex_);
    if (!open_.empty() && open_.front() == &blob) hand_extent_ = 0;
    open_.remove(&blob);
    closed_.notify_all();
    blob.file().mark_used();
    const auto bytes = blob.file().present_bytes();
    if (bytes == 0) return;  // used_ has nothing of it either; an empty file pair is found by the next scan
    timespec now{};
    ::clock_gettime(CLOCK_REALTIME, &now);
    const auto stem = stem_of(blob.file().layout().digest);
    idle_[stem] = {stem, bytes, now};
}

byte_count extent_cache::used() const noexcept {
    const std::scoped_lock lock(mutex_);
    return {used_};
}

void extent_cache::add_used(std::int64_t bytes) {
    const std::scoped_lock lock(mutex_);
    used_ += static_cast<std::uint64_t>(bytes);
}

void extent_cache::store(extent_file& file, std::uint64_t extent, const_bytes data) {
    {
        const std::scoped_lock lock(mutex_);
        if (!lock_ || std::chrono::steady_clock::now() < paused_until_ || !make_room(data.size())) return;
        used_ += data.size();  // before the write, so that stores at the same time do not overrun the capacity together
    }
    const auto before = file.present_bytes();
    const auto stored = file.store(extent, data);
    const auto grown = static_cast<std::int64_t>(file.present_bytes()) - static_cast<std::int64_t>(before);
    const std::scoped_lock lock(mutex_);
    if (stored && grown != 0) return;
    used_ -= data.size();
    if (stored) return;
    complain("extent not cached: " + stored.error().message());
    paused_until_ = std::chrono::steady_clock::now() + pause_after_error;
    // A disk that others filled: give some of our own back, so that the next try has a place.
    if (stored.error().is(errc::out_of_space)) static_cast<void>(make_room(options_.capacity.value / 16));
}

/// True if `bytes` more fit. REQUIRES: mutex_.
bool extent_cache::make_room(std::uint64_t bytes) {
    if (bytes > options_.capacity.value) return false;
    while (used_ + bytes > options_.capacity.value) {
        if (evict_idle()) continue;
        const auto freed = evict_open();
        if (freed == 0) return false;
        used_ -= freed;
    }
    return true;
}

bool extent_cache::evict_idle() {
    const auto oldest = std::min_element(idle_.begin(), idle_.end(), [](const auto& a, const auto& b) {
        const auto& x = a.second.last_use;
        const auto& y = b.second.last_use;
        return x.tv_sec != y.tv_sec ? x.tv_sec < y.tv_sec : x.tv_nsec < y.tv_nsec;
    });
    if (oldest == idle_.end()) return false;
    remove_files(oldest->first);
    used_ -= std::min(used_, oldest->second.bytes);
    idle_.erase(oldest);
    return true;
}

/// One extent of an open blob; 0 if there is none.
std::uint64_t extent_cache::evict_open() {
    // Two turns of the clock: the first may find only extents that were read of late.
    for (std::size_t blobs_left = 2 * open_.size() + 1; blobs_left > 0 && !open_.empty(); --blobs_left) {
        auto& file = open_.front()->file();
        const auto extents = file.present_bytes() == 0 ? 0 : file.layout().extents();
        for (; hand_extent_ < extents; ++hand_extent_) {
            if (file.state(hand_extent_) == cached_blob::presence::absent || file.take_recent_use(hand_extent_))
                continue;
            if (const auto freed = file.drop(hand_extent_++); freed != 0) return freed;
        }
        hand_extent_ = 0;
        open_.splice(open_.end(), open_, open_.begin());
    }
    return 0;
}

void extent_cache::remove_files(const std::string& stem) {
    std::error_code error;
    fs::remove(directory() / (stem + ".map"), error);
    fs::remove(directory() / (stem + ".data"), error);
}

/// At most once in pause_after_error by its callers' pause; a cache that is not usable is asked once per opened blob.
void extent_cache::complain(const std::string& what) {
    log_.warn("registry cache: {}", what);
}

}  // namespace

std::unique_ptr<blob_cache> make_extent_cache(blob_cache_options options, spdlog::logger& log) {
    ASSERT(is_power_of_two(options.extent_bytes) && options.extent_bytes >= 4096);
    auto cache = std::make_unique<extent_cache>(std::move(options), log);
    cache->start();
    return cache;
}

}  // namespace obd::registry

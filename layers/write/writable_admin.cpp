// What is done to a writable image as a whole: opening, looking at it, growing, snapshots, closing.
#include <spdlog/logger.h>

#include <algorithm>
#include <utility>

#include "base/digest.hpp"
#include "layers/opened_layer.hpp"
#include "layers/write/file_blob.hpp"
#include "layers/write/host_file.hpp"
#include "layers/write/upper_files.hpp"
#include "layers/write/writable_device.hpp"

namespace obd::layers {
namespace {

/// Opens a gate again when it goes, also when an exception passes.
class reopening {
public:
    explicit reopening(gate& closed) : closed_(&closed) {}
    reopening(const reopening&) = delete;
    reopening& operator=(const reopening&) = delete;
    ~reopening() { closed_->open(); }

private:
    gate* closed_;
};

/// Sets a flag for as long as it lives; false when it was set.
class claim {
public:
    explicit claim(std::atomic<bool>& flag) : flag_(flag), mine_(!flag.exchange(true)) {}
    claim(const claim&) = delete;
    claim& operator=(const claim&) = delete;
    ~claim() {
        if (mine_) flag_ = false;
    }
    bool mine() const { return mine_; }

private:
    std::atomic<bool>& flag_;
    bool mine_;
};

void append_extent(std::vector<device_extent>& to, const device_extent& next) {
    if (!to.empty() && to.back().state == next.state) {
        to.back().length = to.back().length + next.length;
    } else {
        to.push_back(next);
    }
}

}  // namespace

// --- opening ---

asio::awaitable<result<std::shared_ptr<image>>> writable_layers::open(upper_config config,
                                                                      std::shared_ptr<const read_stack> lowers,
                                                                      image_services services) {
    auto files = std::make_shared<host_file_system>();
    const upper_opening how{
        .files = files, .paths = {.data = config.data, .index = config.index}, .inherited_size = lowers->size()};
    auto work = [&how] { return open_upper(how); };
    CO_TRY(auto top, co_await services.workers.run(std::move(work)));
    if (top->identity().virtual_size.value == 0) {
        co_return fail(errc::invalid_argument, config.data + ": the disk has no size, and no layer below gives it one");
    }
    for (const auto& note : top->repairs().notes)
        services.log.warn("repaired file={} reason=\"{}\"", config.data, note);
    writable_device::layer_stack stack{.top = std::move(top), .lowers = std::move(lowers)};
    co_return std::shared_ptr<image>(std::make_shared<writable_device>(std::move(files), std::move(stack), services));
}

std::shared_ptr<writable_image> as_writable(const std::shared_ptr<image>& opened) {
    return std::dynamic_pointer_cast<writable_image>(opened);
}

// --- looking at it ---

asio::awaitable<result<std::vector<device_extent>>> writable_device::extents(byte_offset offset, byte_count count,
                                                                             std::size_t limit) {
    CO_TRYV(check_range(offset, count.value));
    const layer_stack from = current();
    const sector_range range{.start = sector_of(offset), .length = count.value / sector_bytes};
    std::vector<device_extent> all;
    for (const auto& part : from.top->index().lookup(range)) {
        if (all.size() > limit) break;
        const byte_offset start = to_bytes(part.start);
        const byte_count length{part.length * sector_bytes};
        if (part.state == segment::kind::hole) {
            for (const auto& lower : from.lowers->extents(start, length, limit + 1)) append_extent(all, lower);
            continue;
        }
        const bool data = part.state == segment::kind::data;
        append_extent(all, {.offset = start,
                            .length = length,
                            .state = data ? device_extent::kind::data : device_extent::kind::deallocated});
    }
    if (all.size() > limit) all.resize(limit);
    co_return all;
}

asio::awaitable<result<void>> writable_device::prefetch(byte_offset offset, byte_count count) {
    CO_TRYV(check_range(offset, count.value));
    const layer_stack from = current();
    const sector_range range{.start = sector_of(offset), .length = count.value / sector_bytes};
    const auto parts = from.top->index().lookup(range);
    for (const auto& part : parts) {
        if (part.state != segment::kind::hole) continue;
        const byte_count length{part.length * sector_bytes};
        CO_TRYV(co_await from.lowers->prefetch(to_bytes(part.start), length));
    }
    co_return result<void>{};
}

std::vector<layer_summary> writable_device::layers() const {
    const layer_stack now = current();
    auto all = now.lowers->summaries();
    const auto used = now.top->usage();
    all.push_back({.name = now.top->paths().data.string(),
                   .size = used.data + used.index,
                   .form = std::string("lsmt(") + name_of(now.top->identity().kind) + ")",
                   .fetched = {0}});
    return all;
}

std::array<std::byte, 32> writable_device::identity() const {
    const layer_stack now = current();
    sha256 hash;
    const auto below = now.lowers->identity();
    hash.update(below).update(as_bytes(now.top->identity().uuid));
    return std::move(hash).finish();
}

upper_statistics writable_device::statistics() const {
    upper_statistics all;
    all.virtual_size = {size_bytes_.load()};
    const layer_stack now = current();
    const auto used = now.top->usage();
    const auto& repairs = now.top->repairs();
    all.kind = now.top->identity().kind;
    all.paths = now.top->paths();
    all.uuid = now.top->identity().uuid;
    all.data_used = used.data;
    all.index_used = used.index;
    all.quota = now.top->quota();
    all.mappings = now.top->index().size();
    all.flushes = used.flushes;
    all.repaired_entries = repairs.recovered_entries + repairs.dropped_entries;
    return all;
}

void writable_device::set_quota(byte_count most) noexcept {
    quota_ = most.value;
    current().top->set_quota(most);
}

// --- closing ---

asio::awaitable<result<void>> writable_device::close() {
    if (closed_.exchange(true)) co_return result<void>{};
    const bool throwing = co_await asio::this_coro::throw_if_cancelled();
    co_await asio::this_coro::throw_if_cancelled(false);
    auto closed = co_await close_upper();
    co_await asio::this_coro::throw_if_cancelled(throwing);
    co_return closed;
}

asio::awaitable<result<void>> writable_device::close_upper() {
    co_await writes_.close();
    const reopening writes_again(writes_);
    auto work = [top = now_.top] { return top->close(); };
    co_return co_await services_.workers.run(std::move(work));
}

// --- growing ---

asio::awaitable<result<void>> writable_device::resize(byte_count virtual_size) {
    const claim mine(changing_);
    if (!mine.mine()) co_return fail(errc::busy, "a snapshot or resize is under way");
    if (virtual_size.value % sector_bytes != 0) {
        co_return fail(errc::invalid_argument, "size " + std::to_string(virtual_size.value) + " (a multiple of 512)");
    }
    if (virtual_size.value < size_bytes_) {
        co_return fail(errc::invalid_argument,
                       "a disk in use can only grow; it has " + std::to_string(size_bytes_.load()) + " bytes");
    }
    if (virtual_size.value == size_bytes_) co_return result<void>{};
    const bool throwing = co_await asio::this_coro::throw_if_cancelled();
    co_await asio::this_coro::throw_if_cancelled(false);
    auto grown = co_await grow(virtual_size);
    co_await asio::this_coro::throw_if_cancelled(throwing);
    co_return grown;
}

asio::awaitable<result<void>> writable_device::grow(byte_count virtual_size) {
    const auto pass = co_await writes_.enter();
    CO_TRYV(check_range({0}, 0));
    const sector_range added{.start = {size_bytes_ / sector_bytes},
                             .length = (virtual_size.value - size_bytes_) / sector_bytes};
    // Layers below may hold data behind the present end, of a disk that was larger once: it must not come back.
    const bool clean = reads_as_zeros(added);
    auto work = [added, virtual_size, clean, top = now_.top.get()]() -> result<void> {
        if (!clean) {
            TRYV(top->zero(added));
            TRYV(top->flush());
        }
        return top->resize(virtual_size);
    };
    CO_TRYV(co_await services_.workers.run(std::move(work)));
    size_bytes_ = virtual_size.value;
    co_return result<void>{};
}

// --- snapshots ---

asio::awaitable<result<snapshot_report>> writable_device::snapshot(snapshot_request request) {
    const claim mine(changing_);
    if (!mine.mine()) co_return fail(errc::busy, "a snapshot or resize is under way");
    CO_TRYV(check_range({0}, 0));
    // Once the old upper is sealed there is no way back: a cancelled task must not leave it half-way.
    const bool throwing = co_await asio::this_coro::throw_if_cancelled();
    co_await asio::this_coro::throw_if_cancelled(false);
    auto taken = co_await take_snapshot(std::move(request));
    co_await asio::this_coro::throw_if_cancelled(throwing);
    co_return taken;
}

result<std::shared_ptr<upper>> writable_device::open_next_upper(const snapshot_request& request) const {
    TRY(const bool there, files_->exists(request.upper.data));
    if (!there) {
        const create_upper_options fresh{.paths = request.upper,
                                         .kind = request.kind,
                                         .virtual_size = {size_bytes_.load()},
                                         .uuid = {},
                                         .parent_uuid = now_.top->identity().uuid};
        TRYV(create_upper_in(*files_, fresh));
    }
    const upper_opening how{.files = files_, .paths = request.upper, .inherited_size = {size_bytes_.load()}};
    TRY(auto next, open_upper(how));
    if (next->index().size() != 0) {
        return fail(errc::invalid_argument, request.upper.data.string() + ": the new upper layer is not empty");
    }
    if (next->identity().virtual_size.value != size_bytes_) {
        return fail(errc::invalid_argument, request.upper.data.string() + ": is for a disk of " +
                                                std::to_string(next->identity().virtual_size.value) +
                                                " bytes, this one has " + std::to_string(size_bytes_.load()));
    }
    return next;
}

/// The layers below and the sealed upper on top of them.
asio::awaitable<result<std::shared_ptr<const read_stack>>> writable_device::stack_with(const upper& sealed) {
    CO_TRY(const auto size, sealed.data_file()->size());
    auto blob = std::make_shared<file_blob>(sealed.data_file(), size, services_.workers);
    layer_identity who{.name = sealed.paths().data.string(), .digest = {}};
    CO_TRY(auto opened, co_await open_layer(std::move(who), std::move(blob), services_.workers));
    std::vector<std::shared_ptr<const opened_layer>> all(now_.lowers->layers().begin(), now_.lowers->layers().end());
    all.push_back(std::move(opened));
    co_return read_stack::build(std::move(all));
}

asio::awaitable<result<writable_device::layer_stack>> writable_device::seal_and_publish(const snapshot_request& request,
                                                                                        std::shared_ptr<upper> next) {
    auto old = now_.top;
    auto seal = [&old] { return old->seal(); };
    CO_TRYV(co_await services_.workers.run(std::move(seal)));
    auto lowers = co_await stack_with(*old);
    auto publish = [&]() -> result<void> {
        if (!lowers) return lowers.error();
        if (!request.publish) return {};
        return request.publish({.sealed = old->paths().data, .upper = request.upper});
    };
    auto published = co_await services_.workers.run(std::move(publish));
    if (!published) {
        auto unseal = [&old] { return old->unseal(); };
        CO_TRYV(co_await services_.workers.run(std::move(unseal)));
        co_return std::move(published).error();
    }
    co_return layer_stack{.top = std::move(next), .lowers = std::move(*lowers)};
}

asio::awaitable<result<snapshot_report>> writable_device::take_snapshot(snapshot_request request) {
    auto prepare = [this, &request] { return open_next_upper(request); };
    CO_TRY(auto next, co_await services_.workers.run(std::move(prepare)));
    CO_TRYV(co_await flush());  // most of what sealing has to sync, while writes still go on

    const auto begin = std::chrono::steady_clock::now();
    auto old = now_.top;
    {
        co_await writes_.close();
        const reopening writes_again(writes_);
        CO_TRY(auto stack, co_await seal_and_publish(request, std::move(next)));
        co_await reads_.close();
        const reopening reads_again(reads_);
        now_ = std::move(stack);
        now_.top->set_quota({quota_.load()});
        take_shape();
    }
    const auto pause = std::chrono::steady_clock::now() - begin;
    old->data().unlock();  // it may be committed now
    auto tidy = [&old] { return old->remove_side_file(); };
    const auto tidied = co_await services_.workers.run(std::move(tidy));
    if (!tidied) services_.log.warn("side file left behind reason=\"{}\"", tidied.error().message());
    snapshot_report report;
    report.layers = {.sealed = old->paths().data, .upper = request.upper};
    report.pause = std::chrono::duration_cast<std::chrono::microseconds>(pause);
    co_return report;
}

}  // namespace obd::layers

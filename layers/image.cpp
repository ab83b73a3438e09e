#include "layers/image.hpp"

#include <fcntl.h>
#include <spdlog/logger.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <filesystem>
#include <span>
#include <utility>

#include "base/limits.hpp"
#include "layers/concurrent.hpp"
#include "layers/gzip/source.hpp"
#include "layers/layer_pool.hpp"
#include "layers/local_blob.hpp"
#include "layers/read_stack.hpp"
#include "layers/writable_hook.hpp"

namespace obd::layers {
namespace {

/// A read_stack that is nobody's base: what a container image without a writable layer is.
class read_only_image final : public image {
public:
    explicit read_only_image(std::shared_ptr<const read_stack> stack) : stack_(std::move(stack)) {}

    device_geometry geometry() const noexcept override { return {.size = stack_->size()}; }

    attempt try_read(byte_offset offset, mutable_bytes out) noexcept override {
        if (!usable(offset, {out.size()})) return attempt::would_block;
        return stack_->try_read(offset, out);
    }

    asio::awaitable<result<void>> read(byte_offset offset, mutable_bytes out) override {
        CO_TRYV(check(offset, {out.size()}));
        co_return co_await stack_->read(offset, out);
    }

    asio::awaitable<result<void>> write(byte_offset, const_bytes, durability) override { co_return read_only(); }
    asio::awaitable<result<void>> write_atomic(byte_offset, const_bytes, durability) override { co_return read_only(); }
    asio::awaitable<result<std::optional<miscompare>>> compare_and_write(byte_offset, const_bytes, const_bytes,
                                                                         durability) override {
        co_return read_only();
    }
    asio::awaitable<result<void>> discard(byte_offset, byte_count) override { co_return read_only(); }
    asio::awaitable<result<void>> flush() override { co_return result<void>(); }

    asio::awaitable<result<std::vector<device_extent>>> extents(byte_offset offset, byte_count count,
                                                                std::size_t limit) override {
        CO_TRYV(check(offset, count));
        co_return stack_->extents(offset, count, limit);
    }

    asio::awaitable<result<void>> prefetch(byte_offset offset, byte_count count) override {
        CO_TRYV(check(offset, count));
        co_return co_await stack_->prefetch(offset, count);
    }

    std::vector<layer_summary> layers() const override { return stack_->summaries(); }
    std::array<std::byte, 32> identity() const override { return stack_->identity(); }

    asio::awaitable<result<void>> close() override {
        closed_.store(true, std::memory_order_relaxed);
        co_return result<void>();
    }

private:
    static failure read_only() { return fail(errc::read_only, "the image has no writable layer"); }

    bool usable(byte_offset offset, byte_count count) const noexcept {
        return within(offset, count, stack_->size()) && offset.value % sector_bytes == 0 &&
               count.value % sector_bytes == 0 && !closed_.load(std::memory_order_relaxed);
    }
    result<void> check(byte_offset offset, byte_count count) const {
        if (usable(offset, count)) return {};
        if (closed_.load(std::memory_order_relaxed)) return fail(errc::unavailable, "the image is closed");
        return fail(errc::out_of_range, "bytes " + std::to_string(offset.value) + "+" + std::to_string(count.value) +
                                            " of a disk of " + std::to_string(stack_->size().value));
    }

    std::shared_ptr<const read_stack> stack_;
    std::atomic<bool> closed_{false};
};

std::string lower_place(std::size_t number) {
    return "lowers[" + std::to_string(number) + "]";
}

failure not_yet(const std::string& member) {
    return fail(errc::unsupported, member + ": not supported yet");
}

/// What can be said of a config without looking at any layer.
result<void> check_config(const image_config& config) {
    if (config.acceleration_layer && !config.record_trace_path.empty()) {
        return fail(errc::invalid_argument, "accelerationLayer and recordTracePath can't be used together");
    }
    if (!config.record_trace_path.empty()) return not_yet("recordTracePath");
    if (config.acceleration_layer && config.lowers.empty()) {
        return fail(errc::invalid_argument, "accelerationLayer is set, but lowers is empty");
    }
    if (config.lowers.empty() && !config.upper.writable()) {
        return fail(errc::invalid_argument, "neither lowers nor a writable upper: there is nothing to open");
    }
    if (!config.upper.target.empty()) return not_yet("upper.target");
    if (!config.upper.gzip_index.empty()) return not_yet("upper.gzipIndex");
    const std::size_t used = config.lowers.size() - (config.acceleration_layer ? 1 : 0);
    if (used > limits::layers_per_image) {
        return fail(errc::limit_exceeded, "lowers: " + std::to_string(used) + " layers, the limit is " +
                                              std::to_string(limits::layers_per_image));
    }
    for (std::size_t i = 0; i < used; ++i) {
        const lower_config& lower = config.lowers[i];
        if (!lower.gzip_index.empty() && lower.target_file.empty() && lower.target_digest.empty())
            return fail(errc::invalid_argument, lower_place(i) + ".gzipIndex is set, but no target");
        if (lower.file.empty() && lower.dir.empty() && lower.digest.empty()) {
            return fail(errc::invalid_argument, lower_place(i) + " names no file, dir or digest");
        }
    }
    return {};
}

/// The local file to open for a layer, or an empty path. Blocks.
std::filesystem::path local_file_of(const lower_config& lower) {
    std::vector<std::filesystem::path> candidates;
    if (!lower.file.empty()) candidates.emplace_back(lower.file);
    if (!lower.dir.empty()) {
        const std::filesystem::path dir(lower.dir);
        for (const char* name : {"overlaybd.commit", ".commit", "overlaybd.sealed"}) candidates.push_back(dir / name);
    }
    for (const auto& candidate : candidates) {
        std::error_code ignored;
        if (std::filesystem::exists(candidate, ignored)) return candidate;
    }
    return {};
}

failure no_such_layer(const lower_config& lower) {
    std::string looked_at = lower.file;
    if (!lower.dir.empty())
        looked_at += (looked_at.empty() ? "" : ", ") + lower.dir + "/{overlaybd.commit,.commit,overlaybd.sealed}";
    return fail(errc::not_found, "no such layer file: " + looked_at);
}

result<void> check_remote(const image_config& config, const image_services& services, const std::string& digest) {
    if (services.registry == nullptr) {
        return fail(errc::unsupported, "layer " + digest + " is remote, and there is no registry client");
    }
    if (config.repo_blob_url.empty()) {
        return fail(errc::invalid_argument, "layer " + digest + " is remote: empty repoBlobUrl");
    }
    return {};
}

bool is_turbo(const lower_config& lower) {
    return !lower.target_file.empty() || !lower.target_digest.empty();
}

/// The bytes of a local file, or those of a registry's blob when `path` is empty.
asio::awaitable<result<std::shared_ptr<blob_source>>> open_bytes(const image_config& config,
                                                                 const image_services& services,
                                                                 std::filesystem::path path, std::string digest) {
    if (path.empty()) {
        CO_TRYV(check_remote(config, services, digest));
        remote_blob blob{.repo_blob_url = config.repo_blob_url, .digest = std::move(digest), .size = {0}};
        co_return co_await services.registry->open(std::move(blob));
    }
    worker_pool& workers = services.workers;
    auto work = [&workers, &path] { return local_blob::open(path, workers); };
    CO_TRY(auto blob, co_await workers.run(std::move(work)));
    co_return std::shared_ptr<blob_source>(std::move(blob));
}

/// The uncompressed bytes of a TurboOCI layer's target.
asio::awaitable<result<std::shared_ptr<blob_source>>> open_target(std::shared_ptr<blob_source> target,
                                                                  std::filesystem::path gzip_index,
                                                                  worker_pool& workers) {
    std::array<std::byte, 2> start{};
    const mutable_bytes space(start);
    const byte_offset first{0};
    if (target->size().value >= start.size()) {
        CO_TRYV(co_await target->read(first, space));
    }
    const bool is_gzip = start[0] == std::byte{0x1f} && start[1] == std::byte{0x8b};
    if (!is_gzip) co_return target;
    if (gzip_index.empty()) co_return fail(errc::invalid_argument, "the target is gzip, and there is no gzipIndex");
    auto work = [&workers, &gzip_index] { return local_blob::open(gzip_index, workers); };
    CO_TRY(auto index, co_await workers.run(std::move(work)));
    co_return co_await gzip::source::open(std::move(target), std::move(index), workers);
}

/// A TurboOCI layer: file system metadata from `path` or the registry, contents from the target. Not shared.
asio::awaitable<result<std::shared_ptr<const opened_layer>>> open_turbo(const image_config& config,
                                                                        const image_services& services,
                                                                        std::size_t number,
                                                                        std::filesystem::path path) {
    const lower_config& lower = config.lowers[number];
    if (path.empty() && lower.digest.empty()) co_return no_such_layer(lower);
    layer_identity who{.name = path.empty() ? lower.digest : path.string(), .digest = lower.digest};
    CO_TRY(auto meta, co_await open_bytes(config, services, path, lower.digest));
    auto target = co_await open_bytes(config, services, lower.target_file, lower.target_digest);
    if (!target) co_return in_context(std::move(target).error(), "target");
    CO_TRY(auto contents, co_await open_target(*std::move(target), lower.gzip_index, services.workers));
    co_return co_await open_turbo_layer(std::move(who), std::move(meta), std::move(contents), services.workers);
}

/// What open_one borrows from open_stack, whose frame outlives it.
struct stack_opening {
    const image_config& config;
    const image_services& services;
    std::vector<std::shared_ptr<const opened_layer>> layers;
};

/// From `path`, or from the registry when there is no local file.
asio::awaitable<result<std::shared_ptr<const opened_layer>>> open_found(stack_opening& all, std::size_t number,
                                                                        std::filesystem::path path) {
    const lower_config& lower = all.config.lowers[number];
    if (is_turbo(lower)) co_return co_await open_turbo(all.config, all.services, number, std::move(path));
    if (!path.empty()) co_return co_await all.services.pool.open_file(path, lower.digest);
    if (lower.digest.empty()) co_return no_such_layer(lower);
    CO_TRYV(check_remote(all.config, all.services, lower.digest));
    remote_blob blob{.repo_blob_url = all.config.repo_blob_url, .digest = lower.digest, .size = {lower.size_bytes}};
    co_return co_await all.services.pool.open_remote(std::move(blob), *all.services.registry);
}

asio::awaitable<result<void>> open_one(stack_opening& all, std::size_t number) {
    const lower_config& lower = all.config.lowers[number];
    const std::string place = lower_place(number);
    auto look = [&lower] { return local_file_of(lower); };
    const std::filesystem::path path = co_await all.services.workers.run(std::move(look));
    auto opened = co_await open_found(all, number, path);
    if (!opened) co_return in_context(std::move(opened).error(), place);
    all.layers[number] = *std::move(opened);
    co_return result<void>();
}

/// One lane: opens the next layer as long as there is one.
asio::awaitable<result<void>> open_lane(stack_opening& all, std::atomic<std::size_t>& next) {
    for (std::size_t number = next++; number < all.layers.size(); number = next++) {
        CO_TRYV(co_await open_one(all, number));
    }
    co_return result<void>();
}

asio::awaitable<result<std::shared_ptr<const read_stack>>> open_stack(const image_config& config,
                                                                      const image_services& services) {
    stack_opening all{.config = config, .services = services, .layers = {}};
    all.layers.resize(config.lowers.size() - (config.acceleration_layer ? 1 : 0));
    std::atomic<std::size_t> next{0};
    std::vector<asio::awaitable<result<void>>> lanes;
    for (std::size_t i = 0; i < std::min(all.layers.size(), lanes_per_operation); ++i) {
        lanes.push_back(open_lane(all, next));
    }
    CO_TRYV(co_await run_all(std::move(lanes)));
    co_return read_stack::build(std::move(all.layers));
}

void log_oddities(const image_config& config, spdlog::logger& log) {
    for (const auto& name : config.unknown_members) {
        log.warn("image config: unknown member ignored member={}", name);
    }
    if (config.acceleration_layer) {
        log.info("image config: the acceleration layer is left out, its trace is not replayed yet");
    }
}

asio::awaitable<result<std::shared_ptr<image>>> open_checked(const image_config& config,
                                                             const image_services& services) {
    CO_TRYV(check_config(config));
    log_oddities(config, services.log);
    CO_TRY(auto stack, co_await open_stack(config, services));
    if (config.upper.writable()) {
        if (services.uppers == nullptr) {
            co_return fail(errc::unsupported, "upper: writable layers are not supported by this program");
        }
        co_return co_await services.uppers->open(config.upper, std::move(stack), services);
    }
    if (stack->size().value == 0) co_return fail(errc::invalid_argument, "the image has size 0: no layer gives it one");
    co_return std::make_shared<read_only_image>(std::move(stack));
}

/// "success" or "failed:<message>", as containerd's snapshotter reads it. Blocks.
result<void> write_result_file(const std::string& path, const std::string& text) {
    const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) return fail_errno(path);
    const ssize_t written = ::write(fd, text.data(), text.size());
    const int error = written < 0 ? errno : EIO;
    ::close(fd);
    if (written != static_cast<ssize_t>(text.size())) return fail_errno(path, error);
    return {};
}

}  // namespace

asio::awaitable<result<std::shared_ptr<image>>> open_image(image_config config, image_services services) {
    auto opened = co_await open_checked(config, services);
    if (!config.result_file.empty()) {
        auto work = [path = config.result_file, text = opened ? "success" : "failed:" + opened.error().message()] {
            return write_result_file(path, text);
        };
        const auto written = co_await services.workers.run(std::move(work));
        if (!written) services.log.warn("the result file was not written error=\"{}\"", written.error().message());
    }
    co_return opened;
}

asio::awaitable<result<std::shared_ptr<const read_stack>>> open_read_stack(image_config config,
                                                                           image_services services) {
    CO_TRYV(check_config(config));
    log_oddities(config, services.log);
    CO_TRY(auto stack, co_await open_stack(config, services));
    if (stack->size().value == 0) co_return fail(errc::invalid_argument, "the image has size 0: no layer gives it one");
    co_return stack;
}

std::shared_ptr<image> read_only_view(std::shared_ptr<const read_stack> stack) {
    return std::make_shared<read_only_image>(std::move(stack));
}

}  // namespace obd::layers

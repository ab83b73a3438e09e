#include "registry/client.hpp"

#include <spdlog/logger.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/strand.hpp>

#include "registry/curl_http.hpp"
#include "registry/pusher.hpp"
#include "registry/remote_source.hpp"
#include "registry/resolver.hpp"
#include "registry/url.hpp"

namespace obd::registry {
namespace {

retry_policy policy_of(const client_options& options) {
    retry_policy policy;
    policy.tries = options.tries;
    policy.first_delay = options.first_retry_delay;
    // Two and a half tries fit into the deadline when a connection stalls.
    policy.try_timeout = options.operation_deadline * 2 / 5;
    return policy;
}

std::unique_ptr<credential_source> credentials_of(const client_options& options, http_transport& http) {
    if (options.helper) return make_credential_helper(*options.helper, http);
    return make_credential_file(options.credential_file);
}

/// "https://host:5000/v2/…" → "host:5000"
std::string host_of(std::string_view host_or_url) {
    if (const auto scheme = host_or_url.find("://"); scheme != std::string_view::npos)
        host_or_url.remove_prefix(scheme + 3);
    return std::string(host_or_url.substr(0, host_or_url.find('/')));
}

/// Everything that sources share, and that lives as long as the last of them. Its functions run on the strand.
class core : public std::enable_shared_from_this<core> {
public:
    using strand_type = asio::strand<asio::any_io_executor>;

    core(client_options options, strand_type strand, std::shared_ptr<http_transport> http, worker_pool& workers,
         spdlog::logger& log)
        : options_(std::move(options)),
          strand_(std::move(strand)),
          workers_(workers),
          log_(log),
          http_(std::move(http)),
          credentials_(credentials_of(options_, *http_)),
          requests_(*http_, *credentials_, policy_of(options_), log),
          resolver_(*http_, requests_),
          fetcher_(requests_),
          tickets_(options_.transfers),
          tasks_(
              std::make_shared<task_group>(strand_, [&log](const std::exception_ptr& thrown) { report(log, thrown); })),
          cache_(make_extent_cache({options_.cache_dir, options_.cache_capacity, options_.refill_bytes}, log)) {
        for (const auto& host : options_.insecure_registries) resolver_.trust_insecure(host_of(host));
    }

    const strand_type& strand() const { return strand_; }
    const blob_cache& cache() const { return *cache_; }
    resolver& resolving() { return resolver_; }

    asio::awaitable<result<resolved_image>> resolve(std::string reference, resolve_options options);
    asio::awaitable<result<std::shared_ptr<blob_source>>> open(remote_blob blob);
    asio::awaitable<result<std::unique_ptr<pusher>>> push_to(std::string reference, resolve_options options);
    asio::awaitable<void> shut_down();

private:
    using source_ptr = std::shared_ptr<remote_source>;

    static void report(spdlog::logger& log, const std::exception_ptr& thrown);
    std::shared_ptr<remote_source> live_source(const std::string& digest);
    asio::awaitable<result<source_ptr>> open_new(remote_blob blob, blob_location location);
    result<void> check_size(const std::string& digest, byte_count size) const;
    asio::awaitable<std::shared_ptr<cached_blob>> open_cached(std::string digest, byte_count size);

    const client_options options_;
    strand_type strand_;
    worker_pool& workers_;
    spdlog::logger& log_;
    std::shared_ptr<http_transport> http_;
    std::unique_ptr<credential_source> credentials_;
    access requests_;
    resolver resolver_;
    blob_fetcher fetcher_;
    ticket_office tickets_;
    std::shared_ptr<task_group> tasks_;
    std::unique_ptr<blob_cache> cache_;
    std::map<std::string, std::weak_ptr<remote_source>> sources_;  ///< by digest
    std::map<std::string, std::shared_ptr<one_shot>> opening_;     ///< by digest
};

void core::report(spdlog::logger& log, const std::exception_ptr& thrown) {
    try {
        std::rethrow_exception(thrown);
    } catch (const std::exception& error) {
        log.error("a fetch ended with an exception: {}", error.what());
    }
}

asio::awaitable<result<resolved_image>> core::resolve(std::string reference, resolve_options options) {
    co_await asio::this_coro::throw_if_cancelled(false);
    CO_TRY(auto parsed, parse_reference(reference));
    const auto until = deadline::clock::now() + options_.operation_deadline;
    auto resolved = co_await resolver_.resolve(std::move(parsed), std::move(options), until);
    if (!resolved) co_return in_context(std::move(resolved).error(), "image " + reference);
    co_return resolved;
}

std::shared_ptr<remote_source> core::live_source(const std::string& digest) {
    const auto found = sources_.find(digest);
    if (found == sources_.end()) return nullptr;
    auto alive = found->second.lock();
    if (!alive) sources_.erase(found);
    return alive;
}

asio::awaitable<result<std::shared_ptr<blob_source>>> core::open(remote_blob blob) {
    const auto self = shared_from_this();
    co_await asio::this_coro::throw_if_cancelled(false);
    const bool insecure = resolver_.is_insecure(host_of(blob.repo_blob_url));
    const auto security = insecure ? transport_security::insecure : transport_security::verified;
    CO_TRY(auto location, locate_blob(blob.repo_blob_url, blob.digest, security));
    const auto digest = blob.digest;
    while (opening_.contains(digest)) {
        const auto other = opening_[digest];
        const auto woken = co_await other->wait();
        if (woken == one_shot::wake::cancelled) co_return fail(errc::cancelled, "blob " + digest);
    }
    if (auto alive = live_source(digest)) {
        alive->add_location(std::move(location));
        co_return std::shared_ptr<blob_source>(std::move(alive));
    }
    const auto opened = std::make_shared<one_shot>();
    opening_[digest] = opened;
    struct landing {
        core& self;
        const std::string& digest;
        one_shot& opened;
        ~landing() {
            self.opening_.erase(digest);
            opened.fire();
        }
    } const lands{*this, digest, *opened};
    CO_TRY(auto source, co_await open_new(std::move(blob), std::move(location)));
    sources_[digest] = source;
    co_return std::shared_ptr<blob_source>(std::move(source));
}

asio::awaitable<result<core::source_ptr>> core::open_new(remote_blob blob, blob_location location) {
    CO_TRYV(check_size(blob.digest, blob.size));
    auto cached = co_await open_cached(blob.digest, blob.size);
    if (!cached) {  // neither the caller nor the cache knows the size
        const auto until = deadline::clock::now() + options_.operation_deadline;
        auto size = co_await fetcher_.size(location, until);
        if (!size) co_return in_context(std::move(size).error(), "blob " + blob.digest);
        CO_TRYV(check_size(blob.digest, *size));
        auto fresh = co_await open_cached(blob.digest, *size);
        cached = std::move(fresh);
    }
    if (blob.size.value != 0 && cached->size() != blob.size) {
        log_.warn("blob {} has {} bytes, as its registry said; the image says {}", blob.digest, cached->size().value,
                  blob.size.value);
    }
    remote_services services{fetcher_, workers_, tasks_, tickets_, options_.operation_deadline, log_};
    auto source =
        std::make_shared<remote_source>(blob.digest, std::move(cached), std::move(services), shared_from_this());
    source->add_location(std::move(location));
    co_return source;
}

/// A registry may claim any size; its map must fit into memory.
result<void> core::check_size(const std::string& digest, byte_count size) const {
    if (size.value / options_.refill_bytes < extents_per_blob) return {};
    return fail(errc::limit_exceeded, "blob " + digest + ": " + std::to_string(size.value) +
                                          " bytes are too many for extents of " +
                                          std::to_string(options_.refill_bytes));
}

asio::awaitable<std::shared_ptr<cached_blob>> core::open_cached(std::string digest, byte_count size) {
    auto job = [cache = cache_.get(), digest, size] { return cache->open(digest, size); };
    co_return co_await workers_.run(std::move(job));
}

asio::awaitable<result<std::unique_ptr<pusher>>> core::push_to(std::string reference, resolve_options options) {
    co_await asio::this_coro::throw_if_cancelled(false);
    CO_TRY(const auto parsed, parse_reference(reference));
    const auto host = parsed.api_host();
    if (options.security == transport_security::insecure) resolver_.trust_insecure(host);
    push_target target;
    target.scope.repository = parsed.repository;
    target.scope.actions = "pull,push";
    if (resolver_.is_insecure(host)) target.scope.security = transport_security::insecure;
    target.operation_deadline = options_.operation_deadline;
    const auto until = deadline::clock::now() + options_.operation_deadline;
    CO_TRY(target.base, co_await resolver_.base_url(host, target.scope.security, until));
    auto uploads = std::make_unique<uploader>(requests_, std::move(target));
    co_return make_pusher(std::move(uploads), strand_, requests_.policy(), shared_from_this());
}

asio::awaitable<void> core::shut_down() {
    http_->shut_down();
    co_await tasks_->close();
}

class registry_client final : public client {
public:
    explicit registry_client(std::shared_ptr<core> core) : core_(std::move(core)) {}

    asio::awaitable<result<resolved_image>> resolve(std::string reference, resolve_options options) override {
        auto task = core_->resolve(std::move(reference), std::move(options));
        co_return co_await asio::co_spawn(core_->strand(), std::move(task), asio::use_awaitable);
    }

    asio::awaitable<result<std::shared_ptr<blob_source>>> open(remote_blob blob) override {
        auto task = core_->open(std::move(blob));
        co_return co_await asio::co_spawn(core_->strand(), std::move(task), asio::use_awaitable);
    }

    asio::awaitable<result<std::unique_ptr<pusher>>> push_to(std::string reference, resolve_options options) override {
        auto task = core_->push_to(std::move(reference), std::move(options));
        co_return co_await asio::co_spawn(core_->strand(), std::move(task), asio::use_awaitable);
    }

    void trust_insecure(std::string_view host_or_url) override {
        asio::post(core_->strand(),
                   [core = core_, host = host_of(host_or_url)] { core->resolving().trust_insecure(host); });
    }

    byte_count cache_used() const noexcept override { return core_->cache().used(); }

    asio::awaitable<void> shutdown() override {
        auto task = core_->shut_down();
        co_await asio::co_spawn(core_->strand(), std::move(task), asio::use_awaitable);
    }

private:
    std::shared_ptr<core> core_;
};

result<void> check_options(const client_options& options) {
    const auto refill = options.refill_bytes;
    if (!is_power_of_two(refill) || refill < 4096 || refill > (64u << 20)) {
        return fail(errc::invalid_argument,
                    "refillSize " + std::to_string(refill) + ": expected a power of two from 4096 to 67108864");
    }
    if (options.tries < 1 || options.transfers < 1)
        return fail(errc::invalid_argument, "tries and transfers must be at least 1");
    if (options.cache_dir.empty()) return fail(errc::invalid_argument, "no cache directory");
    return {};
}

}  // namespace

result<std::unique_ptr<client>> client::create(client_options options, asio::any_io_executor executor,
                                               worker_pool& workers, spdlog::logger& log) {
    TRYV(check_options(options));
    curl_http_options http_options;
    http_options.tls = {options.ca_file, options.client_cert_file, options.client_key_file};
    http_options.user_agent = options.user_agent;
    http_options.connect_timeout = options.connect_timeout;
    TRY(auto http, make_curl_http(std::move(http_options), executor));
    auto shared =
        std::make_shared<core>(std::move(options), asio::make_strand(executor), std::move(http), workers, log);
    return std::unique_ptr<client>(std::make_unique<registry_client>(std::move(shared)));
}

}  // namespace obd::registry

#include "tools/convert/registry_store.hpp"

#include <spdlog/logger.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <utility>

#include "base/digest.hpp"
#include "layers/write/blocking.hpp"
#include "registry/access.hpp"
#include "registry/blob_fetcher.hpp"
#include "registry/client.hpp"
#include "registry/credentials.hpp"
#include "registry/curl_http.hpp"
#include "registry/reference.hpp"
#include "registry/resolver.hpp"
#include "tools/convert/json_text.hpp"
#include "tools/image/event_thread.hpp"

namespace obd::convert {
namespace {

using namespace std::chrono_literals;

// Longer than the target's: no initiator waits, and a registry under load answers late.
constexpr auto operation_deadline = 120s;
constexpr std::size_t bounce_bytes = 4 << 20;  // what one ranged request asks for

/// Requests to one repository. Its awaitables run on the strand.
class session {
public:
    session(registry::image_reference reference, const store_services& services, asio::any_io_executor executor,
            std::shared_ptr<registry::http_transport> http)
        : reference_(std::move(reference)),
          strand_(asio::make_strand(std::move(executor))),
          http_(std::move(http)),
          credentials_(registry::make_credential_file(services.credential_file)),
          requests_(*http_, *credentials_, policy(), services.log),
          resolver_(*http_, requests_),
          fetcher_(requests_),
          security_(services.security) {}
    ~session() { http_->shut_down(); }

    const registry::image_reference& reference() const { return reference_; }
    const asio::strand<asio::any_io_executor>& strand() const { return strand_; }

    asio::awaitable<result<std::string>> base() {
        auto host = reference_.api_host();
        co_return co_await resolver_.base_url(std::move(host), security_, until());
    }

    asio::awaitable<result<document>> manifest(std::string target) {
        CO_TRY(auto at, co_await base());
        auto scope = repository();
        CO_TRY(auto found,
               co_await resolver_.fetch_manifest(std::move(at), std::move(scope), std::move(target), until()));
        document got;
        got.bytes = std::move(found.bytes);
        got.media_type = std::move(found.media_type);
        got.digest = std::move(found.digest);
        co_return got;
    }

    asio::awaitable<result<void>> range(std::string digest, byte_offset offset, mutable_bytes into, byte_count size) {
        CO_TRY(const auto at, co_await base());
        const auto url = at + "/v2/" + reference_.repository + "/blobs";
        CO_TRY(auto location, registry::locate_blob(url, digest, security_));
        registry::blob_range wanted;
        wanted.offset = offset;
        wanted.into = into;
        wanted.blob_size = size;
        wanted.until = until();
        auto fetched = co_await fetcher_.fetch(std::move(location), std::move(wanted), network_bytes_);
        if (!fetched) co_return in_context(std::move(fetched).error(), "blob " + digest);
        co_return result<void>();
    }

private:
    static registry::retry_policy policy() {
        registry::retry_policy policy;
        policy.try_timeout = operation_deadline / 3;
        return policy;
    }
    static registry::deadline until() { return registry::deadline::clock::now() + operation_deadline; }
    registry::repository_scope repository() const {
        registry::repository_scope scope;
        scope.repository = reference_.repository;
        scope.security = security_;
        return scope;
    }

    registry::image_reference reference_;
    asio::strand<asio::any_io_executor> strand_;
    std::shared_ptr<registry::http_transport> http_;
    std::unique_ptr<registry::credential_source> credentials_;
    registry::access requests_;
    registry::resolver resolver_;
    registry::blob_fetcher fetcher_;
    registry::transport_security security_;
    std::atomic<std::uint64_t> network_bytes_{0};
};

template <typename T>
asio::awaitable<result<T>> hop(asio::strand<asio::any_io_executor> to, asio::awaitable<result<T>> operation) {
    co_return co_await asio::co_spawn(to, std::move(operation), asio::use_awaitable);
}

/// Runs the operation on the session's strand and waits for it.
template <typename T>
result<T> on_strand(const session& with, asio::awaitable<result<T>> operation) {
    return layers::run_blocking(hop(with.strand(), std::move(operation)));
}

/// A blob, read without a cache: each byte is wanted once.
class uncached_blob final : public blob_source {
public:
    uncached_blob(std::shared_ptr<session> from, descriptor what) : from_(std::move(from)), what_(std::move(what)) {}

    std::string_view name() const noexcept override { return what_.digest; }
    byte_count size() const noexcept override { return what_.size; }
    attempt try_read(byte_offset, mutable_bytes) noexcept override { return attempt::would_block; }
    asio::awaitable<result<void>> read(byte_offset offset, mutable_bytes out) override {
        while (!out.empty()) {
            const auto part = out.first(std::min(out.size(), bounce_bytes));
            auto task = from_->range(what_.digest, offset, part, what_.size);
            CO_TRYV(co_await asio::co_spawn(from_->strand(), std::move(task), asio::use_awaitable));
            out = out.subspan(part.size());
            offset = offset + byte_count{part.size()};
        }
        co_return result<void>();
    }
    bool discard_cached(byte_offset, byte_count) noexcept override { return false; }
    void prefetch(byte_offset, byte_count) noexcept override {}

private:
    std::shared_ptr<session> from_;
    descriptor what_;
};

class registry_reader final : public image_reader {
public:
    registry_reader(std::string name, std::unique_ptr<tools::event_thread> events, std::shared_ptr<session> with)
        : name_(std::move(name)), events_(std::move(events)), session_(std::move(with)) {}

    const std::string& name() const override { return name_; }
    std::string repository() const override {
        return session_->reference().host + "/" + session_->reference().repository;
    }
    result<document> root() override {
        auto found = on_strand(*session_, session_->manifest(session_->reference().target()));
        if (!found) return in_context(std::move(found).error(), name_);
        return found;
    }
    result<document> manifest(const descriptor& of) override {
        TRY(auto found, on_strand(*session_, session_->manifest(of.digest)));
        if (found.media_type.empty()) found.media_type = of.media_type;
        return found;
    }
    result<std::shared_ptr<blob_source>> source(const descriptor& of) override {
        return std::shared_ptr<blob_source>(std::make_shared<uncached_blob>(session_, of));
    }

private:
    std::string name_;
    std::unique_ptr<tools::event_thread> events_;
    std::shared_ptr<session> session_;
};

class bytes_source final : public blob_source {
public:
    bytes_source(std::string name, std::string bytes) : name_(std::move(name)), bytes_(std::move(bytes)) {}
    std::string_view name() const noexcept override { return name_; }
    byte_count size() const noexcept override { return {bytes_.size()}; }
    attempt try_read(byte_offset offset, mutable_bytes out) noexcept override {
        if (!within(offset, {out.size()}, size())) return attempt::would_block;
        std::copy_n(as_bytes(bytes_).begin() + static_cast<std::ptrdiff_t>(offset.value), out.size(), out.begin());
        return attempt::complete;
    }
    asio::awaitable<result<void>> read(byte_offset offset, mutable_bytes out) override {
        if (try_read(offset, out) == attempt::complete) co_return result<void>();
        co_return fail(errc::out_of_range, name_);
    }
    bool discard_cached(byte_offset, byte_count) noexcept override { return false; }
    void prefetch(byte_offset, byte_count) noexcept override {}

private:
    std::string name_;
    std::string bytes_;
};

class registry_writer final : public image_writer {
public:
    registry_writer(std::string name, registry::image_reference reference, std::unique_ptr<tools::event_thread> events)
        : name_(std::move(name)), reference_(std::move(reference)), events_(std::move(events)) {}
    ~registry_writer() override {
        pusher_.reset();
        if (client_) layers::run_blocking(finish());
        client_.reset();
    }

    result<void> connect(const store_services& services) {
        registry::client_options options;
        options.cache_dir = services.work_directory / "blobs";
        options.cache_capacity = {std::uint64_t{4} << 30};
        options.credential_file = services.credential_file;
        options.ca_file = services.ca_file;
        options.user_agent = "overlaybdctl";
        options.operation_deadline = operation_deadline;
        TRY(client_, registry::client::create(std::move(options), events_->executor(), services.workers, services.log));
        registry::resolve_options how;
        how.security = services.security;
        TRY(pusher_, layers::run_blocking(client_->push_to(name_, std::move(how))));
        // A read of a layer that is there already goes by its repository's URL.
        TRY(auto http, registry::make_curl_http({{services.ca_file, {}, {}}, "overlaybdctl", 5s}, events_->executor()));
        session probe(reference_, services, events_->executor(), std::move(http));
        TRY(const auto base, on_strand(probe, probe.base()));
        url_ = base + "/v2/" + reference_.repository + "/blobs";
        if (services.security == registry::transport_security::insecure) client_->trust_insecure(url_);
        return {};
    }

    const std::string& name() const override { return name_; }
    std::string place() const override { return reference_.host + "/" + reference_.repository; }

    result<bool> has_blob(const std::string& digest) override {
        return layers::run_blocking(pusher_->has_blob(digest));
    }

    result<bool> mount_blob(const std::string& digest, const std::string& from_place) override {
        const auto prefix = reference_.host + "/";
        if (!from_place.starts_with(prefix)) return false;
        return layers::run_blocking(pusher_->mount_blob(digest, from_place.substr(prefix.size())));
    }

    result<void> put_blob(const descriptor& what, std::shared_ptr<blob_source> from,
                          const upload_progress& progress) override {
        registry::blob_upload upload;
        upload.digest = what.digest;
        upload.from = std::move(from);
        if (progress) upload.progress = [progress](byte_count sent) { progress(sent.value); };
        auto outcome = layers::run_blocking(pusher_->upload(std::move(upload)));
        if (!outcome) return in_context(std::move(outcome).error(), "pushing blob " + what.digest);
        return {};
    }

    result<void> put_bytes(const descriptor& what, const std::string& bytes) override {
        return put_blob(what, std::make_shared<bytes_source>(what.digest, bytes), {});
    }

    result<void> put_manifest(const document& what, naming how) override {
        const bool tagged = how == naming::named && !reference_.tag.empty();
        auto target = tagged ? reference_.tag : what.digest;
        TRY(const auto digest,
            layers::run_blocking(pusher_->put_manifest(std::move(target), what.bytes, what.media_type)));
        if (digest != what.digest)
            return fail(errc::corrupt, name_ + ": the registry took the manifest for another one");
        return {};
    }

    layers::lower_config as_lower(const descriptor& blob) const override {
        layers::lower_config lower;
        lower.digest = blob.digest;
        lower.size_bytes = blob.size.value;
        return lower;
    }
    std::string repo_blob_url() const override { return url_; }
    blob_provider* blobs() override { return client_.get(); }

private:
    asio::awaitable<result<void>> finish() {
        co_await client_->shutdown();
        co_return result<void>();
    }

    std::string name_;
    registry::image_reference reference_;
    std::unique_ptr<tools::event_thread> events_;
    std::unique_ptr<registry::client> client_;
    std::unique_ptr<registry::pusher> pusher_;
    std::string url_;
};

}  // namespace

result<std::unique_ptr<image_reader>> open_registry_reader(const std::string& reference,
                                                           const store_services& services) {
    TRY(auto parsed, registry::parse_reference(reference));
    auto events = std::make_unique<tools::event_thread>();
    registry::curl_http_options options;
    options.tls.ca = services.ca_file;
    options.user_agent = "overlaybdctl";
    TRY(auto http, registry::make_curl_http(std::move(options), events->executor()));
    auto name = parsed.text();
    auto with = std::make_shared<session>(std::move(parsed), services, events->executor(), std::move(http));
    return std::unique_ptr<image_reader>(
        std::make_unique<registry_reader>(std::move(name), std::move(events), std::move(with)));
}

result<std::unique_ptr<image_writer>> open_registry_writer(const std::string& reference,
                                                           const store_services& services) {
    TRY(auto parsed, registry::parse_reference(reference));
    if (!parsed.digest.empty())
        return fail(errc::invalid_argument, reference + ": an image is pushed by a tag, not by its digest");
    auto name = parsed.text();
    auto writer =
        std::make_unique<registry_writer>(std::move(name), std::move(parsed), std::make_unique<tools::event_thread>());
    TRYV(writer->connect(services));
    return std::unique_ptr<image_writer>(std::move(writer));
}

}  // namespace obd::convert

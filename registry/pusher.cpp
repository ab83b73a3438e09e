#include "registry/pusher.hpp"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/steady_timer.hpp>

#include "base/digest.hpp"
#include "registry/http_status.hpp"

namespace obd::registry {
namespace {

/// What an upload is made of, while it runs.
struct progress {
    blob_upload what;
    upload_session session;
    std::vector<std::byte> buffer;
};

class registry_pusher final : public pusher {
public:
    registry_pusher(std::unique_ptr<uploader> uploads, asio::any_io_executor strand, retry_policy policy,
                    std::shared_ptr<void> owner)
        : owner_(std::move(owner)), uploads_(std::move(uploads)), strand_(std::move(strand)), policy_(policy) {}

    asio::awaitable<result<bool>> has_blob(std::string digest) override {
        if (!is_sha256_digest(digest)) co_return fail(errc::invalid_argument, "blob digest " + digest);
        auto task = uploads_->has_blob(std::move(digest));
        co_return co_await asio::co_spawn(strand_, std::move(task), asio::use_awaitable);
    }

    asio::awaitable<result<bool>> mount_blob(std::string digest, std::string from_repository) override {
        if (!is_sha256_digest(digest)) co_return fail(errc::invalid_argument, "blob digest " + digest);
        auto task = uploads_->mount_blob(std::move(digest), std::move(from_repository));
        co_return co_await asio::co_spawn(strand_, std::move(task), asio::use_awaitable);
    }

    asio::awaitable<result<std::string>> put_manifest(std::string target, std::string bytes,
                                                      std::string type) override {
        auto task = uploads_->put_manifest(std::move(target), std::move(bytes), std::move(type));
        co_return co_await asio::co_spawn(strand_, std::move(task), asio::use_awaitable);
    }

    asio::awaitable<result<void>> upload(blob_upload what) override;

private:
    asio::awaitable<result<void>> continue_upload(progress& state);
    asio::awaitable<result<void>> resume(progress& state, failure why, int failures);
    asio::awaitable<result<upload_session>> begin();

    const std::shared_ptr<void> owner_;
    const std::unique_ptr<uploader> uploads_;
    const asio::any_io_executor strand_;
    const retry_policy policy_;
};

asio::awaitable<result<upload_session>> registry_pusher::begin() {
    auto task = uploads_->begin();
    co_return co_await asio::co_spawn(strand_, std::move(task), asio::use_awaitable);
}

asio::awaitable<result<void>> registry_pusher::upload(blob_upload what) {
    CO_TRY(const bool there, co_await has_blob(what.digest));
    if (there) co_return result<void>();
    progress state;
    state.what = std::move(what);
    CO_TRY(state.session, co_await begin());
    for (int failures = 0;;) {
        const auto before = state.session.offset;
        auto done = co_await continue_upload(state);
        if (done) co_return result<void>();
        if (state.session.offset > before) failures = 0;
        auto resumed = co_await resume(state, std::move(done).error(), ++failures);
        if (!resumed) co_return in_context(std::move(resumed).error(), "upload of " + state.what.digest);
    }
}

/// Sends from where the session stands to the end.
asio::awaitable<result<void>> registry_pusher::continue_upload(progress& state) {
    const auto size = state.what.from->size().value;
    while (true) {
        const auto left = size - std::min(size, state.session.offset);
        const bool last = left <= state.what.chunk_bytes;
        state.buffer.resize(last ? left : state.what.chunk_bytes);
        const byte_offset at{state.session.offset};
        CO_TRYV(co_await state.what.from->read(at, state.buffer));
        if (last) {
            auto task = uploads_->finish(state.session, state.buffer, state.what.digest);
            CO_TRYV(co_await asio::co_spawn(strand_, std::move(task), asio::use_awaitable));
            if (state.what.progress) state.what.progress({size});
            co_return result<void>();
        }
        auto task = uploads_->append(state.session, state.buffer);
        CO_TRY(state.session, co_await asio::co_spawn(strand_, std::move(task), asio::use_awaitable));
        if (state.what.progress) state.what.progress({state.session.offset});
    }
}

/// After a failure: where does the registry stand? A session it has lost is begun anew.
asio::awaitable<result<void>> registry_pusher::resume(progress& state, failure why, int failures) {
    if (!is_transient(why) || failures >= policy_.tries) co_return why;
    const auto executor = co_await asio::this_coro::executor;
    asio::steady_timer timer(executor, policy_.first_delay * (1LL << std::min(failures - 1, 10)));
    co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
    auto task = uploads_->where_is(state.session);
    auto stands = co_await asio::co_spawn(strand_, std::move(task), asio::use_awaitable);
    if (!stands && stands.error().is(errc::not_found)) {
        // Perhaps the last answer was lost and the blob is complete; upload() has asked that only at its start.
        CO_TRY(state.session, co_await begin());
        co_return result<void>();
    }
    if (!stands) co_return std::move(stands).error();
    state.session = std::move(*stands);
    co_return result<void>();
}

}  // namespace

std::unique_ptr<pusher> make_pusher(std::unique_ptr<uploader> uploads, asio::any_io_executor strand,
                                    retry_policy policy, std::shared_ptr<void> owner) {
    return std::make_unique<registry_pusher>(std::move(uploads), std::move(strand), policy, std::move(owner));
}

}  // namespace obd::registry

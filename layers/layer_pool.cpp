#include "layers/layer_pool.hpp"

#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <functional>
#include <utility>
#include <vector>

#include "base/digest.hpp"
#include "layers/local_blob.hpp"

namespace obd::layers {
namespace {

using layer_pointer = std::shared_ptr<const opened_layer>;
using opening = asio::awaitable<result<layer_pointer>>;

/// Resumes one coroutine, on its executor, with the outcome of another's opening.
class waiter {
public:
    virtual ~waiter() = default;
    virtual void deliver(result<layer_pointer> outcome) = 0;
};

template <typename Handler>
class handler_waiter final : public waiter {
public:
    explicit handler_waiter(Handler handler) : guard_(asio::make_work_guard(handler)), handler_(std::move(handler)) {}
    void deliver(result<layer_pointer> outcome) override {
        auto resume = [handler = std::move(handler_), outcome = std::move(outcome)]() mutable {
            std::move(handler)(std::move(outcome));
        };
        asio::post(guard_.get_executor(), std::move(resume));
    }

private:
    asio::executor_work_guard<asio::associated_executor_t<Handler>> guard_;
    Handler handler_;
};

std::string key_of(const file_identity& file, const std::string& digest) {
    return "file " + std::to_string(file.device) + ":" + std::to_string(file.inode) + ":" +
           std::to_string(file.size_bytes) + ":" + std::to_string(file.modified_ns) + " " + digest;
}

}  // namespace

struct layer_pool::state {
    struct entry {
        std::weak_ptr<const opened_layer> layer;
        bool being_opened = false;
        std::vector<std::unique_ptr<waiter>> waiters;
    };

    explicit state(worker_pool& pool) : workers(pool) {}

    /// The layer if it is open. Else `lead` tells whether the caller is the one to open it.
    layer_pointer find_or_lead(const std::string& key, bool& lead);
    void finish(const std::string& key, const result<layer_pointer>& outcome);
    opening wait(std::string key);
    opening shared(std::string key, opening open);

    worker_pool& workers;
    mutable std::mutex mutex;
    std::map<std::string, entry> entries;
};

layer_pointer layer_pool::state::find_or_lead(const std::string& key, bool& lead) {
    const std::lock_guard lock(mutex);
    entry& found = entries[key];
    auto layer = found.layer.lock();
    lead = !layer && !found.being_opened;
    if (lead) found.being_opened = true;
    return layer;
}

void layer_pool::state::finish(const std::string& key, const result<layer_pointer>& outcome) {
    std::vector<std::unique_ptr<waiter>> waiting;
    {
        const std::lock_guard lock(mutex);
        entry& done = entries[key];
        done.being_opened = false;
        if (outcome) done.layer = *outcome;
        waiting = std::move(done.waiters);
        // Openings are rare: a good moment to forget what is closed.
        std::erase_if(entries,
                      [](const auto& item) { return !item.second.being_opened && item.second.layer.expired(); });
    }
    for (auto& one : waiting) one->deliver(outcome);
}

opening layer_pool::state::wait(std::string key) {
    auto start = [this](auto handler, const std::string& wanted) {
        auto waiting = std::make_unique<handler_waiter<decltype(handler)>>(std::move(handler));
        const std::lock_guard lock(mutex);
        const auto found = entries.find(wanted);
        if (found != entries.end() && found->second.being_opened) {
            found->second.waiters.push_back(std::move(waiting));
        } else {
            // It ended in the meantime. This code makes the caller look again.
            waiting->deliver(fail(errc::cancelled, "layer"));
        }
    };
    co_return co_await asio::async_initiate<const asio::use_awaitable_t<>, void(result<layer_pointer>)>(
        start, asio::use_awaitable, std::move(key));
}

opening layer_pool::state::shared(std::string key, opening open) {
    while (true) {
        bool lead = false;
        if (auto layer = find_or_lead(key, lead)) co_return layer;
        if (lead) break;
        auto outcome = co_await wait(key);
        // When the one who was opening it was cancelled, that is no reason to fail here.
        const bool look_again = !outcome && outcome.error().is(errc::cancelled);
        if (!look_again) co_return outcome;
    }
    // Cancellation leaves a coroutine by an exception.
    struct finish_on_unwinding {
        state& pool;
        const std::string& key;
        bool armed = true;
        ~finish_on_unwinding() {
            if (armed) pool.finish(key, fail(errc::cancelled, "layer"));
        }
    } guard{*this, key};
    auto outcome = co_await std::move(open);
    guard.armed = false;
    finish(key, outcome);
    co_return outcome;
}

layer_pool::layer_pool(worker_pool& workers) : state_(std::make_unique<state>(workers)) {}
layer_pool::~layer_pool() = default;

asio::awaitable<result<layer_pointer>> layer_pool::open_file(std::filesystem::path path, std::string digest) {
    worker_pool& workers = state_->workers;
    auto work = [&workers, &path] { return local_blob::open(path, workers); };
    CO_TRY(auto blob, co_await workers.run(std::move(work)));
    std::string key = key_of(blob->identity(), digest);
    layer_identity who{.name = digest.empty() ? path.string() : digest, .digest = digest};
    auto open = open_layer(std::move(who), std::move(blob), workers);
    co_return co_await state_->shared(std::move(key), std::move(open));
}

namespace {

asio::awaitable<result<layer_pointer>> open_blob(remote_blob blob, blob_provider& provider, worker_pool& workers) {
    const std::string digest = blob.digest;
    auto source = co_await provider.open(std::move(blob));
    if (!source) co_return in_context(std::move(source).error(), "layer " + digest);
    layer_identity who{.name = digest, .digest = digest};
    co_return co_await open_layer(std::move(who), *std::move(source), workers);
}

}  // namespace

asio::awaitable<result<layer_pointer>> layer_pool::open_remote(remote_blob blob, blob_provider& provider) {
    if (!is_sha256_digest(blob.digest)) co_return fail(errc::invalid_argument, "not a sha256 digest: " + blob.digest);
    std::string key = "blob " + blob.digest;
    auto open = open_blob(std::move(blob), provider, state_->workers);
    co_return co_await state_->shared(std::move(key), std::move(open));
}

std::size_t layer_pool::size() const {
    const std::lock_guard lock(state_->mutex);
    std::size_t open = 0;
    for (const auto& [key, entry] : state_->entries) open += entry.layer.expired() ? 0U : 1U;
    return open;
}

}  // namespace obd::layers

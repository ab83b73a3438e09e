#include "registry/curl_http.hpp"

#include <curl/curl.h>

#include <atomic>
#include <boost/asio/async_result.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <map>
#include <mutex>
#include <unordered_map>

#include "registry/curl_transfer.hpp"

namespace obd::registry {
namespace {

constexpr long connections_per_host = 64;  // HTTP/1.1 has one request in flight per connection
constexpr long idle_connections_kept = 64;

/// A socket that libcurl wants watched. Asio's descriptor is only borrowed: release() before libcurl closes it.
struct socket_watch {
    socket_watch(asio::strand<asio::any_io_executor> strand, curl_socket_t socket)
        : descriptor(std::move(strand), socket), fd(socket) {}

    asio::posix::stream_descriptor descriptor;
    curl_socket_t fd;
    int wanted = CURL_POLL_NONE;
    bool reading = false;  ///< a wait is under way
    bool writing = false;
    bool removed = false;
};

class curl_http final : public http_transport, public std::enable_shared_from_this<curl_http> {
public:
    curl_http(curl_http_options options, const asio::any_io_executor& executor)
        : options_(std::move(options)),
          strand_(asio::make_strand(executor)),
          timer_(strand_),
          multi_(curl_multi_init()) {}
    ~curl_http() override;

    result<void> initialise();
    asio::awaitable<result<http_response>> send(http_request request) override;
    void shut_down() noexcept override;

private:
    using completion = curl_transfer::completion;

    static int on_socket(CURL*, curl_socket_t socket, int what, void* self, void*) noexcept;
    static int on_timer(CURLM*, long timeout_ms, void* self) noexcept;

    void start(std::unique_ptr<curl_transfer> transfer);
    std::unique_ptr<curl_transfer> take(std::uint64_t id);
    void end(std::uint64_t id, errc reason);
    void end_all();
    void act(curl_socket_t socket, int events);
    void collect_finished();
    void watch(curl_socket_t socket, int what);
    void forget(curl_socket_t socket);
    void wait_for(const std::shared_ptr<socket_watch>& watched);
    void arm_timer(long timeout_ms);

    const curl_http_options options_;
    asio::strand<asio::any_io_executor> strand_;
    // All below: on the strand only.
    asio::steady_timer timer_;
    CURLM* multi_;
    std::unordered_map<curl_socket_t, std::shared_ptr<socket_watch>> sockets_;
    std::map<std::uint64_t, std::unique_ptr<curl_transfer>> transfers_;
    bool closed_ = false;
    std::atomic<std::uint64_t> next_id_{1};
};

curl_http::~curl_http() {
    // Nobody waits any more (send() holds a reference), so only connections are left. Without callbacks: they would
    // take a reference to an object that is gone.
    curl_multi_setopt(multi_, CURLMOPT_SOCKETFUNCTION, nullptr);
    curl_multi_setopt(multi_, CURLMOPT_TIMERFUNCTION, nullptr);
    for (auto& [fd, watched] : sockets_) {
        watched->removed = true;
        watched->descriptor.release();
    }
    for (auto& [id, transfer] : transfers_) curl_multi_remove_handle(multi_, transfer->easy());
    transfers_.clear();
    curl_multi_cleanup(multi_);
}

result<void> curl_http::initialise() {
    if (multi_ == nullptr) return fail(errc::limit_exceeded, "libcurl has no multi handle");
    curl_multi_setopt(multi_, CURLMOPT_SOCKETFUNCTION, &curl_http::on_socket);
    curl_multi_setopt(multi_, CURLMOPT_SOCKETDATA, this);
    curl_multi_setopt(multi_, CURLMOPT_TIMERFUNCTION, &curl_http::on_timer);
    curl_multi_setopt(multi_, CURLMOPT_TIMERDATA, this);
    curl_multi_setopt(multi_, CURLMOPT_MAX_HOST_CONNECTIONS, connections_per_host);
    curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS, idle_connections_kept);
    return {};
}

asio::awaitable<result<http_response>> curl_http::send(http_request request) {
    const auto state = co_await asio::this_coro::cancellation_state;
    if (state.cancelled() != asio::cancellation_type::none) co_return fail(errc::cancelled, request.method);
    auto begin = [self = shared_from_this()](auto handler, http_request asked) {
        const auto id = self->next_id_.fetch_add(1);
        completion done(std::move(handler), self->strand_);
        auto slot = done.slot();
        if (slot.is_connected()) {
            slot.assign([weak = self->weak_from_this(), id](asio::cancellation_type) {
                const auto alive = weak.lock();
                if (!alive) return;
                asio::post(alive->strand_, [alive, id] { alive->end(id, errc::cancelled); });
            });
        }
        auto transfer = std::make_unique<curl_transfer>(id, std::move(asked), std::move(done));
        auto job = [self, transfer = std::move(transfer)]() mutable { self->start(std::move(transfer)); };
        asio::post(self->strand_, std::move(job));
    };
    co_return co_await asio::async_initiate<const asio::use_awaitable_t<>, void(result<http_response>)>(
        begin, asio::use_awaitable, std::move(request));
}

void curl_http::shut_down() noexcept {
    asio::post(strand_, [self = shared_from_this()] { self->end_all(); });
}

void curl_http::end_all() {
    closed_ = true;
    while (!transfers_.empty()) end(transfers_.begin()->first, errc::cancelled);
}

void curl_http::start(std::unique_ptr<curl_transfer> transfer) {
    if (closed_) {
        transfer->complete(fail(errc::cancelled, "shutting down"));
        return;
    }
    if (auto prepared = transfer->prepare(options_); !prepared) {
        transfer->complete(prepared.error());
        return;
    }
    const auto id = transfer->id();
    CURL* const easy = transfer->easy();
    transfers_.emplace(id, std::move(transfer));
    const auto code = curl_multi_add_handle(multi_, easy);  // starts by setting the timer to "now"
    if (code != CURLM_OK) end(id, errc::unavailable);
}

void curl_http::end(std::uint64_t id, errc reason) {
    auto transfer = take(id);
    if (!transfer) return;  // it finished meanwhile
    curl_multi_remove_handle(multi_, transfer->easy());
    transfer->complete(fail(reason, "HTTP request"));
}

std::unique_ptr<curl_transfer> curl_http::take(std::uint64_t id) {
    auto node = transfers_.extract(id);
    return node.empty() ? nullptr : std::move(node.mapped());
}

void curl_http::act(curl_socket_t socket, int events) {
    int running = 0;
    curl_multi_socket_action(multi_, socket, events, &running);
    collect_finished();
}

void curl_http::collect_finished() {
    int left = 0;
    while (CURLMsg* message = curl_multi_info_read(multi_, &left)) {
        if (message->msg != CURLMSG_DONE) continue;
        CURL* const easy = message->easy_handle;
        const auto code = message->data.result;
        curl_transfer* finished = nullptr;
        curl_easy_getinfo(easy, CURLINFO_PRIVATE, &finished);
        auto transfer = take(finished->id());
        ASSERT(transfer != nullptr);
        auto outcome = transfer->outcome(code);
        curl_multi_remove_handle(multi_, easy);
        transfer->complete(std::move(outcome));
    }
}

int curl_http::on_socket(CURL*, curl_socket_t socket, int what, void* self, void*) noexcept {
    auto& http = *static_cast<curl_http*>(self);
    if (what == CURL_POLL_REMOVE) {
        http.forget(socket);
    } else {
        http.watch(socket, what);
    }
    return 0;
}

int curl_http::on_timer(CURLM*, long timeout_ms, void* self) noexcept {
    static_cast<curl_http*>(self)->arm_timer(timeout_ms);
    return 0;
}

void curl_http::arm_timer(long timeout_ms) {
    timer_.cancel();
    if (timeout_ms < 0) return;
    timer_.expires_after(std::chrono::milliseconds(timeout_ms));
    // Weak: an idle connection's timer must not keep the transport alive.
    timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
        if (error) return;
        if (const auto self = weak.lock()) self->act(CURL_SOCKET_TIMEOUT, 0);
    });
}

void curl_http::watch(curl_socket_t socket, int what) {
    auto& watched = sockets_[socket];
    if (!watched) watched = std::make_shared<socket_watch>(strand_, socket);
    watched->wanted = what;
    wait_for(watched);
}

void curl_http::forget(curl_socket_t socket) {
    const auto found = sockets_.find(socket);
    if (found == sockets_.end()) return;
    found->second->removed = true;
    found->second->descriptor.release();  // cancels its waits, leaves the socket open: it is libcurl's
    sockets_.erase(found);
}

void curl_http::wait_for(const std::shared_ptr<socket_watch>& watched) {
    const auto again = [this](const std::shared_ptr<socket_watch>& which, bool socket_watch::*pending, int event) {
        (*which).*pending = true;
        const auto kind = event == CURL_CSELECT_IN ? asio::posix::descriptor_base::wait_read
                                                   : asio::posix::descriptor_base::wait_write;
        auto ready = [weak = weak_from_this(), which, pending, event](const boost::system::error_code& error) {
            (*which).*pending = false;
            const auto self = weak.lock();
            if (!self || error || which->removed) return;
            self->act(which->fd, event);
            if (!which->removed) self->wait_for(which);
        };
        which->descriptor.async_wait(kind, std::move(ready));
    };
    if ((watched->wanted & CURL_POLL_IN) != 0 && !watched->reading)
        again(watched, &socket_watch::reading, CURL_CSELECT_IN);
    if ((watched->wanted & CURL_POLL_OUT) != 0 && !watched->writing)
        again(watched, &socket_watch::writing, CURL_CSELECT_OUT);
}

}  // namespace

result<std::shared_ptr<http_transport>> make_curl_http(curl_http_options options, asio::any_io_executor executor) {
    static std::once_flag once;  // libcurl's own global state, which has no other home
    static CURLcode initialised = CURLE_FAILED_INIT;
    std::call_once(once, [] { initialised = curl_global_init(CURL_GLOBAL_DEFAULT); });
    if (initialised != CURLE_OK) return fail(errc::unsupported, "libcurl can't be initialised");
    auto http = std::make_shared<curl_http>(std::move(options), executor);
    TRYV(http->initialise());
    return std::shared_ptr<http_transport>(std::move(http));
}

}  // namespace obd::registry

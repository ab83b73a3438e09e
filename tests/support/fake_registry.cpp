#include "tests/support/fake_registry.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/ssl/impl/src.hpp>  // separate compilation: the one place that uses TLS through Asio
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <mutex>
#include <set>
#include <thread>

#include "base/digest.hpp"
#include "registry/credentials.hpp"

namespace obd::test {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using tcp = asio::ip::tcp;
using unix_stream = asio::local::stream_protocol;
constexpr auto tuple_awaitable = asio::as_tuple(asio::use_awaitable);

std::string lower(std::string_view text) {
    std::string out(text);
    for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return out;
}

/// "bytes=a-b" of a body of `size` bytes.
std::optional<std::pair<std::uint64_t, std::uint64_t>> wanted_range(const std::string& header, std::uint64_t size) {
    unsigned long long first = 0;
    unsigned long long last = 0;
    if (std::sscanf(header.c_str(), "bytes=%llu-%llu", &first, &last) != 2 || first >= size) return std::nullopt;
    return std::pair<std::uint64_t, std::uint64_t>(first, std::min<std::uint64_t>(last, size - 1));
}

std::string head_of(const fake_reply& reply, std::string_view method) {
    std::string out = "HTTP/1.1 " + std::to_string(reply.status) + " Status\r\n";
    bool has_length = false;
    for (const auto& [name, value] : reply.headers) {
        has_length = has_length || lower(name) == "content-length";
        out += name + ": " + value + "\r\n";
    }
    if (!has_length && method != "HEAD") out += "Content-Length: " + std::to_string(reply.body.size()) + "\r\n";
    return out + "\r\n";
}

}  // namespace

void fake_reply::set_header(const std::string& name, const std::string& value) {
    for (auto& header : headers) {
        if (lower(header.first) != lower(name)) continue;
        header.second = value;
        return;
    }
    headers.emplace_back(name, value);
}

class fake_registry::state : public std::enable_shared_from_this<state> {
public:
    explicit state(options how);
    void start();
    void stop();

    fake_reply answer(const fake_request& request);

    const options how_;
    std::string host_;
    mutable std::mutex mutex_;
    std::map<std::string, std::string> blobs_;
    std::map<std::string, std::pair<std::string, std::string>> manifests_;
    std::map<std::string, fake_reply> pages_;
    std::string basic_;  ///< the Authorization header that is right; empty: none needed
    bool bearer_ = false;
    std::string bearer_user_;
    int expires_in_ = 300;
    std::set<std::string> tokens_;
    int tokens_issued_ = 0;
    fault fault_;
    std::vector<fake_request> log_;

private:
    fake_reply usual(const fake_request& request);
    fake_reply token(const fake_request& request);
    fake_reply blob(const fake_request& request, const std::string& digest);
    bool allowed(const fake_request& request, fake_reply& refusal) const;

    template <typename Acceptor>
    asio::awaitable<void> accept(Acceptor& acceptor);
    template <typename Socket>
    asio::awaitable<void> serve(Socket socket);
    template <typename Stream>
    asio::awaitable<void> talk(Stream& stream);
    template <typename Stream>
    asio::awaitable<bool> send(Stream& stream, const fake_reply& reply, std::string method);

    asio::ssl::context tls_{asio::ssl::context::tls_server};
    std::optional<asio::io_context> context_{std::in_place, 1};
    std::optional<tcp::acceptor> tcp_;
    std::optional<unix_stream::acceptor> local_;
    std::thread thread_;
};

fake_registry::state::state(options how) : how_(std::move(how)) {
    if (!how_.tls_cert.empty()) {
        tls_.use_certificate_chain_file(how_.tls_cert);
        tls_.use_private_key_file(how_.tls_key, asio::ssl::context::pem);
    }
    if (how_.unix_socket.empty()) {
        tcp_.emplace(*context_, tcp::endpoint(asio::ip::address_v4::loopback(), 0));
        host_ = "127.0.0.1:" + std::to_string(tcp_->local_endpoint().port());
    } else {
        local_.emplace(*context_, unix_stream::endpoint(how_.unix_socket.string()));
        host_ = "localhost";
    }
}

void fake_registry::state::start() {
    const auto ignore = [](const std::exception_ptr&) {};  // a client that went away
    if (how_.unix_socket.empty()) {
        asio::co_spawn(*context_, accept(*tcp_), ignore);
    } else {
        asio::co_spawn(*context_, accept(*local_), ignore);
    }
    thread_ = std::thread([this] { context_->run(); });
}

void fake_registry::state::stop() {
    if (!thread_.joinable()) return;
    context_->stop();
    thread_.join();
    tcp_.reset();
    local_.reset();
    context_.reset();  // with the connections
}

template <typename Acceptor>
asio::awaitable<void> fake_registry::state::accept(Acceptor& acceptor) {
    while (true) {
        auto [error, socket] = co_await acceptor.async_accept(tuple_awaitable);
        if (error) co_return;
        asio::co_spawn(*context_, serve(std::move(socket)), [](const std::exception_ptr&) {});
    }
}

template <typename Socket>
asio::awaitable<void> fake_registry::state::serve(Socket socket) {
    if (how_.tls_cert.empty()) {
        co_await talk(socket);
        co_return;
    }
    asio::ssl::stream<Socket> stream(std::move(socket), tls_);
    const auto [error] = co_await stream.async_handshake(asio::ssl::stream_base::server, tuple_awaitable);
    if (error) co_return;
    co_await talk(stream);
}

template <typename Stream>
asio::awaitable<void> fake_registry::state::talk(Stream& stream) {
    beast::flat_buffer buffer;
    while (true) {
        http::request<http::string_body> message;
        const auto [error, bytes] = co_await http::async_read(stream, buffer, message, tuple_awaitable);
        if (error) co_return;
        fake_request request;
        request.method = std::string(message.method_string());
        request.target = std::string(message.target());
        for (const auto& field : message)
            request.headers[lower(std::string(field.name_string()))] = std::string(field.value());
        request.body = message.body();
        const auto reply = answer(request);
        const bool go_on = co_await send(stream, reply, request.method);
        if (!go_on) co_return;
    }
}

template <typename Stream>
asio::awaitable<bool> fake_registry::state::send(Stream& stream, const fake_reply& reply, std::string method) {
    auto& lowest = beast::get_lowest_layer(stream);
    if (reply.end == fake_reply::ending::reset) {
        lowest.set_option(asio::socket_base::linger(true, 0));
        lowest.close();
        co_return false;
    }
    auto bytes = head_of(reply, method);
    const bool whole = reply.end == fake_reply::ending::proper;
    if (method != "HEAD") bytes += whole ? reply.body : reply.body.substr(0, reply.body.size() / 2);
    const auto [error, written] = co_await asio::async_write(stream, asio::buffer(bytes), tuple_awaitable);
    if (error || reply.end == fake_reply::ending::short_body) co_return false;
    if (reply.end == fake_reply::ending::stall) {
        // Until the client closes: then the read ends.
        char byte = 0;
        const auto gone = co_await stream.async_read_some(asio::buffer(&byte, 1), tuple_awaitable);
        static_cast<void>(gone);
        co_return false;
    }
    co_return true;
}

fake_reply fake_registry::state::answer(const fake_request& request) {
    const std::scoped_lock lock(mutex_);
    log_.push_back(request);
    auto reply = usual(request);
    if (fault_) fault_(request, reply);
    return reply;
}

fake_reply fake_registry::state::usual(const fake_request& request) {
    const auto path = request.target.substr(0, request.target.find('?'));
    if (const auto page = pages_.find(path); page != pages_.end()) return page->second;
    if (path == "/token") return token(request);
    fake_reply reply;
    if (!allowed(request, reply)) return reply;
    if (path == "/v2/") return reply;
    const auto slash = path.rfind('/');
    const auto name = path.substr(slash + 1);
    if (path.find("/blobs/") != std::string::npos && blobs_.contains(name)) return blob(request, name);
    if (const auto found = manifests_.find(name);
        path.find("/manifests/") != std::string::npos && found != manifests_.end()) {
        reply.body = found->second.first;
        reply.headers.emplace_back("Content-Type", found->second.second);
        reply.headers.emplace_back("Docker-Content-Digest", sha256_digest(as_bytes(reply.body)));
        return reply;
    }
    reply.status = 404;
    reply.body = R"({"errors":[{"code":"NAME_UNKNOWN","message":"repository name not known to registry"}]})";
    return reply;
}

bool fake_registry::state::allowed(const fake_request& request, fake_reply& refusal) const {
    const auto given = request.header("authorization");
    if (!basic_.empty() && given != basic_) {
        refusal.status = 401;
        refusal.headers.emplace_back("WWW-Authenticate", "Basic realm=\"fake\"");
        return false;
    }
    if (bearer_ && !tokens_.contains(given)) {
        refusal.status = 401;
        refusal.headers.emplace_back("WWW-Authenticate",
                                     "Bearer realm=\"http://" + host_ +
                                         "/token\",service=\"fake, with comma\",scope=\"repository:team/app:pull\"");
        return false;
    }
    return true;
}

fake_reply fake_registry::state::token(const fake_request& request) {
    fake_reply reply;
    if (!bearer_user_.empty() && request.header("authorization") != bearer_user_) {
        reply.status = 401;
        return reply;
    }
    const auto text = "token-" + std::to_string(++tokens_issued_);
    tokens_.insert("Bearer " + text);
    // Both spellings occur in the field.
    const char* const name = tokens_issued_ % 2 == 0 ? "access_token" : "token";
    reply.body = std::string("{\"") + name + "\":\"" + text + "\",\"expires_in\":" + std::to_string(expires_in_) + "}";
    return reply;
}

fake_reply fake_registry::state::blob(const fake_request& request, const std::string& digest) {
    const auto& bytes = blobs_.at(digest);
    fake_reply reply;
    reply.body = bytes;
    if (request.method == "HEAD") reply.headers.emplace_back("Content-Length", std::to_string(bytes.size()));
    const auto range = wanted_range(request.header("range"), bytes.size());
    if (!range) return reply;
    reply.status = 206;
    reply.body = bytes.substr(range->first, range->second - range->first + 1);
    reply.headers.emplace_back("Content-Range", "bytes " + std::to_string(range->first) + "-" +
                                                    std::to_string(range->second) + "/" + std::to_string(bytes.size()));
    return reply;
}

fake_registry::fake_registry(options how) : state_(std::make_shared<state>(std::move(how))) {
    state_->start();
}
fake_registry::~fake_registry() {
    stop();
}

std::string fake_registry::host() const {
    return state_->host_;
}
std::string fake_registry::base() const {
    return (state_->how_.tls_cert.empty() ? "http://" : "https://") + host();
}

std::string fake_registry::add_blob(std::string bytes) {
    const std::scoped_lock lock(state_->mutex_);
    auto digest = sha256_digest(as_bytes(bytes));
    state_->blobs_[digest] = std::move(bytes);
    return digest;
}

std::string fake_registry::add_manifest(std::string tag, std::string bytes, std::string media_type) {
    const std::scoped_lock lock(state_->mutex_);
    auto digest = sha256_digest(as_bytes(bytes));
    state_->manifests_[digest] = {bytes, media_type};
    if (!tag.empty()) state_->manifests_[tag] = {std::move(bytes), std::move(media_type)};
    return digest;
}

void fake_registry::add_page(std::string target, fake_reply reply) {
    const std::scoped_lock lock(state_->mutex_);
    state_->pages_[std::move(target)] = std::move(reply);
}

void fake_registry::require_basic(std::string user, std::string password) {
    const std::scoped_lock lock(state_->mutex_);
    state_->basic_ = "Basic " + registry::base64_encode(user + ":" + password);
}

void fake_registry::require_bearer(std::string user, std::string password, int expires_in_s) {
    const std::scoped_lock lock(state_->mutex_);
    state_->bearer_ = true;
    state_->expires_in_ = expires_in_s;
    if (!user.empty()) state_->bearer_user_ = "Basic " + registry::base64_encode(user + ":" + password);
}

void fake_registry::revoke_tokens() {
    const std::scoped_lock lock(state_->mutex_);
    state_->tokens_.clear();
}

void fake_registry::set_fault(fault hook) {
    const std::scoped_lock lock(state_->mutex_);
    state_->fault_ = std::move(hook);
}

std::vector<fake_request> fake_registry::requests() const {
    const std::scoped_lock lock(state_->mutex_);
    return state_->log_;
}

std::size_t fake_registry::count(std::string_view method, std::string_view target_prefix) const {
    const std::scoped_lock lock(state_->mutex_);
    std::size_t count = 0;
    for (const auto& request : state_->log_)
        count += request.method == method && request.target.starts_with(target_prefix) ? 1u : 0u;
    return count;
}

void fake_registry::clear_requests() {
    const std::scoped_lock lock(state_->mutex_);
    state_->log_.clear();
}

void fake_registry::stop() {
    state_->stop();
}

}  // namespace obd::test

#include "registry/curl_transfer.hpp"

#include <algorithm>
#include <charconv>

#include "registry/url.hpp"

namespace obd::registry {
namespace {

constexpr std::size_t response_header_limit = 256 << 10;  // all lines together; registries send below 4 KiB

std::string lower(std::string_view text) {
    std::string out(text);
    std::transform(out.begin(), out.end(), out.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
    return out;
}

std::string_view trim(std::string_view text) {
    constexpr std::string_view space = " \t\r\n";
    const auto first = text.find_first_not_of(space);
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(space) - first + 1);
}

std::string without_query(std::string_view text) {
    return std::string(text.substr(0, text.find('?')));
}

errc meaning_of(CURLcode code) {
    switch (code) {  // an enum of another library's: what is not listed means "the network failed"
        case CURLE_OPERATION_TIMEDOUT:
            return errc::timed_out;
        case CURLE_SSL_CONNECT_ERROR:
            return errc::io_error;
        case CURLE_PEER_FAILED_VERIFICATION:
        case CURLE_SSL_ISSUER_ERROR:
            return errc::permission_denied;
        case CURLE_SSL_CACERT_BADFILE:
        case CURLE_SSL_CERTPROBLEM:
        case CURLE_SSL_CIPHER:
        case CURLE_URL_MALFORMAT:
        case CURLE_UNSUPPORTED_PROTOCOL:
            return errc::invalid_argument;
        default:
            return errc::unavailable;
    }
}

}  // namespace

result<void> curl_transfer::prepare(const curl_http_options& options) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(request_.until - deadline::clock::now());
    if (left.count() <= 0) return fail(errc::timed_out, request_.method + " " + without_query(request_.url));
    easy_.reset(curl_easy_init());
    if (!easy_) return fail(errc::limit_exceeded, "libcurl has no handle left");
    CURL* const easy = easy_.get();
    curl_easy_setopt(easy, CURLOPT_URL, request_.url.c_str());
    curl_easy_setopt(easy, CURLOPT_PRIVATE, this);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, error_text_.data());
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);  // redirects carry credentials: registry/access decides
    curl_easy_setopt(easy, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, static_cast<long>(left.count()));
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                     static_cast<long>(std::min(left, options.connect_timeout).count()));
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 256L << 10);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_2TLS));
    if (!options.user_agent.empty()) curl_easy_setopt(easy, CURLOPT_USERAGENT, options.user_agent.c_str());
    if (!request_.unix_socket.empty()) curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, request_.unix_socket.c_str());
    const auto target = parse_url(request_.url);
    if (!target) return target.error();
    // A proxy from the environment can't reach this machine's own loopback.
    if (is_loopback_host(target->host)) curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, &curl_transfer::on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, this);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &curl_transfer::on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, this);
    set_method();
    set_tls(options);
    return set_headers();
}

void curl_transfer::set_method() {
    CURL* const easy = easy_.get();
    if (request_.method == "GET") return;
    if (request_.method == "HEAD") {
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
        return;
    }
    const bool has_body = request_.method == "PUT" || request_.method == "POST" || request_.method == "PATCH";
    if (has_body) {
        curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(easy, CURLOPT_READFUNCTION, &curl_transfer::on_upload);
        curl_easy_setopt(easy, CURLOPT_READDATA, this);
        curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(request_.body.size()));
        curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, 512L << 10);
    }
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request_.method.c_str());
}

result<void> curl_transfer::set_headers() {
    curl_slist* list = curl_slist_append(nullptr, "Expect:");  // "100-continue" would cost every upload a round trip
    for (const auto& [name, value] : request_.headers) {
        // A token or a user name with a line break in it must not become a second header.
        if (name.find_first_of("\r\n:") != std::string::npos || value.find_first_of("\r\n") != std::string::npos) {
            curl_slist_free_all(list);
            return fail(errc::invalid_argument, "header " + name + " contains a line break");
        }
        list = curl_slist_append(list, (name + ": " + value).c_str());
    }
    header_list_.reset(list);
    curl_easy_setopt(easy_.get(), CURLOPT_HTTPHEADER, list);
    return {};
}

void curl_transfer::set_tls(const curl_http_options& options) {
    CURL* const easy = easy_.get();
    const auto& files = request_.tls ? *request_.tls : options.tls;
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
    if (!files.ca.empty()) {
        curl_easy_setopt(easy, CURLOPT_CAINFO, files.ca.c_str());
        curl_easy_setopt(easy, CURLOPT_CAPATH, nullptr);  // the configured authorities alone
    }
    if (!files.client_cert.empty()) curl_easy_setopt(easy, CURLOPT_SSLCERT, files.client_cert.c_str());
    if (!files.client_key.empty()) curl_easy_setopt(easy, CURLOPT_SSLKEY, files.client_key.c_str());
    if (request_.security == transport_security::insecure) {
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    }
}

std::size_t curl_transfer::on_header(char* data, std::size_t one, std::size_t count, void* self) noexcept {
    auto& transfer = *static_cast<curl_transfer*>(self);
    transfer.take_header({data, one * count});
    std::size_t total = 0;
    for (const auto& [name, value] : transfer.response_.headers) total += name.size() + value.size();
    return total > response_header_limit ? 0 : one * count;
}

void curl_transfer::take_header(std::string_view line) {
    if (line.starts_with("HTTP/")) {  // also after a 1xx response
        response_.headers.clear();
        return;
    }
    const auto colon = line.find(':');
    if (colon == std::string_view::npos) return;
    response_.headers.emplace_back(lower(trim(line.substr(0, colon))), std::string(trim(line.substr(colon + 1))));
}

void curl_transfer::choose_destination() {
    long status = 0;
    curl_easy_getinfo(easy_.get(), CURLINFO_RESPONSE_CODE, &status);
    curl_off_t length = -1;
    curl_easy_getinfo(easy_.get(), CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    const bool whole = status == 200 && length >= 0 && static_cast<std::size_t>(length) == request_.into.size();
    const bool fits = !request_.into.empty() && (status == 206 || whole);
    destination_ = fits ? destination::into : destination::body;
}

std::size_t curl_transfer::on_body(char* data, std::size_t one, std::size_t count, void* self) noexcept {
    const auto bytes = as_bytes({data, one * count});
    return static_cast<curl_transfer*>(self)->take_body(bytes) ? bytes.size() : 0;
}

bool curl_transfer::take_body(const_bytes data) {
    if (destination_ == destination::undecided) choose_destination();
    const bool direct = destination_ == destination::into;
    const auto room =
        direct ? request_.into.size() - response_.into_bytes : request_.body_limit - response_.body.size();
    const auto taken = data.first(std::min(room, data.size()));
    if (direct && !taken.empty()) {
        std::copy(taken.begin(), taken.end(),
                  request_.into.begin() + static_cast<std::ptrdiff_t>(response_.into_bytes));
        response_.into_bytes += taken.size();
    } else {
        response_.body.append(as_text(taken));
    }
    response_.truncated = taken.size() < data.size();
    return !response_.truncated;
}

std::size_t curl_transfer::on_upload(char* buffer, std::size_t one, std::size_t count, void* self) noexcept {
    auto& transfer = *static_cast<curl_transfer*>(self);
    const auto rest = transfer.request_.body.subspan(transfer.uploaded_);
    const auto taken = as_text(rest.first(std::min(rest.size(), one * count)));
    std::copy(taken.begin(), taken.end(), buffer);
    transfer.uploaded_ += taken.size();
    return taken.size();
}

result<http_response> curl_transfer::outcome(CURLcode code) {
    const bool we_ended_it = response_.truncated && code == CURLE_WRITE_ERROR;
    if (code == CURLE_OK || we_ended_it) {
        long status = 0;
        curl_easy_getinfo(easy_.get(), CURLINFO_RESPONSE_CODE, &status);
        response_.status = static_cast<int>(status);
        return std::move(response_);
    }
    const std::string reason = error_text_[0] != '\0' ? std::string(error_text_.data()) : curl_easy_strerror(code);
    return fail(meaning_of(code), request_.method + " " + without_query(request_.url) + ": " + reason);
}

}  // namespace obd::registry

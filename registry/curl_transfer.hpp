// One HTTP exchange on a libcurl easy handle: its options, its callbacks, what came of it. Used by curl_http alone.
#pragma once

#include <curl/curl.h>

#include <array>
#include <cstdint>
#include <memory>

#include "registry/curl_http.hpp"
#include "registry/resumption.hpp"

namespace obd::registry {

/// Lives on the transport's strand. libcurl holds its address from prepare() on.
class curl_transfer {
public:
    using completion = resumption<result<http_response>>;

    curl_transfer(std::uint64_t id, http_request request, completion done)
        : id_(id), request_(std::move(request)), done_(std::move(done)) {}
    curl_transfer(const curl_transfer&) = delete;
    curl_transfer& operator=(const curl_transfer&) = delete;

    /// Sets every option of the easy handle. Fails with timed_out when the deadline is over already.
    result<void> prepare(const curl_http_options& options);
    CURL* easy() const { return easy_.get(); }
    std::uint64_t id() const { return id_; }

    /// What libcurl's final code means.
    result<http_response> outcome(CURLcode code);
    void complete(result<http_response> with) { done_.resume(std::move(with)); }

private:
    static std::size_t on_header(char* data, std::size_t one, std::size_t count, void* self) noexcept;
    static std::size_t on_body(char* data, std::size_t one, std::size_t count, void* self) noexcept;
    static std::size_t on_upload(char* buffer, std::size_t one, std::size_t count, void* self) noexcept;

    void take_header(std::string_view line);
    bool take_body(const_bytes data);
    void choose_destination();
    void set_method();
    result<void> set_headers();
    void set_tls(const curl_http_options& options);

    struct easy_deleter {
        void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
    };
    struct list_deleter {
        void operator()(curl_slist* list) const { curl_slist_free_all(list); }
    };

    const std::uint64_t id_;
    http_request request_;
    completion done_;
    std::unique_ptr<curl_slist, list_deleter> header_list_;
    std::unique_ptr<CURL, easy_deleter> easy_;
    std::array<char, CURL_ERROR_SIZE> error_text_{};
    http_response response_;
    std::size_t uploaded_ = 0;
    enum class destination { undecided, into, body } destination_ = destination::undecided;
};

}  // namespace obd::registry

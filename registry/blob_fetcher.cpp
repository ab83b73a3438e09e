#include "registry/blob_fetcher.hpp"

#include <charconv>

#include "base/digest.hpp"
#include "registry/http_status.hpp"
#include "registry/reference.hpp"
#include "registry/url.hpp"

namespace obd::registry {
namespace {

std::optional<std::uint64_t> take_number(std::string_view& text) {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc()) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    return value;
}

bool take_char(std::string_view& text, char c) {
    if (!text.starts_with(c)) return false;
    text.remove_prefix(1);
    return true;
}

failure wrong_answer(errc code, const std::string& url, const std::string& what) {
    return fail(code, "GET " + url.substr(0, url.find('?')) + ": " + what);
}

/// RFC 9110 §15.3.7: a 206 must say which range it carries; we trust nothing else.
result<byte_count> check_partial(const std::string& url, const blob_range& asked, const http_response& response) {
    const auto header = response.header("content-range");
    if (!header) return wrong_answer(errc::corrupt, url, "status 206 without Content-Range");
    const auto range = parse_content_range(*header);
    const auto last = asked.offset.value + asked.into.size() - 1;
    if (!range || range->first != asked.offset.value || range->last != last) {
        return wrong_answer(errc::corrupt, url,
                            "asked for bytes " + std::to_string(asked.offset.value) + "-" + std::to_string(last) +
                                ", the answer is of \"" + std::string(header->substr(0, 80)) + "\"");
    }
    if (!range->total && asked.blob_size.value == 0)
        return wrong_answer(errc::corrupt, url, "the answer does not tell the blob's size");
    const auto total = range->total.value_or(asked.blob_size.value);
    if (asked.blob_size.value != 0 && total != asked.blob_size.value) {
        return wrong_answer(errc::corrupt, url,
                            "the registry says the blob has " + std::to_string(total) + " bytes, expected " +
                                std::to_string(asked.blob_size.value));
    }
    return byte_count{total};
}

result<byte_count> check_answer(const std::string& url, const blob_range& asked, const http_response& response) {
    const auto encoding = response.header("content-encoding");
    if (encoding && !encoding->empty() && *encoding != "identity") {
        return wrong_answer(errc::unsupported, url, "the answer has a content encoding that was not asked for");
    }
    byte_count total = asked.blob_size;
    if (response.status == 206) {
        TRY(total, check_partial(url, asked, response));
    } else {
        const bool whole = asked.offset.value == 0 && asked.into.size() == asked.blob_size.value;
        if (response.status != 200 || !whole) {
            return wrong_answer(
                errc::unsupported, url,
                "status " + std::to_string(response.status) +
                    " to a range request: the server ignores Range, so the blob can't be read at random");
        }
    }
    if (response.truncated || response.into_bytes != asked.into.size()) {
        return wrong_answer(errc::corrupt, url,
                            "the body has " + std::string(response.truncated ? "more than " : "only ") +
                                std::to_string(response.into_bytes) + " bytes of " + std::to_string(asked.into.size()));
    }
    return total;
}

}  // namespace

result<blob_location> locate_blob(std::string_view repo_blob_url, std::string_view digest,
                                  transport_security security) {
    while (repo_blob_url.ends_with('/')) repo_blob_url.remove_suffix(1);
    if (!is_sha256_digest(digest)) {
        return fail(errc::invalid_argument,
                    "blob digest \"" + std::string(digest) + "\" is not sha256: and 64 lower-case hex digits");
    }
    TRY(const auto parsed, parse_url(repo_blob_url));
    std::string_view name = parsed.path;
    const bool shaped = name.starts_with("/v2/") && name.ends_with("/blobs") && name.size() > 10;
    if (!shaped) {
        return fail(errc::invalid_argument,
                    "repoBlobUrl " + parsed.without_query() + ": expected http(s)://host[:port]/v2/<name>/blobs");
    }
    name.remove_prefix(4);
    name.remove_suffix(6);
    blob_location out;
    out.url = parsed.without_query() + "/" + std::string(digest);
    out.scope.repository = name;
    out.scope.security = security;
    return out;
}

std::optional<content_range> parse_content_range(std::string_view value) {
    constexpr std::string_view unit = "bytes ";
    if (!value.starts_with(unit)) return std::nullopt;
    value.remove_prefix(unit.size());
    content_range out{};
    const auto first = take_number(value);
    if (!first || !take_char(value, '-')) return std::nullopt;
    const auto last = take_number(value);
    if (!last || *last < *first || !take_char(value, '/')) return std::nullopt;
    out.first = *first;
    out.last = *last;
    if (value == "*") return out;
    out.total = take_number(value);
    if (!out.total || !value.empty() || *out.total <= *last) return std::nullopt;
    return out;
}

asio::awaitable<result<byte_count>> blob_fetcher::fetch(blob_location from, blob_range range,
                                                        std::atomic<std::uint64_t>& network_bytes) {
    http_request request;
    request.url = from.url;
    request.security = from.scope.security;
    request.into = range.into;
    request.until = range.until;
    const auto last = range.offset.value + range.into.size() - 1;
    request.headers.emplace_back("Range", "bytes=" + std::to_string(range.offset.value) + "-" + std::to_string(last));
    byte_count size{};
    access::response_check check = [&](const http_response& response) -> result<void> {
        network_bytes.fetch_add(response.into_bytes + response.body.size(), std::memory_order_relaxed);
        TRY(size, check_answer(from.url, range, response));
        return {};
    };
    CO_TRYV(co_await requests_.send(std::move(request), from.scope, check));
    co_return size;
}

asio::awaitable<result<byte_count>> blob_fetcher::size(blob_location of, deadline until) {
    std::byte first{};
    std::atomic<std::uint64_t> uncounted{0};
    blob_range range{.offset = {0}, .into = {&first, 1}, .blob_size = {0}, .until = until};
    co_return co_await fetch(std::move(of), range, uncounted);
}

}  // namespace obd::registry

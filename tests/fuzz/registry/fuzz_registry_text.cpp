// Everything that a registry, a user or a token service sends as text. The first byte chooses the parser.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/result.hpp"
#include "registry/blob_fetcher.hpp"
#include "registry/challenge.hpp"
#include "registry/credentials.hpp"
#include "registry/http_status.hpp"
#include "registry/manifest.hpp"
#include "registry/reference.hpp"
#include "registry/uploader.hpp"
#include "registry/url.hpp"

using namespace obd;
using namespace obd::registry;

namespace {

void manifest(std::string_view text) {
    const auto parsed = parse_manifest(text, "", "fuzz");
    if (!parsed) return;
    if (const auto* const image = std::get_if<image_manifest>(&*parsed)) {
        static_cast<void>(overlaybd_layers_of(*image, "fuzz"));
    } else {
        static_cast<void>(choose_platform(std::get<image_index>(*parsed), this_machine(), "fuzz"));
    }
}

void reference(std::string_view text) {
    const auto parsed = parse_reference(text);
    if (!parsed) return;
    // What was normalised stays as it is.
    const auto again = parse_reference(parsed->text());
    ASSERT(again && again->text() == parsed->text());
}

void headers(std::string_view text) {
    for (const auto& one : parse_challenges(text)) static_cast<void>(split_scopes(one.param("scope")));
    static_cast<void>(parse_content_range(text));
    static_cast<void>(parse_upload_range(text));
    http_response response;
    response.headers.emplace_back("retry-after", std::string(text));
    response.body = text;
    static_cast<void>(retry_after(response, {}));
    static_cast<void>(status_failure({}, response));
}

void credentials(std::string_view text) {
    credential_query query;
    query.host = "h:1";
    query.repository = "a/b";
    static_cast<void>(match_credential(text, "fuzz", query));
    static_cast<void>(base64_decode(text));
}

void urls(std::string_view text) {
    const auto parsed = parse_url(text);
    const auto base = parse_url("https://h/v2/a/blobs/x").value();
    static_cast<void>(resolve_location(base, text));
    if (parsed) ASSERT(parsed->scheme == "http" || parsed->scheme == "https");
}

constexpr void (*parsers[])(std::string_view) = {manifest, reference, headers, credentials, urls};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const auto text = as_text(std::as_bytes(std::span(data + 1, size - 1)));
    parsers[data[0] % std::size(parsers)](text);
    return 0;
}

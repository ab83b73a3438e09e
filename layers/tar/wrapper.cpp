#include "layers/tar/wrapper.hpp"

#include <array>
#include <string>
#include <utility>
#include <vector>

namespace obd::layers::tar {
namespace {

/// Real pax headers hold some hundred bytes; a long path or a few attributes make it some thousand.
constexpr std::uint64_t max_pax_bytes = 1 << 20;
/// Pax headers before the member: a global one and its own.
constexpr int max_headers = 4;

failure at(std::uint64_t offset, errc code, const std::string& reason) {
    return fail(code, "tar header at byte " + std::to_string(offset) + ": " + reason);
}

/// The payload of a member whose header ends at `start`.
result<std::optional<payload>> payload_at(std::uint64_t start, std::uint64_t size, byte_count blob_size) {
    if (!within({start}, {size}, blob_size)) {
        return at(start - block_bytes, errc::corrupt,
                  "its file of " + std::to_string(size) + " bytes is cut off, the blob has " +
                      std::to_string(blob_size.value));
    }
    return std::optional(payload{.offset = {start}, .size = {size}});
}

asio::awaitable<result<std::optional<std::uint64_t>>> read_pax_size(blob_source& blob, byte_offset offset,
                                                                    byte_count length) {
    if (length.value > max_pax_bytes) co_return fail(errc::limit_exceeded, "pax header longer than 1 MiB");
    if (!within(offset, length, blob.size())) co_return fail(errc::corrupt, "pax header is cut off");
    std::vector<std::byte> records(length.value);
    const mutable_bytes space(records);
    CO_TRYV(co_await blob.read(offset, space));
    co_return size_in_pax(records);
}

}  // namespace

asio::awaitable<result<std::optional<payload>>> find_payload(blob_source& blob) {
    std::array<std::byte, block_bytes> block{};
    const mutable_bytes space(block);
    std::optional<std::uint64_t> pax_size;
    std::uint64_t position = 0;
    for (int headers = 0; headers < max_headers; ++headers) {
        const byte_offset offset{position};
        if (!within(offset, {block_bytes}, blob.size())) {
            if (position == 0) co_return std::optional<payload>{};
            co_return at(position, errc::corrupt, "it is cut off");
        }
        CO_TRYV(co_await blob.read(offset, space));
        CO_TRY(const auto decoded, decode_header(space));
        if (!decoded && position == 0) co_return std::optional<payload>{};
        if (!decoded) co_return at(position, errc::corrupt, "not a valid header");
        const std::uint64_t content = position + block_bytes;
        if (decoded->type == header::kind::unfinished) {
            co_return at(position, errc::corrupt, "the tar is unfinished (\"xxtar\"): its writer did not complete it");
        }
        if (decoded->type == header::kind::file) {
            const std::uint64_t size = pax_size.value_or(0) > 0 ? *pax_size : decoded->size;
            co_return payload_at(content, size, blob.size());
        }
        if (decoded->type == header::kind::other) {
            co_return at(position, errc::unsupported, "\"" + decoded->name + "\" is not a regular file: not a layer");
        }
        const byte_offset records{content};
        const byte_count length{decoded->size};
        auto size = co_await read_pax_size(blob, records, length);
        if (!size) co_return in_context(std::move(size).error(), "tar header at byte " + std::to_string(position));
        if (*size && decoded->type == header::kind::pax) pax_size = *size;
        position = content + align_up(length.value, block_bytes);
    }
    co_return at(position, errc::corrupt, "no file behind " + std::to_string(max_headers) + " pax headers");
}

}  // namespace obd::layers::tar

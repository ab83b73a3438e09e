#include "layers/opened_layer.hpp"

#include <array>
#include <utility>

#include "base/digest.hpp"
#include "layers/tar/wrapper.hpp"
#include "layers/window_source.hpp"
#include "layers/zfile/reader.hpp"

namespace obd::layers {
namespace {

std::string joined(const std::string& outer, const std::string& inner) {
    return outer.empty() ? inner : outer + "+" + inner;
}

/// What tells this content from another on every node: its digest, or what a file without one has of its own.
std::array<std::byte, 32> identity_of(const std::string& digest, byte_count blob_size, const lsmt::layer& layer) {
    sha256 hash;
    if (!digest.empty()) {
        hash.update(as_bytes("digest ")).update(as_bytes(digest));
        return std::move(hash).finish();
    }
    const boost::endian::little_uint64_t size(blob_size.value);
    const boost::endian::little_uint64_t virtual_size(layer.virtual_size().value);
    hash.update(as_bytes("file ")).update(as_bytes(layer.trailer().uuid)).update(bytes_of(size));
    hash.update(bytes_of(virtual_size)).update(std::as_bytes(layer.mappings()));
    return std::move(hash).finish();
}

asio::awaitable<result<std::shared_ptr<const opened_layer>>> open_once(layer_identity who,
                                                                       std::shared_ptr<blob_source> blob,
                                                                       std::shared_ptr<blob_source> target,
                                                                       worker_pool& workers) {
    auto unwrapped = co_await unwrap(blob, workers);
    if (!unwrapped) co_return std::move(unwrapped).error();
    auto opened = std::make_shared<opened_layer>();
    if (target) {
        CO_TRY(opened->lsmt, co_await lsmt::layer::open_turbo(unwrapped->content, target));
    } else {
        CO_TRY(opened->lsmt, co_await lsmt::layer::open(unwrapped->content));
    }
    opened->identity = identity_of(who.digest, blob->size(), *opened->lsmt);
    opened->name = std::move(who.name);
    opened->digest = std::move(who.digest);
    opened->form = joined(unwrapped->form, target ? "lsmt+target" : "lsmt");
    opened->compressed = unwrapped->compressed;
    opened->blob = std::move(blob);
    co_return std::shared_ptr<const opened_layer>(std::move(opened));
}

}  // namespace

asio::awaitable<result<unwrapped_blob>> unwrap(std::shared_ptr<blob_source> blob, worker_pool& workers) {
    unwrapped_blob bare{.content = blob, .form = {}, .compressed = false};
    CO_TRY(const auto payload, co_await tar::find_payload(*blob));
    if (payload) {
        bare.content = std::make_shared<window_source>(blob, payload->offset, payload->size);
        bare.form = "tar";
    }
    if (bare.content->size().value < zfile::header_space_bytes) co_return bare;
    std::array<std::byte, zfile::header_space_bytes> start{};
    const mutable_bytes space(start);
    const byte_offset first{0};
    CO_TRYV(co_await bare.content->read(first, space));
    if (!zfile::has_magic(space)) co_return bare;
    CO_TRY(auto decoded, co_await zfile::reader::open(bare.content, workers));
    const auto& info = decoded->info();
    const std::string coding = std::string(zfile::name_of(info.algo)) + "," + std::to_string(info.block_bytes);
    bare.form = joined(bare.form, "zfile(" + coding + ")");
    bare.compressed = true;
    bare.content = std::move(decoded);
    co_return bare;
}

asio::awaitable<result<std::shared_ptr<const opened_layer>>> open_layer(layer_identity who,
                                                                        std::shared_ptr<blob_source> blob,
                                                                        worker_pool& workers) {
    co_return co_await open_turbo_layer(std::move(who), std::move(blob), nullptr, workers);
}

asio::awaitable<result<std::shared_ptr<const opened_layer>>> open_turbo_layer(layer_identity who,
                                                                              std::shared_ptr<blob_source> blob,
                                                                              std::shared_ptr<blob_source> target,
                                                                              worker_pool& workers) {
    const std::string place = "layer " + who.name;
    auto opened = co_await open_once(who, blob, target, workers);
    // Damage may lie in a cached copy. One more try with fresh bytes tells.
    const bool again =
        !opened && opened.error().is(errc::corrupt) && blob->discard_cached(byte_offset{0}, blob->size());
    if (again) {
        auto anew = co_await open_once(who, blob, target, workers);
        opened = std::move(anew);
    }
    if (!opened) co_return in_context(std::move(opened).error(), place);
    co_return opened;
}

}  // namespace obd::layers

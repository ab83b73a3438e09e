#include "server/clones/commit_clone.hpp"

#include <array>
#include <fstream>

#include "base/digest.hpp"
#include "base/worker_pool.hpp"
#include "layers/layer_pool.hpp"
#include "layers/write/blocking.hpp"
#include "layers/write/commit.hpp"

namespace obd::server {
namespace {

/// The server's own workers must not wait for one another.
constexpr std::size_t readers = 2;

std::filesystem::path fresh_commit_path(const std::filesystem::path& folder) {
    for (int n = 1;; ++n) {
        auto path = folder / ("commit." + std::to_string(n) + ".obd");
        if (!std::filesystem::exists(path)) return path;
    }
}

result<std::string> digest_of(const std::filesystem::path& path) {
    std::ifstream in(path, std::ios::binary);
    if (!in) return fail_errno(path.string());
    sha256 hash;
    std::vector<char> piece(1 << 20);
    while (in) {
        in.read(piece.data(), static_cast<std::streamsize>(piece.size()));
        hash.update(as_bytes(std::string_view(piece.data(), static_cast<std::size_t>(in.gcount()))));
    }
    if (in.bad()) return fail(errc::io_error, path.string());
    return std::move(hash).finish_digest();
}

result<std::shared_ptr<const layers::read_stack>> open_own(const layers::image_config& stack, std::size_t base_layers,
                                                           layers::layer_pool& pool) {
    std::vector<std::shared_ptr<const layers::opened_layer>> own;
    for (std::size_t i = base_layers; i < stack.lowers.size(); ++i) {
        TRY(auto layer, layers::run_blocking(pool.open_file(stack.lowers[i].file, {})));
        own.push_back(std::move(layer));
    }
    if (own.empty()) return fail(errc::invalid_argument, "nothing was sealed above the image");
    return layers::read_stack::build(std::move(own));
}

}  // namespace

result<committed_layer> commit_own_layers(const std::filesystem::path& config, std::size_t base_layers,
                                          std::filesystem::path file) {
    if (file.empty()) file = fresh_commit_path(config.parent_path());
    TRY(const auto stack, layers::load_image_config(config));
    worker_pool workers(readers);
    layers::layer_pool pool(workers);
    TRY(auto own, open_own(stack, base_layers, pool));
    layers::layer_description description;
    description.virtual_size = own->size();
    layers::layer_wrapping wrapping;
    wrapping.zfile.emplace();
    wrapping.tar = true;
    const auto source = layers::source_of(std::move(own), nullptr);
    TRY(auto out, layers::file_sink::create(file, layers::file_sink::existing::keep));
    TRYV(layers::commit_layer(*source, description, wrapping, out));
    TRYV(out.finish());
    committed_layer made;
    made.size = out.size();
    TRY(made.digest, digest_of(file));
    made.file = std::move(file);
    return made;
}

}  // namespace obd::server

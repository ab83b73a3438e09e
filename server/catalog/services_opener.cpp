#include "server/catalog/services_opener.hpp"

#include <spdlog/logger.h>

#include <fstream>

#include "base/limits.hpp"
#include "layers/read_stack.hpp"
#include "layers/writable_hook.hpp"
#include "server/catalog/upper_folder.hpp"

namespace obd::server {

struct services_opener::stack {
    layers::image_config config;
    std::optional<pinned_image> pinned;
};

services_opener::services_opener(registry::client& registry, layers::image_services services, spdlog::logger& log)
    : registry_(registry), services_(services), log_(log) {}

asio::awaitable<result<pinned_image>> services_opener::resolve(image_origin origin,
                                                               std::optional<pinned_image> pinned) {
    if (pinned) co_return std::move(*pinned);
    registry::resolve_options options;
    options.security = origin.security;
    CO_TRY(auto answer, co_await registry_.resolve(origin.reference, std::move(options)));
    co_return pinned_image{answer.repo_blob_url, answer.manifest_digest, std::move(answer.layers)};
}

asio::awaitable<result<services_opener::stack>> services_opener::load(std::filesystem::path config) {
    auto job = [config] { return layers::load_image_config(config); };
    auto loaded = co_await services_.workers.run(std::move(job));
    if (!loaded) co_return std::move(loaded).error();
    for (const auto& key : loaded->unknown_members) {
        log_.warn("image config: unknown key is ignored: key={} file={}", key, config.string());
    }
    co_return stack{std::move(*loaded), std::nullopt};
}

asio::awaitable<result<services_opener::stack>> services_opener::base_of(image_origin origin,
                                                                         std::optional<pinned_image> pinned) {
    if (origin.reference.empty()) co_return co_await load(origin.config);
    CO_TRY(auto image, co_await resolve(origin, std::move(pinned)));
    if (image.layers.empty() || image.layers.size() > limits::layers_per_image) {
        co_return fail(errc::unsupported,
                       origin.reference + ": an image of " + std::to_string(image.layers.size()) + " layers");
    }
    stack base;
    base.config.repo_blob_url = image.repo_blob_url;
    for (const auto& layer : image.layers) {
        auto& lower = base.config.lowers.emplace_back();
        lower.digest = layer.digest;
        lower.size_bytes = layer.size.value;
    }
    base.pinned = std::move(image);
    co_return base;
}

asio::awaitable<result<services_opener::stack>> services_opener::stack_of(opening when, image_origin origin,
                                                                          std::optional<pinned_image> pinned) {
    if (origin.upper == upper_kind::none) co_return co_await base_of(std::move(origin), std::move(pinned));
    // The folder says what the stack is; only when it is new does the origin count.
    if (when == opening::again) {
        CO_TRY(auto existing, co_await load(upper_config_path(origin.upper_dir)));
        existing.pinned = std::move(pinned);
        co_return existing;
    }
    CO_TRY(auto base, co_await base_of(origin, std::move(pinned)));
    auto job = [origin, config = base.config] { return prepare_upper(origin.upper_dir, origin.upper, config); };
    CO_TRY(auto path, co_await services_.workers.run(std::move(job)));
    CO_TRY(auto whole, co_await load(std::move(path)));
    whole.pinned = std::move(base.pinned);
    co_return whole;
}

/// What containerd's snapshotter reads to learn how a device came up (docs/formats/image-config.md, "resultFile").
asio::awaitable<void> services_opener::write_result_file(std::string path, std::string text) {
    auto job = [path, text] {
        std::ofstream file(path, std::ios::binary | std::ios::trunc);
        file << text;
        return file.good();
    };
    const bool written = co_await services_.workers.run(std::move(job));
    if (!written) log_.warn("cannot write the result file: file={}", path);
}

asio::awaitable<result<opened_image>> services_opener::open(opening when, image_origin origin,
                                                            std::optional<pinned_image> pinned) {
    const bool insecure = origin.security == registry::transport_security::insecure;
    CO_TRY(auto what, co_await stack_of(when, std::move(origin), std::move(pinned)));
    if (insecure && !what.config.repo_blob_url.empty()) registry_.trust_insecure(what.config.repo_blob_url);
    auto result_file = what.config.result_file;
    auto opened = co_await open_stack(std::move(what.config));
    if (!result_file.empty()) {
        auto text = opened ? std::string("success") : "failed:" + opened.error().message();
        co_await write_result_file(std::move(result_file), std::move(text));
    }
    if (!opened) co_return std::move(opened).error();
    opened->pinned = std::move(what.pinned);
    co_return std::move(*opened);
}

/// What is read-only can have clones on top.
asio::awaitable<result<opened_image>> services_opener::open_stack(layers::image_config config) {
    opened_image opened;
    if (config.upper.writable()) {
        CO_TRY(opened.image, co_await layers::open_image(std::move(config), services_));
        co_return opened;
    }
    auto base = std::make_shared<clone_base>();
    base->config = config;
    CO_TRY(base->stack, co_await layers::open_read_stack(std::move(config), services_));
    opened.image = layers::read_only_view(base->stack);
    opened.base = std::move(base);
    co_return opened;
}

asio::awaitable<result<std::shared_ptr<layers::image>>> services_opener::open_clone(
    std::filesystem::path folder, std::shared_ptr<const clone_base> base) {
    CO_TRY(auto own, co_await load(upper_config_path(folder)));
    if (!own.config.upper.writable() || !stands_on(own.config, base->config)) {
        co_return fail(errc::invalid_argument,
                       "folder " + folder.string() + " holds a clone of another image; commit or remove what is in it");
    }
    const bool sealed_layers = own.config.lowers.size() > base->config.lowers.size();
    if (sealed_layers) co_return co_await layers::open_image(std::move(own.config), services_);
    co_return co_await services_.uppers->open(std::move(own.config.upper), base->stack, services_);
}

}  // namespace obd::server

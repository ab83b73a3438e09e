// Opens images for real: the registry resolves references, layers/ opens stacks, layers/write makes writable layers.
#pragma once

#include "layers/image.hpp"
#include "registry/client.hpp"
#include "server/catalog/image_opener.hpp"

namespace obd::server {

/// Thread-safe. REQUIRES: what it refers to outlives it.
class services_opener final : public image_opener {
public:
    services_opener(registry::client& registry, layers::image_services services, spdlog::logger& log);

    asio::awaitable<result<opened_image>> open(opening when, image_origin origin,
                                               std::optional<pinned_image> pinned) override;
    asio::awaitable<result<std::shared_ptr<layers::image>>> open_clone(std::filesystem::path folder,
                                                                       std::shared_ptr<const clone_base> base) override;

private:
    struct stack;
    asio::awaitable<result<stack>> stack_of(opening when, image_origin origin, std::optional<pinned_image> pinned);
    asio::awaitable<result<stack>> base_of(image_origin origin, std::optional<pinned_image> pinned);
    asio::awaitable<result<stack>> load(std::filesystem::path config);
    asio::awaitable<result<pinned_image>> resolve(image_origin origin, std::optional<pinned_image> pinned);
    asio::awaitable<result<opened_image>> open_stack(layers::image_config config);
    asio::awaitable<void> write_result_file(std::string path, std::string text);

    registry::client& registry_;
    const layers::image_services services_;
    spdlog::logger& log_;
};

}  // namespace obd::server

// How the catalog gets at images. services_opener.hpp does it for real; tests have their own.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <memory>
#include <optional>

#include "base/result.hpp"
#include "layers/image_config.hpp"
#include "server/catalog/export.hpp"

namespace obd::layers {
class read_stack;
}

namespace obd::server {

/// What clones stand on: layers that are opened and merged once, and the config that names them.
struct clone_base {
    std::shared_ptr<const layers::read_stack> stack;
    layers::image_config config;
};

struct opened_image {
    std::shared_ptr<layers::image> image;
    std::optional<pinned_image> pinned;                ///< what a reference led to
    std::shared_ptr<const clone_base> base = nullptr;  ///< of a read-only image
};

enum class opening {
    first,  ///< a user attaches it now
    again,  ///< it was attached before the daemon's restart: what it consists of is settled
};

class image_opener {
public:
    virtual ~image_opener() = default;
    /// Bounded in time. With `pinned`, opens that; else asks the registry what the reference means now.
    virtual asio::awaitable<result<opened_image>> open(opening when, image_origin origin,
                                                       std::optional<pinned_image> pinned) = 0;
    /// The stack that the config.v1.json in `folder` names, as a writable disk; what it has in common with `base` is
    /// not opened again. invalid_argument when it stands on other layers.
    virtual asio::awaitable<result<std::shared_ptr<layers::image>>> open_clone(
        std::filesystem::path folder, std::shared_ptr<const clone_base> base) = 0;
};

}  // namespace obd::server

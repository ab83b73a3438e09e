// How the catalog gets at images. image_services_opener.hpp does it for real; tests have their own.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <memory>
#include <optional>

#include "base/result.hpp"
#include "server/catalog/export.hpp"

namespace obd::server {

struct opened_image {
    std::shared_ptr<layers::image> image;
    std::optional<pinned_image> pinned;  ///< what a reference led to
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
};

}  // namespace obd::server

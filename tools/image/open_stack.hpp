// The layers of an image config, for tools that read below the disk.
#pragma once

#include <filesystem>
#include <memory>

#include "layers/image_config.hpp"
#include "layers/read_stack.hpp"
#include "layers/write/upper.hpp"
#include "tools/image/program.hpp"

namespace obd::tools {

struct opened_stack {
    std::shared_ptr<const layers::read_stack> lowers;
    std::shared_ptr<layers::upper> top;  ///< null when the config names no upper; opened read-only
};

/// Opens what the config names, read-only. `where` is the config's name in messages. Blocks.
result<opened_stack> open_stack(layers::image_config config, const std::string& where, layers::image_services services);

}  // namespace obd::tools

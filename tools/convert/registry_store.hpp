// Images in a registry, for tools: calls block, and blobs are read without a cache on disk.
#pragma once

#include <memory>
#include <string>

#include "tools/convert/image_store.hpp"

namespace obd::convert {

result<std::unique_ptr<image_reader>> open_registry_reader(const std::string& reference,
                                                           const store_services& services);
result<std::unique_ptr<image_writer>> open_registry_writer(const std::string& reference,
                                                           const store_services& services);

}  // namespace obd::convert

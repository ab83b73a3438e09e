// OCI Image Layout directories. OCI Image Format Specification, "Image Layout".
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "tools/convert/image_store.hpp"

namespace obd::convert {

/// `name`: the annotation org.opencontainers.image.ref.name; empty: the only entry of index.json.
result<std::unique_ptr<image_reader>> open_layout_reader(const std::filesystem::path& directory,
                                                         const std::string& name, const store_services& services);
/// Makes the directory if it is not there. `name` empty: "latest".
result<std::unique_ptr<image_writer>> open_layout_writer(const std::filesystem::path& directory,
                                                         const std::string& name);

}  // namespace obd::convert

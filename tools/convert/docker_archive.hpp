// What `docker save` writes: a tar with manifest.json, a config and the layers' tars.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "tools/convert/image_store.hpp"

namespace obd::convert {

/// `name`: one of its RepoTags; empty: the only image. The manifest that root() gives is made up: such archives have
/// none.
result<std::unique_ptr<image_reader>> open_docker_archive(const std::filesystem::path& file, const std::string& name);

}  // namespace obd::convert

// OCI images for tests, put together layer by layer, as a layout or as a docker-archive.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace obd::convert::test {

struct source_layer {
    std::string tar;
    enum class compression { none, gzip } how = compression::none;
};

/// Writes blobs and index.json. Returns the manifest's digest.
std::string write_layout(const std::filesystem::path& directory, const std::vector<source_layer>& layers,
                         const std::string& name = "test");

/// An index over images that lie there already, with an attestation among them.
void write_index(const std::filesystem::path& directory,
                 const std::vector<std::pair<std::string, std::string>>& digest_and_architecture);

void write_docker_archive(const std::filesystem::path& file, const std::vector<std::string>& tars);

std::string read_file(const std::filesystem::path& path);
void write_file(const std::filesystem::path& path, const std::string& bytes);
std::filesystem::path blob_path(const std::filesystem::path& directory, const std::string& digest);

}  // namespace obd::convert::test

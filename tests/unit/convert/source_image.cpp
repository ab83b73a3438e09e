#include "tests/unit/convert/source_image.hpp"

#include <zlib.h>

#include <catch2/catch.hpp>
#include <fstream>

#include "base/digest.hpp"
#include "tests/unit/layers/fs/tar_builder.hpp"

namespace obd::convert::test {
namespace {

std::string gzipped(const std::string& plain) {
    z_stream stream{};
    REQUIRE(deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    std::string out(deflateBound(&stream, plain.size()) + 64, '\0');
    auto input = plain;
    stream.next_in = reinterpret_cast<Bytef*>(input.data());
    stream.avail_in = static_cast<uInt>(input.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    REQUIRE(deflate(&stream, Z_FINISH) == Z_STREAM_END);
    out.resize(stream.total_out);
    deflateEnd(&stream);
    return out;
}

std::string put_blob(const std::filesystem::path& directory, const std::string& bytes) {
    const auto digest = sha256_digest(as_bytes(bytes));
    write_file(blob_path(directory, digest), bytes);
    return digest;
}

std::string descriptor(const std::string& type, const std::string& digest, std::size_t size) {
    return R"({"mediaType":")" + type + R"(","digest":")" + digest + R"(","size":)" + std::to_string(size);
}

std::string config_of(const std::vector<std::string>& tars) {
    std::string ids;
    for (const auto& tar : tars) ids += (ids.empty() ? "\"" : ",\"") + sha256_digest(as_bytes(tar)) + "\"";
    return R"({"architecture":"amd64","os":"linux","config":{"Env":["A=B"],"Cmd":["/bin/sh"]},"rootfs":{"type":"layers","diff_ids":[)" +
           ids + R"(]},"history":[{"created_by":"test"}]})";
}

}  // namespace

std::string read_file(const std::filesystem::path& path) {
    std::ifstream in(path, std::ios::binary);
    REQUIRE(in);
    return {std::istreambuf_iterator<char>(in), {}};
}

void write_file(const std::filesystem::path& path, const std::string& bytes) {
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << bytes;
}

std::filesystem::path blob_path(const std::filesystem::path& directory, const std::string& digest) {
    return directory / "blobs" / "sha256" / digest.substr(7);
}

std::string write_layout(const std::filesystem::path& directory, const std::vector<source_layer>& layers,
                         const std::string& name) {
    write_file(directory / "oci-layout", R"({"imageLayoutVersion":"1.0.0"})");
    std::vector<std::string> tars;
    std::string list;
    for (const auto& [tar, how] : layers) {
        tars.push_back(tar);
        const bool gzip = how == source_layer::compression::gzip;
        const auto bytes = gzip ? gzipped(tar) : tar;
        const auto digest = put_blob(directory, bytes);
        list +=
            (list.empty() ? "" : ",") +
            descriptor(gzip ? "application/vnd.oci.image.layer.v1.tar+gzip" : "application/vnd.oci.image.layer.v1.tar",
                       digest, bytes.size()) +
            "}";
    }
    const auto config = config_of(tars);
    const auto config_digest = put_blob(directory, config);
    const auto manifest = R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":)" +
                          descriptor("application/vnd.oci.image.config.v1+json", config_digest, config.size()) +
                          R"(},"layers":[)" + list + R"(],"annotations":{"kept":"yes"}})";
    const auto digest = put_blob(directory, manifest);
    write_file(directory / "index.json",
               R"({"schemaVersion":2,"manifests":[)" +
                   descriptor("application/vnd.oci.image.manifest.v1+json", digest, manifest.size()) +
                   R"(,"annotations":{"org.opencontainers.image.ref.name":")" + name + R"("}}]})");
    return digest;
}

void write_index(const std::filesystem::path& directory,
                 const std::vector<std::pair<std::string, std::string>>& images) {
    std::string list;
    for (const auto& [digest, architecture] : images) {
        const auto size = std::filesystem::file_size(blob_path(directory, digest));
        list += descriptor("application/vnd.oci.image.manifest.v1+json", digest, size) +
                R"(,"platform":{"os":"linux","architecture":")" + architecture + R"("}},)";
        list +=
            descriptor("application/vnd.oci.image.manifest.v1+json", digest, size) +
            R"(,"platform":{"os":"unknown","architecture":"unknown"},"annotations":{"vnd.docker.reference.type":"attestation-manifest"}},)";
    }
    list.pop_back();
    const auto index =
        R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[)" + list + "]}";
    const auto digest = put_blob(directory, index);
    write_file(directory / "index.json",
               R"({"schemaVersion":2,"manifests":[)" +
                   descriptor("application/vnd.oci.image.index.v1+json", digest, index.size()) + "}]}");
}

void write_docker_archive(const std::filesystem::path& file, const std::vector<std::string>& tars) {
    fs::test::tar_builder archive;
    std::string list;
    for (std::size_t number = 0; number < tars.size(); ++number) {
        const auto name = "layer" + std::to_string(number) + "/layer.tar";
        archive.file(name, tars[number]);
        list += (list.empty() ? "\"" : ",\"") + name + "\"";
    }
    archive.file("config.json", config_of(tars));
    archive.file("manifest.json", R"([{"Config":"config.json","RepoTags":["test:latest"],"Layers":[)" + list + "]}]");
    write_file(file, archive.finish());
}

}  // namespace obd::convert::test

// make-test-image --raw|--lz4|--zstd [--block-size N] [--no-tar] DIRECTORY RAW_IMAGE...: an overlaybd image out of raw
// disks. Each RAW_IMAGE is the whole disk as it is after one layer; a layer holds what differs from the one before it
// (4 KiB blocks; blocks that become zeros are stored as discarded). Writes DIRECTORY/layer0… and config.v1.json.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "layers/write/lsmt_writer.hpp"
#include "layers/write/sink.hpp"
#include "layers/write/tar_writer.hpp"
#include "layers/write/zfile_writer.hpp"

namespace {

using namespace obd;
using namespace obd::layers;

constexpr std::size_t block_bytes = 4096;
constexpr std::uint64_t block_sectors = block_bytes / sector_bytes;

struct encoding {
    bool compressed = false, tar = true;
    zfile_options zfile;
};

std::vector<std::byte> read_disk(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::vector<std::byte> bytes(std::filesystem::file_size(path));
    if (bytes.size() % block_bytes != 0) throw std::runtime_error(path + ": not a multiple of 4096 bytes");
    file.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    if (!file) throw std::runtime_error(path + ": cannot read");
    return bytes;
}

/// Data and discards that make `below` into `disk`. `below` is empty under the first layer.
result<void> write_difference(byte_sink& to, const_bytes disk, const_bytes below, unsigned number) {
    const layer_description description{
        .virtual_size = {disk.size()}, .uuid = {}, .parent_uuid = {}, .user_tag = "layer " + std::to_string(number)};
    TRY(auto writer, lsmt_writer::begin(to, description));
    for (std::size_t at = 0; at < disk.size(); at += block_bytes) {
        const const_bytes now = disk.subspan(at, block_bytes);
        const bool zero = is_zero(now);
        const bool same =
            at < below.size() ? std::equal(now.begin(), now.end(), below.subspan(at, block_bytes).begin()) : zero;
        if (same) continue;
        const sector start = sector_of(byte_offset{at});
        if (zero) {
            TRYV(writer.zeroed(start, block_sectors));
        } else {
            TRYV(writer.data(start, now));
        }
    }
    TRY([[maybe_unused]] const auto totals, writer.finish());
    return {};
}

/// The layer inside its wrappings: ZFile, tar.
result<void> write_layer(const std::filesystem::path& path, const encoding& how, const_bytes disk, const_bytes below,
                         unsigned number) {
    TRY(auto file, file_sink::create(path, file_sink::existing::replace));
    std::unique_ptr<tar_writer> tar;
    if (how.tar) {
        TRY(tar, tar_writer::begin(file));
    }
    byte_sink& inner = tar ? static_cast<byte_sink&>(*tar) : file;
    if (how.compressed) {
        TRY(const auto zfile, zfile_writer::begin(inner, how.zfile, zfile_index_at::header_and_trailer));
        TRYV(write_difference(*zfile, disk, below, number));
        TRY([[maybe_unused]] const auto totals, zfile->finish());
    } else {
        TRYV(write_difference(inner, disk, below, number));
    }
    if (tar) {
        TRYV(tar->finish());
    }
    return file.finish();
}

void make_image(const std::filesystem::path& folder, const encoding& how, const std::vector<std::string>& disks) {
    std::filesystem::create_directories(folder);
    std::ofstream config(folder / "config.v1.json");
    config << "{\"repoBlobUrl\": \"\", \"lowers\": [";
    std::vector<std::byte> below;
    for (unsigned n = 0; n < disks.size(); ++n) {
        std::vector<std::byte> disk = read_disk(disks[n]);
        const std::string name = "layer" + std::to_string(n);
        write_layer(folder / name, how, disk, below, n).value();
        config << (n == 0 ? "" : ", ") << "{\"file\": \"" << name << "\"}";
        below = std::move(disk);
    }
    config << "]}\n";
    if (!config.flush()) throw std::runtime_error("cannot write config.v1.json");
}

}  // namespace

int main(int count, char** words) {
    CLI::App app("Makes an overlaybd image out of raw disks, one layer each");
    bool raw = false, lz4 = false, zstd = false, no_tar = false;
    encoding how;
    std::string folder;
    std::vector<std::string> disks;
    app.add_flag("--raw", raw, "layers without compression");
    app.add_flag("--lz4", lz4, "ZFile with LZ4");
    app.add_flag("--zstd", zstd, "ZFile with Zstandard");
    app.add_flag("--no-tar", no_tar, "without the tar wrapper");
    app.add_option("--block-size", how.zfile.block_bytes, "of the ZFile, bytes");
    app.add_option("directory", folder)->required();
    app.add_option("images", disks)->required();
    CLI11_PARSE(app, count, words);
    if (raw + lz4 + zstd != 1) {
        std::cerr << "make-test-image: one of --raw, --lz4, --zstd\n";
        return 2;
    }
    how.compressed = !raw;
    how.tar = !no_tar;
    how.zfile.algo = zstd ? zfile::algorithm::zstd : zfile::algorithm::lz4;
    try {
        make_image(folder, how, disks);
    } catch (const std::exception& error) {
        std::cerr << "make-test-image: " << error.what() << "\n";
        return 1;
    }
    return 0;
}

// Writes the seed corpora of the layer fuzzers: make_corpus DIR.
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/support/layer_writer.hpp"

namespace {

using namespace obd;
using namespace obd::test;

void write(const std::filesystem::path& dir, const std::string& name, const_bytes content) {
    std::filesystem::create_directories(dir);
    std::ofstream(dir / name, std::ios::binary)
        .write(as_text(content).data(), static_cast<std::streamsize>(content.size()));
}

void write_layers(const std::filesystem::path& dir) {
    lsmt_builder changes;
    changes.write(0, sample_bytes(2048, 1)).write(9, sample_bytes(512, 2)).discard(1, 2);
    const lsmt_options small{.index_padding = 4};
    const auto committed = changes.committed(small);
    write(dir / "fuzz_layers_lsmt", "committed", committed);
    write(dir / "fuzz_layers_lsmt", "sealed", changes.sealed(small));
    write(dir / "fuzz_layers_lsmt", "sparse", changes.sealed_sparse({.virtual_bytes = 8192}));
    write(dir / "fuzz_layers_layer", "raw", committed);
    write(dir / "fuzz_layers_layer", "zfile", zfile(committed, {}));
    write(dir / "fuzz_layers_layer", "zfile-zstd",
          zfile(committed, {.coding = zfile_coding::zstd, .block_bytes = 512}));
    write(dir / "fuzz_layers_layer", "tar", tar_with_pax(committed, 0));
    write(dir / "fuzz_layers_layer", "tar-zfile", tar_with_one_header(zfile(committed, {.verify = false})));
}

void write_wrappers(const std::filesystem::path& dir) {
    const auto payload = sample_bytes(700, 3);
    write(dir / "fuzz_layers_tar", "one", tar_with_one_header(payload));
    write(dir / "fuzz_layers_tar", "pax", tar_with_pax(payload, 0));
    write(dir / "fuzz_layers_tar", "long-pax", tar_with_pax(payload, 900));
    write(dir / "fuzz_layers_tar", "unfinished", tar_unfinished(payload));
    const auto content = sample_bytes(3000, 4);
    write(dir / "fuzz_layers_zfile", "lz4", zfile(content, {.block_bytes = 512}));
    write(dir / "fuzz_layers_zfile", "zstd", zfile(content, {.coding = zfile_coding::zstd, .block_bytes = 1024}));
    write(dir / "fuzz_layers_zfile", "trailer", zfile(content, {.index = zfile_index_place::trailer}));
    write(dir / "fuzz_layers_zfile", "old", zfile(content, {.index = zfile_index_place::trailer, .old_garbage = true}));
    write(dir / "fuzz_layers_image_config", "full",
          as_bytes(R"({"repoBlobUrl":"http://h/v2/a/blobs","lowers":[{"file":"a","dir":"b",
"digest":"sha256:0","size":1}],"upper":{"data":"d","index":"i"},"download":{"enable":true},"resultFile":"r"})"));
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) return 2;
    write_layers(argv[1]);
    write_wrappers(argv[1]);
    return 0;
}

// overlaybd-merge: flattens the layers of an image into one. docs/man/overlaybd-merge.1.
#include <cstdio>
#include <string>
#include <utility>

#include "layers/write/commit.hpp"
#include "tools/image/open_stack.hpp"
#include "tools/image/program.hpp"
#include "tools/image/registry_access.hpp"
#include "tools/image/wrapping.hpp"

using namespace obd;

namespace {

struct arguments {
    std::string config;
    std::string output;
    std::string service_config;
    tools::upload_arguments upload;
    tools::compression_arguments compression;
    unsigned threads = 1;
    bool compress = true;
    bool tar = false;
    bool force = false;
    bool verbose = false;
};

result<int> merge(const arguments& given) {
    if (!given.upload.url.empty()) {
        TRYV(tools::parse_upload_url(given.upload.url));
    }
    if (given.output.empty()) return fail(errc::invalid_argument, "an output file is needed");
    layers::layer_wrapping wrapping;
    if (given.compress) {
        TRY(wrapping.zfile, given.compression.parse(given.threads));
    }
    wrapping.index_at = layers::zfile_index_at::trailer;  // as overlaybd-merge does
    wrapping.tar = given.tar;
    tools::tool_services services(given.verbose ? tools::tool_services::verbosity::verbose
                                                : tools::tool_services::verbosity::quiet);
    TRY(auto config, layers::load_image_config(given.config));
    TRY(const auto registry, tools::connect_registry(config, given.service_config, services));
    auto with = services.get();
    if (registry) with.registry = &registry->blobs();
    TRY(const auto stack, tools::open_stack(std::move(config), given.config, with));
    layers::layer_description description;
    description.virtual_size = stack.top ? stack.top->identity().virtual_size : stack.lowers->size();
    if (!stack.lowers->layers().empty()) {
        description.parent_uuid = stack.lowers->layers().front()->lsmt->header().parent_uuid;
    }
    const auto source = layers::source_of(stack.lowers, stack.top);
    using existing = layers::file_sink::existing;
    TRY(auto file, layers::file_sink::create(given.output, given.force ? existing::replace : existing::keep));
    TRY(const auto totals, layers::commit_layer(*source, description, wrapping, file));
    TRYV(file.finish());
    tools::warn_of_oversized(totals.zfile.oversized_blocks, given.output);
    std::string digest;  // of an upload; without one overlaybd prints an empty line
    if (!given.upload.url.empty()) {
        TRY(digest, tools::upload_file(given.output, given.upload, services.workers(), services.log()));
    }
    std::fprintf(stderr, "%s\n", digest.c_str());
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    arguments given;
    CLI::App app("Flattens the layers that an image config names, the writable one too, into one layer.",
                 "overlaybd-merge");
    app.add_option("image_config_path", given.config, "config.v1.json")
        ->type_name("FILE")
        ->check(CLI::ExistingFile)
        ->required();
    app.add_option("output", given.output, "layer to be made")->type_name("FILE");
    app.add_flag("--compress,!--no-compress", given.compress, "compress (ZFile); --compress=false writes plain LSMT");
    app.add_flag("-t", given.tar, "wrap into a tar archive");
    app.add_flag("-f", given.force, "replace an existing output");
    given.compression.add_to(app);
    app.add_option("--compress_threads", given.threads, "threads that compress; the output is the same")
        ->check(CLI::Range(1, 256))
        ->capture_default_str();
    tools::add_service_config(app, given.service_config);
    given.upload.add_to(app);
    app.add_flag("--verbose", given.verbose, "say more on stderr");
    app.footer("Exit status: 0 done, 255 failed, 100 and above wrong usage. See overlaybd-merge(1).");
    return tools::run_tool(app, argc, argv, [&] { return merge(given); });
}

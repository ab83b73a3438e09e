// overlaybd-commit: makes a read-only layer of a writable one. docs/man/overlaybd-commit.1.
#include <cstdio>
#include <string>
#include <utility>

#include "layers/write/blocking.hpp"
#include "layers/write/commit.hpp"
#include "layers/write/host_file.hpp"
#include "layers/write/turbo_upper.hpp"
#include "tools/image/program.hpp"
#include "tools/image/registry_access.hpp"
#include "tools/image/wrapping.hpp"

using namespace obd;

namespace {

struct arguments {
    std::string data;
    std::string index;
    std::string output;
    std::string message;
    std::string uuid;
    std::string parent_uuid;
    tools::upload_arguments upload;
    tools::compression_arguments compression;
    unsigned threads = 1;
    bool compress = false;
    bool tar = false;
    bool force = false;
    bool seal = false;
    bool sealed = false;
    bool turbo_oci = false;
    bool verbose = false;
};

result<std::shared_ptr<layers::upper>> open_layer(const arguments& given, layers::upper_opening::access mode) {
    return layers::open_upper({.files = std::make_shared<layers::host_file_system>(),
                               .paths = {.data = given.data, .index = given.index},
                               .inherited_size = {0},
                               .mode = mode});
}

result<int> seal(const arguments& given) {
    if (given.index.empty()) return fail(errc::invalid_argument, "--seal needs data_file and index_file");
    TRY(const auto layer, open_layer(given, layers::upper_opening::access::read_write));
    for (const auto& note : layer->repairs().notes) std::fprintf(stderr, "%s: %s\n", given.data.c_str(), note.c_str());
    TRYV(layer->seal());
    TRYV(layer->remove_side_file());
    return 0;
}

struct prepared {
    std::unique_ptr<layers::commit_source> source;
    std::unique_ptr<layers::turbo_upper> turbo{};  ///< instead of source
    layers::layer_description description;
};

result<prepared> prepare_turbo(const arguments& given) {
    using layers::turbo_upper;
    TRY(auto layer, turbo_upper::open({.data = given.data, .index = given.index}, turbo_upper::access::read_only, {}));
    const auto& identity = layer->identity();
    prepared ready{
        .source = nullptr,
        .description = {
            .virtual_size = identity.virtual_size, .uuid = {}, .parent_uuid = identity.parent_uuid, .user_tag = {}}};
    ready.turbo = std::move(layer);
    return ready;
}

result<prepared> prepare_writable(const arguments& given) {
    TRY(auto layer, open_layer(given, layers::upper_opening::access::read_only));
    const auto& identity = layer->identity();
    prepared ready{
        .source = nullptr,
        .description = {
            .virtual_size = identity.virtual_size, .uuid = {}, .parent_uuid = identity.parent_uuid, .user_tag = {}}};
    ready.source = layers::source_of(std::move(layer));
    return ready;
}

result<prepared> prepare_sealed(const arguments& given, tools::tool_services& services) {
    TRY(auto layer, layers::run_blocking(services.pool().open_file(given.data, std::string())));
    const auto& header = layer->lsmt->header();
    prepared ready{.source = nullptr,
                   .description = {.virtual_size = layer->lsmt->virtual_size(),
                                   .uuid = {},
                                   .parent_uuid = header.parent_uuid,
                                   .user_tag = {}}};
    ready.source = layers::source_of(std::move(layer));
    return ready;
}

result<layers::layer_wrapping> wrapping_of(const arguments& given) {
    layers::layer_wrapping wrapping;
    if (given.compress) {
        TRY(wrapping.zfile, given.compression.parse(given.threads));
    }
    wrapping.tar = given.tar;
    return wrapping;
}

result<int> commit(const arguments& given) {
    if (given.turbo_oci && (given.seal || given.sealed))
        return fail(errc::invalid_argument, "--turboOCI layers are not sealed");
    if (given.seal) return seal(given);
    const std::string output = given.sealed ? given.index : given.output;
    if (output.empty()) {
        return fail(errc::invalid_argument, given.sealed ? "--commit_sealed needs a sealed file and an output file"
                                                         : "a data file, an index file and a commit file are needed");
    }
    TRY(const auto wrapping, wrapping_of(given));
    if (!given.upload.url.empty()) {
        TRYV(tools::parse_upload_url(given.upload.url));
    }
    tools::tool_services services(given.verbose ? tools::tool_services::verbosity::verbose
                                                : tools::tool_services::verbosity::quiet);
    TRY(auto ready, given.turbo_oci ? prepare_turbo(given)
                    : given.sealed  ? prepare_sealed(given, services)
                                    : prepare_writable(given));
    if (!given.parent_uuid.empty()) ready.description.parent_uuid = given.parent_uuid;
    ready.description.uuid = given.uuid;
    ready.description.user_tag = given.message;
    using existing = layers::file_sink::existing;
    TRY(auto file, layers::file_sink::create(output, given.force ? existing::replace : existing::keep));
    TRY(const auto totals, ready.turbo ? layers::commit_turbo(*ready.turbo, ready.description, wrapping, file)
                                       : layers::commit_layer(*ready.source, ready.description, wrapping, file));
    TRYV(file.finish());
    tools::warn_of_oversized(totals.zfile.oversized_blocks, output);
    std::string digest;  // of an upload; without one overlaybd prints an empty line
    if (!given.upload.url.empty()) {
        TRY(digest, tools::upload_file(output, given.upload, services.workers(), services.log()));
    }
    std::fprintf(stderr, "%s\n", digest.c_str());
    std::puts("overlaybd-commit has committed files SUCCESSFULLY");
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    arguments given;
    CLI::App app(
        "Makes a read-only layer of a writable one, or seals it in place (--seal), or compacts a sealed one "
        "(--commit_sealed SEALED OUTPUT).",
        "overlaybd-commit");
    app.add_option("data_file", given.data, "data file of the writable layer")
        ->type_name("FILE")
        ->check(CLI::ExistingFile)
        ->required();
    app.add_option("index_file", given.index, "its index file; with --commit_sealed the output")->type_name("FILE");
    app.add_option("commit_file", given.output, "output")->type_name("FILE");
    app.add_option("-m", given.message, "message, kept in the layer (at most 256 bytes)");
    app.add_option("--uuid", given.uuid, "UUID of the new layer; default: none");
    app.add_option("-p,--parent-uuid", given.parent_uuid,
                   "UUID of the layer below; default: that of the writable layer");
    app.add_flag("-z", given.compress, "compress (ZFile)");
    app.add_flag("-t", given.tar, "wrap into a tar archive");
    app.add_flag("-f", given.force, "replace an existing output");
    given.compression.add_to(app);
    app.add_option("--compress_threads", given.threads, "threads that compress; the output is the same")
        ->check(CLI::Range(1, 256))
        ->capture_default_str();
    app.add_flag("--seal", given.seal, "make the data file itself the read-only layer");
    app.add_flag("--commit_sealed", given.sealed, "data_file is a sealed layer, index_file the output");
    app.add_flag("--turboOCI,--fastoci", given.turbo_oci, "data_file and index_file are a TurboOCI layer");
    given.upload.add_to(app);
    app.add_flag("--verbose", given.verbose, "say more on stderr");
    app.footer("Exit status: 0 done, 255 failed, 100 and above wrong usage. See overlaybd-commit(1).");
    return tools::run_tool(app, argc, argv, [&] { return commit(given); });
}

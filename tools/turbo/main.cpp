// turboOCI-apply: makes the metadata of a TurboOCI layer from a layer of an OCI image. docs/man/turboOCI-apply.1.
#include <cstdio>
#include <string>
#include <utility>

#include "layers/image_config.hpp"
#include "tools/image/program.hpp"
#include "tools/image/registry_access.hpp"
#include "tools/image/turbo_apply.hpp"

using namespace obd;

namespace {

struct arguments {
    std::string input;
    std::string target;  ///< image config; with --export the output
    std::string file_system = "ext4";
    std::string gzip_index = "gzip.meta";
    std::string service_config;
    bool mkfs = false;
    bool from_meta = false;
    bool to_meta = false;
    bool verbose = false;
};

result<int> apply(const arguments& given) {
    if (given.target.empty()) return fail(errc::invalid_argument, "two paths are needed");
    if (given.to_meta) {
        TRYV(tools::write_tar_meta(given.input, given.gzip_index, given.target));
        return 0;
    }
    if (given.file_system != "ext4")
        return fail(errc::unsupported, "--fstype " + given.file_system + ": not supported yet (only ext4)");
    tools::tool_services services(given.verbose ? tools::tool_services::verbosity::verbose
                                                : tools::tool_services::verbosity::quiet);
    tools::turbo_request request;
    TRY(request.image, layers::load_image_config(given.target));
    request.where = given.target;
    request.input = given.input;
    request.mkfs = given.mkfs;
    request.from_meta = given.from_meta;
    request.gzip_index = given.gzip_index;
    request.service_config = given.service_config;
    TRYV(tools::turbo_apply(request, services));
    std::puts("turboOCI-apply done");
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    arguments given;
    CLI::App app(
        "Makes the ext4 metadata of an OCI layer's files on a writable TurboOCI layer; their contents stay in the "
        "layer's "
        "tar (or gzip of it).",
        "turboOCI-apply");
    app.add_flag("--mkfs", given.mkfs, "make an ext4 file system first");
    app.add_option("--fstype", given.file_system, "ext4; erofs is not supported yet")->capture_default_str();
    app.add_option("--gz_index_path", given.gzip_index, "written when the input is gzip")
        ->type_name("FILE")
        ->capture_default_str();
    app.add_flag("--import", given.from_meta, "the input is a tar meta, as --export writes it");
    app.add_flag("--export", given.to_meta, "only write the input's tar meta to the second path");
    tools::add_service_config(app, given.service_config);
    app.add_flag("--verbose", given.verbose, "say more on stderr");
    app.add_option("input_path", given.input, "the layer: tar or gzip")
        ->type_name("FILE")
        ->check(CLI::ExistingFile)
        ->required();
    app.add_option("image_config_path", given.target, "config.v1.json whose upper is a TurboOCI layer")
        ->type_name("FILE");
    app.footer("Exit status: 0 done, 255 failed, 100 and above wrong usage. See turboOCI-apply(1).");
    return tools::run_tool(app, argc, argv, [&] { return apply(given); });
}

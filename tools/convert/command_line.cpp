#include "tools/convert/command_line.hpp"

namespace obd::convert {
namespace {

constexpr const char* places =
    "An image is named by a registry reference (HOST[:PORT]/REPOSITORY[:TAG]), as oci:DIR[:NAME] (OCI layout), or as\n"
    "docker-archive:FILE[:NAME] (as source only).";

void add_common(CLI::App& command, command_options& common) {
    command.add_option("SOURCE", common.source, "the image")->required();
    command.add_option("DESTINATION", common.destination, "where it goes")->required();
    command.add_flag("--insecure", common.insecure, "registries by plain HTTP, or HTTPS with any certificate");
    command.add_option("--cred-file", common.credential_file, "user names and passwords for registries")
        ->capture_default_str();
    command.add_option("--ca-file", common.ca_file, "certificate authorities instead of the system's");
    command.add_option("--work-dir", common.work_directory, "for temporary files (default: $TMPDIR, else /tmp)");
    command.add_flag("--quiet", common.quiet, "no progress");
    command.footer(places);
}

void add_convert(CLI::App& app, convert_command& wanted, std::function<int(std::ostream&, std::ostream&)>& action) {
    auto* command =
        app.add_subcommand("convert", "Make an overlaybd image of an OCI image; needs no daemon and no root");
    add_common(*command, wanted.common);
    command->add_option("--platform", wanted.platform, "only this image of an index: linux/amd64, linux/arm64/v8");
    command->add_option("--vsize", wanted.size_gib, "size of the disk in GiB")->capture_default_str();
    command->add_option("--fs", wanted.file_system, "file system: ext4")->capture_default_str();
    command->add_option("--algorithm", wanted.algorithm, "compression: lz4 or zstd")->capture_default_str();
    command->add_option("--bs", wanted.block_kib, "compression block in KiB: 4, 8, 16, 32 or 64")
        ->capture_default_str();
    command->add_option("--threads", wanted.threads, "threads that compress (default: one for each CPU)");
    command->add_flag("--journal", wanted.journal,
                      "give the file system a journal, for disks that a host writes to for long");
    command->add_flag("--referrer", wanted.referrer, "make the new image a referrer of the source");
    command->add_flag("--docker", wanted.docker, "Docker's media types instead of OCI's");
    command->add_option("--layer-db", wanted.ledger,
                        "file that remembers converted layers (default: in the user's cache)");
    command->add_flag("--no-reuse", wanted.no_reuse, "convert every layer, also those converted before");
    command->callback([&wanted, &action] {
        action = [&wanted](std::ostream& out, std::ostream& err) { return run_convert(wanted, out, err); };
    });
}

}  // namespace

struct image_commands::state {
    convert_command convert;
    command_options copied;
    std::function<int(std::ostream&, std::ostream&)> action;
};

image_commands::image_commands(CLI::App& app) : state_(std::make_unique<state>()) {
    auto& all = *state_;
    add_convert(app, all.convert, all.action);
    const auto add_copy = [&](const char* name, const char* help, copy_kind kind) {
        auto* command = app.add_subcommand(name, help);
        add_common(*command, all.copied);
        command->callback([&all, kind] {
            all.action = [&all, kind](std::ostream& out, std::ostream& err) {
                return run_copy(kind, all.copied, out, err);
            };
        });
    };
    add_copy("push", "Put a finished image from an OCI layout into a registry", copy_kind::push);
    add_copy("pull", "Get a finished image from a registry into an OCI layout", copy_kind::pull);
    add_copy("copy", "Copy a finished image from any place to any place", copy_kind::copy);
}

image_commands::~image_commands() = default;

bool image_commands::chosen() const {
    return static_cast<bool>(state_->action);
}

int image_commands::run(output form, std::ostream& out, std::ostream& err) {
    state_->convert.common.json = state_->copied.json = form == output::json;
    return state_->action(out, err);
}

}  // namespace obd::convert

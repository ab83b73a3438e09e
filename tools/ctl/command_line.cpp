#include "tools/ctl/command_line.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <functional>
#include <ostream>

#include "tools/convert/command_line.hpp"
#include "tools/ctl/commands.hpp"

namespace obd::ctl {
namespace {

constexpr const char* default_socket = "/run/overlaybd/admin.sock";

/// What the parser fills in, and what to do with it.
struct request {
    std::string socket = default_socket;
    bool json = false;
    attach_options attach;
    std::string name;
    std::string size;
    snapshot_options snapshot;
    quota_options quota;
    redirect_options redirect;
    clone_options clone;
    std::function<int(const session_options&)> run;
};

void add_redirection(CLI::App& command, std::string& address, bool& permanent) {
    auto* redirect = command.add_option("--redirect", address, "send logins to this address instead: HOST:PORT");
    command.add_flag("--permanent", permanent, "tell initiators that the target has moved for good")->needs(redirect);
}

void add_attach(CLI::App& app, request& asked) {
    auto* command =
        app.add_subcommand("attach",
                           "Export an image: from a registry by its reference, or what a config.v1.json names.\n"
                           "Prints what to type on the initiator.");
    auto& what = asked.attach;
    auto* reference = command->add_option("REFERENCE", what.reference, "HOST[:PORT]/REPOSITORY[:TAG|@DIGEST]");
    command->add_option("--config", what.config, "image configuration (config.v1.json) instead of a reference")
        ->excludes(reference);
    command->add_option("--name", what.name, "name of the export; derived from the image if it is not given");
    command->add_flag("--insecure", what.insecure, "plain HTTP, or HTTPS with any certificate");
    command->add_option("--target", what.target, "export as a LUN of this target (an iSCSI name, or the end of one)");
    command->add_option("--lun", what.lun, "LUN; with --target alone the lowest free one")->check(CLI::Range(0, 16383));
    command
        ->add_option("--writable", what.writable,
                     "put a writable layer on top: --writable, --writable=append or --writable=sparse")
        ->check(CLI::IsMember({"append", "sparse"}));
    command->add_option(
        "--upper", what.upper,
        "folder for the writable layer, or for all clones; the daemon has one for each export otherwise");
    command
        ->add_option("--clone-per-initiator", what.clones,
                     "each initiator that logs in gets a writable layer of its own over the shared image, which is "
                     "kept or, with =discard, thrown away after its logout")
        ->check(CLI::IsMember({"keep", "discard"}));
    command->add_option("--quota", what.quota, "most that the writable layer, or each clone, may occupy: 20G");
    add_redirection(*command, what.redirect, what.permanent);
    command->add_flag("--removable", what.removable,
                      "a medium that initiators may lock, eject and load, as of a drive");
    command->add_option("--initiator", what.initiators,
                        "initiator name that may log in; repeat for more (default: all)");
    command->add_option("--chap-file", what.chap_file,
                        "JSON file with \"user\", \"secret\" and, for mutual CHAP, \"mutual_user\", \"mutual_secret\"");
    command->callback([&asked, &what] {
        if (what.reference.empty() == what.config.empty()) {
            throw CLI::ValidationError("attach", "either a REFERENCE or --config FILE is needed");
        }
        if (!what.upper.empty() && what.writable.empty() && what.clones.empty()) {
            throw CLI::ValidationError("attach", "--upper needs --writable or --clone-per-initiator");
        }
        asked.run = [&what](const session_options& with) { return attach(with, what); };
    });
}

void add_named(CLI::App& app, request& asked, const char* command_name, const char* help,
               int (*action)(const session_options&, const std::string&)) {
    auto* command = app.add_subcommand(command_name, help);
    command->add_option("NAME", asked.name, "name of the export")->required();
    command->callback([&asked, action] {
        asked.run = [&asked, action](const session_options& with) { return action(with, asked.name); };
    });
}

void add_plain(CLI::App& app, request& asked, const char* command_name, const char* help,
               int (*action)(const session_options&)) {
    app.add_subcommand(command_name, help)->callback([&asked, action] { asked.run = action; });
}

void add_writable_commands(CLI::App& app, request& asked) {
    auto* snap = app.add_subcommand("snapshot",
                                    "Seal the writable layer of an export and go on with a new one, under running I/O");
    snap->add_option("NAME", asked.snapshot.name, "name of the export")->required();
    snap->add_option("--upper", asked.snapshot.upper,
                     "folder for the new writable layer; beside the old one otherwise");
    snap->callback(
        [&asked] { asked.run = [&asked](const session_options& with) { return snapshot(with, asked.snapshot); }; });
    auto* grow = app.add_subcommand("resize", "Grow the disk of a writable export; initiators are told");
    grow->add_option("NAME", asked.name, "name of the export")->required();
    grow->add_option("SIZE", asked.size, "new size in bytes, or with K, M, G, T: 20G")->required();
    grow->callback([&asked] {
        asked.run = [&asked](const session_options& with) { return resize(with, asked.name, asked.size); };
    });
}

void add_settings(CLI::App& app, request& asked) {
    auto* quota_command = app.add_subcommand("quota", "Change what a writable layer, or a clone, may occupy");
    quota_command->add_option("NAME", asked.quota.name, "name of the export")->required();
    quota_command->add_option("SIZE", asked.quota.size, "bytes, or with K, M, G, T: 20G; or none")->required();
    quota_command->add_option("--initiator", asked.quota.initiator,
                              "of this initiator's clone; otherwise of the export, or of clones to come");
    quota_command->callback(
        [&asked] { asked.run = [&asked](const session_options& with) { return quota(with, asked.quota); }; });
    auto* move = app.add_subcommand("redirect", "Send later logins to an export's target to another address");
    move->add_option("NAME", asked.redirect.name, "name of the export")->required();
    move->add_option("ADDRESS", asked.redirect.address, "HOST:PORT, or none: serve them here again")->required();
    move->add_flag("--permanent", asked.redirect.permanent, "tell initiators that the target has moved for good");
    move->callback(
        [&asked] { asked.run = [&asked](const session_options& with) { return redirect(with, asked.redirect); }; });
}

CLI::App* add_clone_command(CLI::App& clone, request& asked, const char* command_name, const char* help,
                            int (*action)(const session_options&, const clone_options&)) {
    auto* command = clone.add_subcommand(command_name, help);
    command->add_option("NAME", asked.clone.name, "name of the export")->required();
    command->add_option("INITIATOR", asked.clone.initiator, "name of the initiator")->required();
    command->callback([&asked, action] {
        asked.run = [&asked, action](const session_options& with) { return action(with, asked.clone); };
    });
    return command;
}

void add_clone_commands(CLI::App& app, request& asked) {
    auto* clone = app.add_subcommand("clone", "The clones of an export that was attached with --clone-per-initiator");
    clone->require_subcommand(1);
    add_named(*clone, asked, "list", "All clones: whose, how large, in use or not", clone_list);
    add_clone_command(*clone, asked, "keep", "Keep a clone that would be thrown away at logout", clone_keep);
    add_clone_command(*clone, asked, "commit",
                      "Write what an initiator changed as a layer; it goes on writing to a new one", clone_commit)
        ->add_option("--file", asked.clone.file, "file for the layer; one in the clone's folder otherwise");
    add_clone_command(*clone, asked, "remove", "Throw a clone away", clone_remove)
        ->add_flag("--force", asked.clone.force, "end the initiator's sessions first");
}

void describe(CLI::App& app, request& asked) {
    app.description("Attaches overlaybd images to a running overlaybd-iscsid, detaches them, and shows what is there.");
    app.footer(
        "Exit status: 0 done, 1 refused or failed, 2 wrong usage, 3 the daemon cannot be reached.\n"
        "Examples:\n"
        "  overlaybdctl attach registry.example.com/web:1\n"
        "  overlaybdctl attach --config ./config.v1.json --name web --writable\n"
        "  overlaybdctl --json list");
    app.require_subcommand(1);
    app.fallthrough();  // --json and --socket may stand after the command too
    app.add_option("--socket", asked.socket, "the daemon's admin socket")
        ->envname("OVERLAYBD_ADMIN_SOCKET")
        ->capture_default_str();
    app.add_flag("--json", asked.json, "print the API's JSON instead of tables");
    add_attach(app, asked);
    add_named(app, asked, "detach", "Take an export away: its initiators are asked to log out, then it is closed",
              detach);
    add_plain(app, asked, "list", "All exports", list);
    add_named(app, asked, "show", "One export with its layers and initiators", show);
    add_plain(app, asked, "sessions", "Initiators that are logged in", sessions);
    add_writable_commands(app, asked);
    add_settings(app, asked);
    add_clone_commands(app, asked);
    add_plain(app, asked, "version", "Versions of this program and of the daemon", version);
}

/// These may stand alone; a word after it would be taken for its value, so the default is spelled out first.
void complete_writable(std::vector<std::string>& words) {
    for (auto& word : words) {
        if (word == "--writable") word = "--writable=append";
        if (word == "--clone-per-initiator") word = "--clone-per-initiator=keep";
    }
}

}  // namespace

int run(std::vector<std::string> words, std::ostream& out, std::ostream& err) {
    CLI::App app("", "overlaybdctl");
    request asked;
    describe(app, asked);
    convert::image_commands images(app);  // convert, push, pull, copy: they need no daemon
    complete_writable(words);
    std::reverse(words.begin(), words.end());  // as CLI11 wants a vector
    try {
        app.parse(std::move(words));
    } catch (const CLI::ParseError& error) {
        return app.exit(error, out, err) == 0 ? done : wrong_usage;
    }
    if (images.chosen()) {
        using output = convert::image_commands::output;
        return images.run(asked.json ? output::json : output::text, out, err);
    }
    const session_options with{asked.socket, asked.json ? output_form::json : output_form::tables, out, err};
    return asked.run(with);
}

}  // namespace obd::ctl

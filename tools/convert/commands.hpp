// overlaybdctl's commands that work on images and need no daemon: convert, push, pull, copy.
#pragma once

#include <filesystem>
#include <iosfwd>
#include <string>

#include "tools/convert/conversion.hpp"

namespace obd::convert {

/// What all of them take.
struct command_options {
    std::string source;
    std::string destination;
    bool insecure = false;
    bool json = false;
    bool quiet = false;
    std::string credential_file = "/opt/overlaybd/cred.json";
    std::string ca_file;
    std::string work_directory;  ///< empty: $TMPDIR, else /tmp
};

struct convert_command {
    command_options common;
    std::string platform;
    std::uint64_t size_gib = 64;
    std::string file_system = "ext4";
    std::string algorithm = "lz4";
    unsigned block_kib = 4;
    unsigned threads = 0;  ///< 0: one for each CPU
    bool journal = false;
    bool referrer = false;
    bool docker = false;
    bool no_reuse = false;
    std::string ledger;  ///< empty: $XDG_CACHE_HOME/overlaybd/converted-layers.json
};

/// Each returns an exit status: 0 done, 1 failed, 2 wrong usage. Results go to `out`, messages to `err`.
int run_convert(const convert_command& command, std::ostream& out, std::ostream& err);
/// push: a layout into a registry. pull: a registry's image into a layout. copy: from anywhere to anywhere.
enum class copy_kind { push, pull, copy };
int run_copy(copy_kind kind, const command_options& command, std::ostream& out, std::ostream& err);

}  // namespace obd::convert

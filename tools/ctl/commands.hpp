// overlaybdctl's commands that talk to the daemon. Each returns an exit code; results go to `out`, errors to `err`.
#pragma once

#include <cstdint>
#include <filesystem>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

#include "tools/ctl/exit_codes.hpp"

namespace obd::ctl {

enum class output_form { tables, json };

struct session_options {
    std::filesystem::path socket;
    output_form form = output_form::tables;
    std::ostream& out;
    std::ostream& err;
};

struct attach_options {
    std::string reference;
    std::string config;
    std::string name;
    bool insecure = false;
    bool removable = false;
    std::string target;
    std::optional<std::uint16_t> lun;
    std::string writable;  ///< empty, "append" or "sparse"
    std::string upper;
    std::string clones;  ///< empty, "keep" or "discard": what becomes of an initiator's clone at logout
    std::string quota;   ///< "20G"; empty: the daemon's default
    std::string redirect;
    bool permanent = false;
    std::vector<std::string> initiators;
    std::string chap_file;  ///< JSON with the members of the API's "auth"
};

struct snapshot_options {
    std::string name;
    std::string upper;  ///< folder of the new writable layer; empty: beside the old one
};

struct quota_options {
    std::string name;
    std::string initiator;  ///< of one clone; empty: of the export
    std::string size;       ///< "none" or "20G"
};

struct redirect_options {
    std::string name;
    std::string address;  ///< "none": no longer
    bool permanent = false;
};

struct clone_options {
    std::string name;
    std::string initiator;
    std::string file;  ///< of a commit
    bool force = false;
};

int attach(const session_options& with, const attach_options& what);
int detach(const session_options& with, const std::string& name);
int list(const session_options& with);
int show(const session_options& with, const std::string& name);
int sessions(const session_options& with);
int version(const session_options& with);
int snapshot(const session_options& with, const snapshot_options& what);
int resize(const session_options& with, const std::string& name, const std::string& size);
int quota(const session_options& with, const quota_options& what);
int redirect(const session_options& with, const redirect_options& what);
int clone_list(const session_options& with, const std::string& name);
int clone_keep(const session_options& with, const clone_options& what);
int clone_commit(const session_options& with, const clone_options& what);
int clone_remove(const session_options& with, const clone_options& what);

}  // namespace obd::ctl
